"""The benchmark gives no ratio that means nothing, and its page holds what was measured."""

import copy
import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.benchmarks.harness import child, report, start, task
from examples.benchmarks.harness.agree import DisagreementError, worst_errors
from examples.benchmarks.harness.children import Child, ChildError
from examples.benchmarks.harness.measure import compared, spread
from examples.benchmarks.workloads import WORKLOADS
from fdl import inspection

ROOT = Path(__file__).parents[2]


def test_losses_within_the_tolerance_agree_and_the_worst_error_is_told():
    worst = worst_errors({"fdl": [2.0, 1.0], "torch": [2.0, 1.00005], "linen": [2.0, 1.0]})
    assert worst == {"torch": pytest.approx(5e-5), "linen": 0}


@pytest.mark.parametrize(
    ("curve", "says"),
    [
        ([2.0, 1.1], "the loss of torch at step 1 is 1.1, that of fdl 1"),
        ([2.0, float("nan")], "the loss of torch at step 1 is nan"),
        ([2.0], "torch gave 1 losses, fdl 2"),
    ],
)
def test_no_ratio_where_losses_disagree(curve, says):
    with pytest.raises(DisagreementError, match=says):
        worst_errors({"fdl": [2.0, 1.0], "torch": curve})


def test_no_ratio_where_fdl_itself_is_not_finite():
    with pytest.raises(DisagreementError, match="must be finite"):
        worst_errors({"fdl": [float("inf")], "torch": [float("inf")]})


def without(module, folder, monkeypatch):
    """Let no child import this module."""
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text(f'raise ModuleNotFoundError("No module named {module!r}")')
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_missing_peer_refuses_the_run_and_leaves_no_result(tmp_path, monkeypatch):
    without("flax", tmp_path, monkeypatch)
    command = [sys.executable, "-m", "examples.benchmarks", "run", "softmax", "--quick", "--threads", "1"]
    options = ["--peers", "linen", "--results", str(tmp_path / "results")]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "linen is missing (No module named 'flax')" in done.stderr
    assert "pip install '.[bench]'" in done.stderr
    assert "fdl / linen" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_child_that_fails_says_why(tmp_path):
    with (
        Child("fdl", "softmax", tmp_path / "absent.npz", 1) as broken,
        pytest.raises(ChildError, match=r"absent\.npz"),
    ):
        broken.answer()


def test_a_child_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "task.npz"
    start.write_start(path, WORKLOADS["softmax"])
    with Child("fdl", "softmax", path, 1) as ours:
        assert ours.answer()["versions"]["jax"] == jax.__version__
        first, second = ours.run(2)["curve"], ours.run(3)["curve"]
    assert len({*first, *second}) == 5
    again = child.build("fdl", WORKLOADS["softmax"])(task.read(path, WORKLOADS["softmax"]))
    np.testing.assert_allclose(again(5), first + second, rtol=1e-6)


def test_names_and_layouts_of_frameworks_that_put_outputs_first():
    weights = {
        "hidden/kernel": np.arange(2 * 3 * 4 * 5.0).reshape(24, 5),
        "blocks/conv/kernel": np.arange(2 * 3 * 3 * 2 * 7.0).reshape(2, 3, 3, 2, 7),
        "blocks/norm/scale": np.arange(14.0).reshape(2, 7),
        "embed/table": np.arange(6.0).reshape(3, 2),
    }
    workload = dataclasses.replace(WORKLOADS["softmax"], flattened={"hidden": (2, 3, 4)}, stacked={"blocks": 2})
    made = task.Task(workload, weights, {}, np.zeros((1, 1), int)).out_first
    assert set(made) == {
        "hidden/weight",
        *(f"blocks/{i}/{name}/weight" for i in range(2) for name in ("conv", "norm")),
        "embed/weight",
    }
    height, width, dim, out = 1, 2, 3, 4
    same = weights["hidden/kernel"].reshape(2, 3, 4, 5)[height, width, dim, out]
    assert made["hidden/weight"][out, (dim * 2 + height) * 3 + width] == same
    assert made["blocks/1/conv/weight"].shape == (7, 2, 3, 3)
    assert made["blocks/1/conv/weight"][6, 1, 0, 2] == weights["blocks/conv/kernel"][1, 0, 2, 1, 6]
    assert made["embed/weight"].shape == (3, 2)


def test_weights_without_a_place_and_places_without_weights_are_refused():
    with pytest.raises(ValueError, match=r"peer: no weights for \['a'\], no place for \['b'\]"):
        task.require_all("peer", {"a": 0, "c": 0}, {"b": 0, "c": 0})


