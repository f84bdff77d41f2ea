"""What is measured on a GPU computes the same in fdl and in torch, at sizes that a CPU can hold."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest

from examples.benchmarks.gpu import WORKLOADS, mnist, rates
from examples.benchmarks.gpu.gpt import gpt, parameters
from examples.benchmarks.harness import child, start, task
from examples.benchmarks.harness.agree import worst_errors
from examples.benchmarks.workload import images
from fdl import tree

SUITE = "examples.benchmarks.gpu"
SMALL = {
    "gpt": gpt("small", 2, vocab=19, context=8, dim=16, depth=2, heads=2),
    "resnet20": dataclasses.replace(WORKLOADS["resnet20"], batch=4, examples=images(32, 3)),
    "mnist_cnn": dataclasses.replace(WORKLOADS["mnist_cnn"], batch=4, examples=images(28, 1)),
}


@pytest.mark.parametrize("name", SMALL)
def test_both_frameworks_compute_the_same(name, tmp_path):
    pytest.importorskip("torch")
    workload = dataclasses.replace(SMALL[name], batches=3, precision="float32")
    path = tmp_path / "task.npz"
    start.write_start(path, workload, SUITE)
    read = task.read(path, workload)
    ours, theirs = (child.build(peer, workload, SUITE)(read)(3) for peer in ("fdl", "torch"))
    assert worst_errors({"fdl": ours, "torch": theirs})["torch"] < 1e-4


def test_in_bfloat16_the_loss_is_that_of_float32_within_its_rounding(tmp_path):
    path = tmp_path / "task.npz"
    start.write_start(path, SMALL["gpt"], SUITE)
    losses = []
    for precision in ("float32", "bfloat16"):
        workload = dataclasses.replace(SMALL["gpt"], precision=precision)
        losses.append(child.build("fdl", workload, SUITE)(task.read(path, workload))(3))
    np.testing.assert_allclose(*losses, rtol=1e-2)


def test_the_parameters_of_gpt2_are_counted():
    sizes = WORKLOADS["gpt2"].sizes
    count = parameters(*(sizes[name] for name in ("vocab", "context", "dim", "depth")))
    model = importlib.import_module(f"{SUITE}.gpt.fdl_").model(**sizes)
    assert count == tree.count(jax.eval_shape(model.init, jax.random.key(0))[0]) == 124_439_808


def test_rates_are_positive():
    found = rates.rates(size=64)
    assert found["bf16_flops_per_second"] > 0
    assert found["copy_bytes_per_second"] > 0


def test_the_network_of_the_race_learns():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 10, 64).astype(np.int32)
    image = np.zeros((64, 28, 28, 1), np.uint8)
    image[np.arange(64), 4 + 2 * label, 6:22] = 255
    examples = {"image": image, "label": label}
    assert mnist.race(mnist.network(4), examples, examples, seeds=1, epochs=30, batch=32)[-1]["accuracy"] > 0.5
