"""One program, one device or eight: the train step is the same function, and so are its results."""

import json
from pathlib import Path

import jax
import pytest

from tests.distributed.child import report, start

GOLDEN = json.loads((Path(__file__).parent / "golden" / "layouts.json").read_text())
CASES = [(model, layout) for model, layouts in GOLDEN.items() for layout in layouts]


@pytest.fixture(scope="module")
def found():
    return report(start("layouts"))


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_three_steps_of_adam_are_those_of_one_device(found, model, layout):
    one = found[model][layout]
    assert one["same_start"]
    steps = 3 if jax.__version_info__ < (0, 11) else 5  # of float32 near one
    assert one["params"] < {"mlp": steps * 1.2e-7, "gpt": 4e-6}[model]
    assert one["loss"] < 2e-6


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_parameters_and_moments_stay_where_they_were_put_and_one_program_serves_all_steps(found, model, layout):
    assert found[model][layout]["moved"] == []
    assert found[model][layout]["traced_again"] == 0


@pytest.mark.parametrize(("model", "layout"), CASES)
def test_devices_talk_as_often_as_they_must(found, model, layout):
    assert found[model][layout]["collectives"] == GOLDEN[model][layout]


def test_blocks_that_gather_late_hold_the_parameters_of_one_at_a_time(found):
    gpt = found["gpt"]
    assert gpt["fsdp_late"]["bytes"] < 0.6 * gpt["fsdp"]["bytes"]


def test_a_run_draws_its_batches_inside_its_loop(found):
    run = found["run"]
    assert run["params"] < 1e-6
    assert run["moved"] == []
    assert run["drawn"]
    assert run["split"] == "P('data',)"


def test_what_was_put_on_a_mesh_is_a_copy_that_may_be_given_away(found):
    assert found["kept"]


def test_a_state_of_one_device_goes_where_the_layout_says_with_its_first_step(found):
    assert found["home"] == []


def test_copies_that_differ_are_named(found):
    assert found["copies"] == "devices hold different copies of params/norm/scale, 1 arrays in all"


def test_batch_norm_takes_its_moments_over_all_devices(found):
    assert found["batch_norm"]["error"] < 1e-6
    assert found["batch_norm"]["moved"] == []


def test_an_evaluation_on_eight_devices_counts_as_one_does(found):
    assert all(split == one for split, one in found["evaluate"])
    assert len(found["evaluate"]) == 4
