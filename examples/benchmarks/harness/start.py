"""What all frameworks start from: the weights that fdl draws, the examples, and the order in which it takes them."""

import importlib
from pathlib import Path

import jax
import numpy as np

from examples.benchmarks.harness import task
from examples.benchmarks.harness.children import CPU
from examples.benchmarks.workload import Workload
from fdl import data, tree

OFF = 0.01


def write_start(path: Path, workload: Workload, suite: str = CPU.suite) -> None:
    """Write it to a file.

    Every leaf is moved a little off its first value, so that one which a peer mapped to the wrong place shows.
    """
    file = importlib.import_module(f"{suite}.{workload.folder}.fdl_")
    rng = np.random.default_rng(0)
    params, _ = file.model(**workload.sizes).init(jax.random.key(0))
    off = lambda leaf: np.asarray(leaf) + OFF * rng.standard_normal(leaf.shape, np.float32)
    weights = {name: off(leaf) for name, leaf in tree.flatten(params).items()}
    examples = workload.examples(rng, workload.batches * workload.batch)
    size = len(next(iter(examples.values())))
    order = [data.indices(0, step, size=size, batch=workload.batch) for step in range(workload.batches)]
    task.write(path, weights, examples, np.stack(order))
