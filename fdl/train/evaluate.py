"""Exact evaluation: sums per batch on the device, added up on the host in integers and float64."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from fdl.compile import compile
from fdl.data import in_order
from fdl.metrics import Metric
from fdl.tree import Tree


def make_evaluate(
    predict: Callable[[Tree, Tree, Any], tuple], metrics: Mapping[str, Metric]
) -> Callable[..., dict[str, Any]]:
    """The function evaluate(state, examples, batch=1000) -> {name: value} over every example exactly once.

    predict(params, state, batch) gives the arguments of every metric, such as (logits, labels).  The last batch is
    padded and masked, so one program serves all, and counts do not depend on the batch size.
    """

    def sums_of(params, state, batch, where):
        outputs = predict(params, state, batch)
        return {name: metric.update(metric.init(), *outputs, where=where) for name, metric in metrics.items()}

    compiled = compile(sums_of)

    def evaluate(state: Any, examples: Any, batch: int = 1000) -> dict[str, Any]:
        size = len(jax.tree.leaves(examples)[0])
        total = None
        for rows, where in in_order(examples, min(batch, max(size, 1))):
            sums = jax.tree.map(_widen, compiled(state.params, state.state, rows, where))
            total = sums if total is None else jax.tree.map(np.add, total, sums)
        assert total is not None  # in_order raises on an empty data set
        return {name: jax.tree.map(_plain, metric.compute(total[name])) for name, metric in metrics.items()}

    return evaluate


def _widen(x: jax.Array) -> np.ndarray:
    """On the host sums have room: counts past 2**31 and float sums without rounding at every batch."""
    return np.asarray(x).astype(np.int64 if np.issubdtype(x.dtype, np.integer) else np.float64)


def _plain(value: Any) -> Any:
    """A Python number where the value is one."""
    value = np.asarray(value)
    return value.item() if value.ndim == 0 else value
