"""A golden run: the same bits where it was made, nearly the same figures elsewhere, a clear word otherwise."""

import json

import jax.numpy as jnp
import pytest

from fdl import optim, train
from fdl.train import GoldenError

STATE = train.init_state(lambda key: ({"kernel": jnp.ones(3)}, {}), optim.sgd(0.1))


@pytest.fixture
def path(tmp_path):
    train.write_golden(tmp_path / "golden.json", STATE, loss=0.25, error=1.5)
    return tmp_path / "golden.json"


def test_the_same_run_passes(path):
    train.check_golden(path, STATE, loss=0.25, error=1.5)


def test_one_bit_in_one_parameter_is_seen(path):
    changed = STATE._replace(params={"kernel": jnp.ones(3).at[1].set(1 + 2**-23)})
    with pytest.raises(GoldenError, match="in the same environment: the parameters, by their digest"):
        train.check_golden(path, changed, loss=0.25, error=1.5)


def test_figures_and_steps_that_moved_are_named(path):
    moved = STATE._replace(step=jnp.int32(4))
    with pytest.raises(GoldenError, match=r"step 4 instead of 0; error 1.6 instead of 1.5; loss nan instead of 0.25"):
        train.check_golden(path, moved, error=1.6)
    with pytest.raises(GoldenError, match=r"more 1.0 instead of nan"):
        train.check_golden(path, STATE, loss=0.25, error=1.5, more=1)


def test_in_another_environment_figures_may_differ_a_little(path):
    golden = json.loads(path.read_text())
    golden["environment"]["jax"] = "0.0.1"
    path.write_text(json.dumps(golden))
    other = STATE._replace(params={"kernel": jnp.zeros(3)})
    train.check_golden(path, other, tolerance=0.01, loss=0.2501, error=1.5)
    with pytest.raises(GoldenError, match=r"in another environment, beyond 0.01: loss 0.26 instead of 0.25"):
        train.check_golden(path, other, tolerance=0.01, loss=0.26, error=1.5)


def test_without_a_golden_run_it_says_what_to_do(tmp_path):
    with pytest.raises(GoldenError, match="keep it by write_golden"):
        train.check_golden(tmp_path / "golden.json", STATE)
