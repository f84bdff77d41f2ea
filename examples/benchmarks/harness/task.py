"""What every framework is given: the same weights, examples and order, from one file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from examples.benchmarks.workload import Workload

Arrays: TypeAlias = dict[str, np.ndarray]
Program: TypeAlias = Callable[[int], list[float]]
"""run(n) does n units from where it stands and returns the loss of each."""


@dataclass(frozen=True)
class Task:
    """A workload with its arrays.  Weights are by the paths of fdl, in its layouts; order is (steps, batch) rows.

    compiled is what follows the dot in the name of the framework: "compile" for "torch.compile".
    """

    workload: Workload
    weights: Arrays
    examples: Arrays
    order: np.ndarray
    compiled: str = ""

    @property
    def batches(self) -> list[Arrays]:
        """The batches of the first epoch, in the order in which fdl draws them."""
        return [{name: array[rows] for name, array in self.examples.items()} for rows in self.order]

    @property
    def apart(self) -> Arrays:
        """The weights with each repeated part by itself, blocks/0/..., blocks/1/...  (fdl stacks them)."""
        apart = {}
        for path, array in self.weights.items():
            part, _, rest = path.partition("/")
            if part in self.workload.stacked:
                apart |= {f"{part}/{i}/{rest}": array[i] for i in range(self.workload.stacked[part])}
            else:
                apart[path] = array
        return apart

    @property
    def out_first(self) -> Arrays:
        """The weights apart, in the names and layouts of torch and equinox: weight (out, in, *window), and bias."""
        arrays = {}
        for path, array in self.apart.items():
            parent, _, name = path.rpartition("/")
            if parent in self.workload.flattened and name == "kernel":
                height, width, dim = self.workload.flattened[parent]
                array = array.reshape(height, width, dim, -1).transpose(2, 0, 1, 3).reshape(array.shape)
            if name == "kernel":
                array = np.moveaxis(array, (-1, -2), (0, 1))
            name = {"kernel": "weight", "scale": "weight", "table": "weight"}.get(name, name)
            arrays[f"{parent}/{name}"] = np.ascontiguousarray(array)
        return arrays


def write(path: Path, weights: Mapping[str, np.ndarray], examples: Arrays, order: np.ndarray) -> None:
    """One file for all children."""
    groups = {"weights": weights, "examples": examples}
    named = {f"{group}/{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
    np.savez(path, order=order, **named)  # pyright: ignore[reportArgumentType]


def read(path: Path, workload: Workload, *, compiled: str = "") -> Task:
    """The task of this file."""
    with np.load(path) as file:
        group = lambda name: {key.removeprefix(f"{name}/"): file[key] for key in file if key.startswith(f"{name}/")}
        return Task(workload, group("weights"), group("examples"), file["order"], compiled)


def require_all(what: str, wanted: Mapping, given: Mapping) -> None:
    """Raise ValueError unless the framework's parameters and the given weights are the same, by name."""
    missing, unexpected = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or unexpected:
        raise ValueError(f"{what}: no weights for {missing or 'none'}, no place for {unexpected or 'none'}")