@pytest.mark.parametrize("name", ["softmax", "mlp", "lenet", "resnet20", "unet", "chargpt_64"])
def test_products_are_those_in_the_trace_of_the_gradient(name):
    workload = WORKLOADS[name]
    file = importlib.import_module(f"examples.benchmarks.workloads.{workload.folder}.fdl_")
    model = file.model(**workload.sizes)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    x = next(iter(workload.examples(np.random.default_rng(0), workload.batch).values()))
    x = x[:, :-1] if x.dtype == np.int32 else x
    loss = lambda params, state: jnp.sum(model.apply(params, state, x, train=True)[0])
    found = inspection.flops(jax.grad(loss), params, state).by_primitive
    again = 2 * 4 * 12 * 4 * 64 * 32 * 64 if name == "chargpt_64" else 0  # repeat computes the logits once more
    assert found.get("dot_general", 0) + found.get("fdl_contract", 0) == workload.flops + again


@pytest.fixture
def result():
    """A result as it is stored, of three rounds."""
    own = {"versions": {"jax": "1.0"}, "import_seconds": 0.5, "first_seconds": 2.0, "peak_bytes": 2**28, "units": 4}
    times = {"fdl": [0.01, 0.02, 0.03], "torch": [0.02, 0.02, 0.02], "numpy": [0.005] * 3, "xla": [0.004, 0.006, 0.006]}
    found = {
        name: own | {"seconds": seconds, "cpu_seconds": seconds, "spread": spread(seconds)}
        for name, seconds in times.items()
    }
    return {
        "machine": {"processor": "a processor", "python": "3.11", "system": "Linux"},
        "workload": "mlp",
        "title": "Perceptron",
        "unit": "step",
        "drawn": "nothing is drawn",
        "effort": {"rounds": 3, "seconds": 1.0, "threads": 2},
        "agreement": {"steps": 5, "tolerance": 1e-4, "worst": {"torch": 2e-7}},
        "flops": 378_000_000,
        "frameworks": found,
        "absent": {"haiku": "it has none"},
        **compared(found, ["torch"]),
    }


def test_ratios_are_taken_within_a_round(result):
    assert result["ratios"]["torch"] == {"low": 0.75, "median": 1.0, "high": 1.25}
    assert result["of_limit"]["fdl"]["median"] == pytest.approx(0.25)  # of 0.4, 0.25 and 0.17: the faster limit


def test_the_page_shows_what_was_stored(result, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlp.json").write_text(json.dumps(result))
    page = report.page(report.read(tmp_path / "results"))
    assert "a processor, Linux, 2 threads, 3 rounds with turns of 1 s; Python 3.11, jax 1.0." in page
    assert "| mlp | 1.00 (0.75–1.25) |" in page
    assert "| mlp | step | 20 | 20 |" in page
    assert "| mlp | 0.378 | 25 % | 25 % |" in page
    assert "2.0 / 256" in page
    assert "2e-07 at worst; nothing is drawn. Without haiku: it has none." in page


def test_results_of_two_machines_make_no_page(result):
    other = copy.deepcopy(result)
    other["machine"]["processor"] = "another"
    with pytest.raises(report.MixedResultsError, match="machines or efforts"):
        report.page([result, other])
    other = copy.deepcopy(result)
    other["frameworks"]["torch"]["versions"]["jax"] = "2.0"
    with pytest.raises(report.MixedResultsError, match="versions of jax"):
        report.page([result, other])


def test_no_results_no_page(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"examples\.benchmarks run"):
        report.read(tmp_path)


def test_every_workload_has_a_file_for_fdl_and_for_each_peer():
    folder = Path(importlib.import_module("examples.benchmarks.workloads").__file__).parent
    for name, workload in WORKLOADS.items():
        for peer in ("fdl", *workload.peers):
            assert (folder / workload.folder / f"{peer.partition('.')[0]}_.py").exists(), (name, peer)


@pytest.mark.parametrize(("machine", "folder"), [("Intel Xeon", report.RESULTS), ("AMD EPYC", report.RESULTS / "zen4")])
def test_the_page_of_speed_shows_the_stored_ratios(machine, folder):
    table = (ROOT / "docs" / "speed.md").read_text().partition(f"| {machine} | PyTorch |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    shown = [row[1:3] for row in rows] + [row[4:6] for row in rows]
    speeds = []
    for result in report.read(folder):
        ratios = {True: [], False: []}
        for peer, found in result["ratios"].items():
            ratios[peer.startswith("torch")].append(found["median"])
        speeds.append([1 / max(ratios[True]), 1 / max(ratios[False])])
    speeds.append(np.exp(np.mean(np.log(speeds), axis=0)))
    assert shown == [[f"{speed:.2f}" for speed in row] for row in speeds]
