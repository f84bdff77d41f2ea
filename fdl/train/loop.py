"""training = fold(step, state, batches): many steps per dispatch, with the same bits wherever the data lies."""

import itertools
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as Spec

from fdl.cache import keep_programs
from fdl.data import Batches, prefetch, to_device
from fdl.data.order import LARGEST
from fdl.train.skipping import SKIPPED
from fdl.train.step import Step
from fdl.train.together import greatest
from fdl.tree import nbytes

STACKED = 8  # batches sent to the device together when the data stays on the host
RESIDENT_BYTES = 2**30
SHOWN = 12  # metrics in an error
SECONDS_PER_DISPATCH = 0.5  # so that an interrupt is answered and progress is seen


class NonFiniteError(FloatingPointError):
    """The loss, or what is named, became NaN or infinite; `step` is where, `metrics` what was measured there."""

    def __init__(self, step: int, metrics: dict[str, float], what: str = "loss is"):
        finite_last = sorted(metrics, key=lambda name: (name != "loss", bool(np.isfinite(metrics[name]))))
        shown = ", ".join(f"{name} {metrics[name]:.6g}" for name in finite_last[:SHOWN])
        more = f" and {len(metrics) - SHOWN} more" if len(metrics) > SHOWN else ""
        super().__init__(
            f"the {what} not finite at step {step}: {shown}{more}; nothing was saved since. "
            "Lower the learning rate, clip gradients (optim.clip_by_global_norm), or look at the data of this step"
        )
        self.step, self.metrics = step, metrics


def run(
    step: Step, state: Any, batches: Batches | Callable[[int], Any], steps: int, *, resident: bool | None = None
) -> tuple[Any, dict[str, np.ndarray]]:
    """Take `steps` steps; returns the state and the metrics of every step, each (steps,).

    Batch k is batches(k).  `Batches` of up to 1 GiB are held on the device (resident=None decides by size) and drawn
    inside the compiled loop; other batches are made by a background thread.  Same bits both ways.
    Raises NonFiniteError at the first step whose loss is NaN or infinite.
    """
    rows: list[dict[str, np.ndarray]] = []
    after = state
    with closing(dispatches(step, state, batches, steps, resident=resident)) as parts:
        for after, metrics in parts:  # noqa: B007
            rows.append(metrics)
    log = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]} if rows else {}
    if SKIPPED in log and log[SKIPPED].all():
        raise NonFiniteError(int(after.step), {SKIPPED: float(steps)})
    return after, log


def dispatches(
    step: Step, state: Any, batches: Batches | Callable[[int], Any], steps: int, *, resident: bool | None = None
) -> Generator[tuple[Any, dict[str, np.ndarray]], None, None]:
    """The same run, dispatch by dispatch: yields the state so far and the metrics of the steps since the last.

    To be closed by who leaves early: an exception that is kept holds what was running, and a thread with it.
    """
    keep_programs()
    if resident is None:
        resident = isinstance(batches, Batches) and nbytes(batches.examples) <= RESIDENT_BYTES
    if not resident:
        sources = _stacks(batches, state, steps)
    elif isinstance(batches, Batches):
        examples = to_device(batches)
        sources = (examples for _ in itertools.count())
    else:
        raise TypeError("only data.Batches can be resident; leave resident out to draw batches on the host")
    first, done = int(state.step), 0
    if first + steps > LARGEST:
        raise ValueError(
            f"a run takes at most {LARGEST:,} steps in all, got {first + steps:,}: its counter would overflow"
        )
    with closing(sources):
        while done < steps:
            count = min(steps - done, step.length, step.pace) if resident else min(steps - done, STACKED)
            source = next(sources)
            start = time.perf_counter()
            state, log = step.many(state, source, count)
            metrics = {name: np.asarray(rows)[:count] for name, rows in log.items()}
            fitting = int(count * SECONDS_PER_DISPATCH / (time.perf_counter() - start))
            step.pace = greatest(min(max(fitting, 1), 8 * step.pace, step.length))  # all processes must dispatch alike
            _require_finite(first + done, metrics)
            done += count
            yield state, metrics


def _stacks(batches: Callable[[int], Any], state: Any, steps: int) -> Generator[Any, None, None]:
    """Stacks of STACKED batches on the device, made ahead by a background thread; the last is filled up."""
    first = int(state.step)

    def stack_from(start: int) -> Any:
        real = min(STACKED, first + steps - start)
        drawn = [batches(start + i) for i in range(real)]
        drawn += drawn[-1:] * (STACKED - real)
        return jax.tree.map(_stacked, *drawn)

    return prefetch(stack_from, range(first, first + steps, STACKED))


def _stacked(*leaves: Any) -> Any:
    """The leaves along a new first axis: on the host, or those split over a mesh each part where it is."""
    place = getattr(leaves[0], "sharding", None)
    if not isinstance(place, NamedSharding):
        return np.stack(leaves)
    parts = zip(*([part.data for part in leaf.addressable_shards] for leaf in leaves))
    shape, split = (len(leaves), *leaves[0].shape), NamedSharding(place.mesh, Spec(None, *place.spec))
    return jax.make_array_from_single_device_arrays(shape, split, [jnp.stack(some) for some in parts])


def _require_finite(first: int, metrics: dict[str, np.ndarray]) -> None:
    if "loss" not in metrics:
        return
    finite = np.isfinite(metrics["loss"]).reshape(len(metrics["loss"]), -1).any(-1)  # of a sweep: in one run at least
    if SKIPPED in metrics:  # what was left out did no harm
        finite |= (metrics[SKIPPED] != 0).reshape(finite.size, -1).any(-1)
    if not finite.all():
        at = int(np.argmin(finite))
        raise NonFiniteError(
            first + at, {name: float(np.mean(rows[at])) for name, rows in metrics.items() if rows.ndim <= 2}
        )
