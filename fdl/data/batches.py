"""Batches as a pure function of the step, and examples in their own order for evaluation."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fdl.data.examples import count_examples, on_device, require_fits, take
from fdl.data.order import indices, permute, seed_words, steps_per_epoch


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Batches:
    """Shuffled batches: batch number `step` is `batches(step)`, with equal bits on the host, on a device and in jit.

    A pytree whose leaves are the examples, so that it passes through jit; batch and seed are static.  Make it with
    `shuffled`, which checks.
    """

    examples: Any
    batch: int = dataclasses.field(metadata={"static": True})
    seed: int = dataclasses.field(metadata={"static": True})

    def __call__(self, step: Any) -> Any:
        """The examples of batch number step.  NumPy examples and a concrete step are gathered on the host."""
        return take(self.examples, indices(self.seed, step, size=self.size, batch=self.batch))

    @property
    def size(self) -> int:
        """How many examples there are."""
        return jax.tree.leaves(self.examples)[0].shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches one pass over the examples makes."""
        return steps_per_epoch(self.size, self.batch)

    def __repr__(self) -> str:
        return f"Batches(size={self.size}, batch={self.batch}, seed={self.seed})"


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Resident(Batches):
    """Batches whose seed is an array too, uint32 (2,), so that one compiled program serves every seed."""

    seed: Any = dataclasses.field(metadata={"static": False})


def shuffled(examples: Any, batch: int, seed: int = 0) -> Batches:
    """Batches without replacement, in another order each epoch.

    Raises TreeError for unequal leading axes, ValueError for no examples, batch < 1, or batch > the number of examples.
    """
    steps_per_epoch(count_examples(examples), batch)
    permute(0, 1, seed)  # refuses a seed that is none
    return Batches(examples, batch, seed)


def in_order(examples: Any, batch: int) -> Iterator[tuple[Any, np.ndarray]]:
    """Every example once, in order, as (batch, where).  All batches have one shape, so one compiled program serves all.

    where is bool (batch,): False marks the padding of the last batch, which repeats the first example.
    Raises ValueError for integers that would be cut.
    """
    size = count_examples(examples)
    require_fits(examples)
    steps_per_epoch(size, 1)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    return (_slice(examples, start, batch, size) for start in range(0, size, batch))


def to_device(batches: Batches) -> Batches:
    """The same batches with examples and seed on a device, the default one, where one program serves every seed.

    Raises ValueError for integers that would be cut.
    """
    return _Resident(on_device(batches.examples), batches.batch, jax.device_put(seed_words(batches.seed)))


def _slice(examples: Any, start: int, batch: int, size: int) -> tuple[Any, np.ndarray]:
    rows = np.arange(start, start + batch)
    where = rows < size
    return take(examples, np.where(where, rows, 0).astype(np.int32)), where
