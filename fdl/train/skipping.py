"""Batches whose step would not be finite are left out, inside the compiled step: the host need not look."""

from typing import Any

import jax.numpy as jnp

from fdl.optim.wrappers.wrap import all_finite, choose
from fdl.train.state import TrainState
from fdl.train.step import Metrics, Step

SKIPPED = "skipped"


def skipping(step: Step) -> Step:
    """The same step, which leaves a batch out if its loss or the parameters after it are not finite.

    All but the count of steps then stays as it is, and the metric "skipped" is 1 there, 0 elsewhere.  `run` and `fit`
    go on, take means over the other steps, and stop where none of theirs was finite.
    """

    def careful(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        after, metrics = step.pure(state, batch)
        good = jnp.isfinite(metrics["loss"]) & all_finite(after.params)
        trained = choose(
            good, (after.params, after.state, after.opt_state), (state.params, state.state, state.opt_state)
        )
        return TrainState(after.step, after.key, *trained), metrics | {SKIPPED: 1 - good.astype(jnp.float32)}

    return Step(careful)
