"""What a metric is: three pure functions of sums that add, and the mean."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fdl.checks import require_mask
from fdl.recipe import Recorded, recipe

Sums: TypeAlias = Any


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Metric(Recorded):
    """Three pure functions.  A value: prints, compares, hashes and pickles by its call."""

    init: Callable[[], Sums]
    update: Callable[..., Sums]
    compute: Callable[[Sums], Any]

    def __call__(self, *args: ArrayLike, where: ArrayLike | None = None) -> Any:
        """The value for one batch alone."""
        return self.compute(self.update(self.init(), *args, where=where))


metric = recipe(Metric)  # the decorator of constructors of metrics


class Average(NamedTuple):
    """Sums of a mean or a fraction."""

    total: Any
    count: Any


@metric
def mean() -> Any:
    """Mean of the values of update(sums, values), all axes together; NaN if there were none, or if one of them is.

    The total is a float32 (float64 if 64-bit types are enabled).
    """

    def init():
        return Average(jnp.zeros(()), jnp.zeros((), int))

    def update(sums, values, *, where=None):
        values = jnp.asarray(values).astype(jnp.result_type(sums.total))
        kept = kept_of(where, values.shape)
        return Average(sums.total + jnp.sum(values, where=kept), sums.count + jnp.sum(kept))

    return Metric(init, update, ratio)


@metric
def perplexity() -> Any:
    """exp of the mean of update(sums, losses), negative log-likelihoods in nats of tokens; NaN if there were none."""

    def compute(sums):
        average = ratio(sums)
        return (jnp if isinstance(average, jax.Array) else np).exp(average)

    return Metric(mean().init, mean().update, compute)


def kept_of(where: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array:
    """The mask, all true if there is none."""
    keep = require_mask(where, shape)
    return jnp.ones(shape, bool) if keep is None else keep


def ratio(sums: Average) -> Any:
    """total / count, on the device or of numbers added up on the host; NaN for 0 / 0."""
    if isinstance(sums.count, jax.Array):
        return sums.total.astype(float) / sums.count.astype(float)
    return sums.total / sums.count if sums.count else math.nan


def as_floats(sums: tuple) -> tuple[ModuleType, list]:
    """The numpy to compute with and the sums as floats: on the device, or of numbers added up on the host."""
    module = jnp if any(isinstance(x, jax.Array) for x in sums) else np
    return module, [module.asarray(x).astype(float) for x in sums]


def fraction(part: Any, whole: Any) -> Any:
    """part / whole of float arrays, NaN where whole is 0."""
    module = jnp if isinstance(whole, jax.Array) else np
    return module.where(whole == 0, math.nan, part / module.where(whole == 0, 1.0, whole))
