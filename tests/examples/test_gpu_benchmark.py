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
from fdl import nn, tree

SUITE = "examples.benchmarks.gpu"
SMALL = {
    "gpt": gpt("small", 2, vocab=19, context=4, dim=8, depth=1, heads=2),
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


def test_the_parameters_of_gpt2_are_counted():
    sizes = WORKLOADS["gpt2"].sizes
    count = parameters(*(sizes[name] for name in ("vocab", "context", "dim", "depth")))
    model = importlib.import_module(f"{SUITE}.gpt.fdl_").model(**sizes)
    assert count == tree.count(jax.eval_shape(model.init, jax.random.key(0))[0]) == 124_439_808


def test_rates_are_positive():
    found = rates.rates(size=64)
    assert found["bf16_flops_per_second"] > 0
    assert found["copy_bytes_per_second"] > 0


def test_the_race_is_run():
    examples = {"image": np.zeros((8, 28, 28, 1), np.uint8), "label": np.arange(8, dtype=np.int32)}
    model = nn.serial(nn.flatten, nn.dense(784, 10))
    first, row = mnist.race(model, examples, examples, seeds=1, epochs=2, batch=4)
    assert first["compile_seconds"] > 0
    assert (row["seed"], row["steps"]) == (0, 4)
    assert row["accuracy"] == 1 / 8


def test_the_network_of_the_race_tells_ten_digits_apart():
    model = mnist.network()
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    logits, _ = jax.eval_shape(model.apply, params, state, jax.ShapeDtypeStruct((2, 28, 28, 1), "float32"))
    assert logits.shape == (2, 10)
