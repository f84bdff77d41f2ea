"""A step of training, traced alone: its shapes, memory, work and mistakes, before any device is asked for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from fdl.checks import describe
from fdl.data import Batches
from fdl.inspection.flops import Flops, flops
from fdl.inspection.memory import peak_bytes
from fdl.train import Step, TrainState
from fdl.tree import Tree, flatten, nbytes, require_like, table


class DryRun(NamedTuple):
    """State, batch and metrics of a step as types, the most bytes it holds at once, its work.  Prints as a table."""

    state: TrainState
    batch: Tree
    metrics: dict[str, jax.ShapeDtypeStruct]
    peak_bytes: int
    flops: Flops

    def __str__(self) -> str:
        optimizer, carried = nbytes(self.state.opt_state), nbytes(self.state.state)
        least = "at least " if self.flops.at_least else ""
        lines = {
            "batch": f"{_types(self.batch)}  ({nbytes(self.batch):,} bytes)",
            "metrics": _types(self.metrics),
            "state": f"{nbytes(self.state.params):,} bytes of parameters, {carried:,} carried, {optimizer:,} of the "
            "optimizer",
            "memory": f"{self.peak_bytes:,} bytes at most at once, one operation after the other",
            "work": f"{least}{self.flops.total:,} FLOPs a step",
        }
        return "\n".join([table(self.state.params), "", *(f"{name:<8}{text}" for name, text in lines.items())])


def dry_run(step: Step, state: Any, batches: Batches | Callable[[int], Any]) -> DryRun:
    """Trace one step and say what it will take: nothing is compiled and no device is used.

    The state may be types alone, for a model of any size: jax.eval_shape(lambda: train.init_state(model.init, opt)).
    Memory is as `peak_bytes` has it, an estimate of what a compiled step takes; work is as `flops` counts it.
    Raises what a first step would, such as errors of shapes that name the layer, and TreeError where the state after
    the step has another form than the one before.
    """
    before, batch = jax.eval_shape(lambda given: given, state), _batch(batches)
    after, metrics = jax.eval_shape(step.pure, before, batch)
    require_like(after, before, "arrays of the state after a step", "state before it")
    return DryRun(before, batch, metrics, peak_bytes(step.pure, before, batch), flops(step.pure, before, batch))


def _batch(batches: Batches | Callable[[int], Any]) -> Tree:
    """A batch as types; those of `Batches` are known without drawing one."""
    if not isinstance(batches, Batches):
        return jax.eval_shape(lambda given: given, batches(0))
    kind = lambda leaf: jax.ShapeDtypeStruct(
        (batches.batch, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype)
    )
    return jax.tree.map(kind, batches.examples)


def _types(tree: Tree) -> str:
    return ", ".join(f"{path} {describe(leaf)}".strip() for path, leaf in flatten(tree).items()) or "none"
