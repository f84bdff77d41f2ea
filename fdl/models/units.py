"""What a unit of a Boltzmann machine can be: on or off, a real number, one of a group of which exactly one is on.

In state x, under the total input f, it has the probability exp(x f - base(x)) / Z(f): an exponential family.  So log Z,
whose derivative is the mean, is all that is needed to sum a unit out.
Welling, Rosen-Zvi & Hinton 2004, https://papers.nips.cc/paper/2672-exponential-family-harmoniums
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.nn import sigmoid, softplus
from fdl.nn.noise.counter import noise_key


@dataclass(frozen=True, repr=False)
class UnitKind:
    """A kind of units, as functions of states or of total inputs (..., n).

    base and log_normaliser sum over the units, (..., n) -> (...,); mean(field) and sample(key, field) keep the shape.
    """

    name: str
    base: Callable[[jax.Array], jax.Array]
    log_normaliser: Callable[[jax.Array], jax.Array]
    mean: Callable[[jax.Array], jax.Array]
    sample: Callable[[jax.Array, jax.Array], jax.Array]

    def __repr__(self) -> str:
        return self.name


def _no_base(x: jax.Array) -> jax.Array:
    return jnp.zeros(x.shape[:-1], x.dtype)


def _half_square(x: jax.Array) -> jax.Array:
    return 0.5 * jnp.square(x).sum(-1)


def _toss(key: jax.Array, field: jax.Array) -> jax.Array:
    return (jax.random.uniform(noise_key(key), field.shape, field.dtype) < sigmoid(field)).astype(field.dtype)


def _add_noise(key: jax.Array, field: jax.Array) -> jax.Array:
    return field + jax.random.normal(noise_key(key), field.shape, field.dtype)


def _choose(key: jax.Array, field: jax.Array) -> jax.Array:
    chosen = jax.random.categorical(noise_key(key), field)
    return jax.nn.one_hot(chosen, field.shape[-1], dtype=field.dtype)


BINARY = UnitKind("binary", _no_base, lambda field: softplus(field).sum(-1), sigmoid, _toss)
"""Each 1 with probability sigmoid(field), else 0."""

GAUSSIAN = UnitKind(
    "gaussian",
    _half_square,
    lambda field: _half_square(field) + 0.5 * math.log(2 * math.pi) * field.shape[-1],
    lambda field: field,
    _add_noise,
)
"""Each normal around its field, with variance 1: the linear units with noise of Hinton & Salakhutdinov 2006."""

SOFTMAX = UnitKind("softmax", _no_base, lambda field: jax.nn.logsumexp(field, -1), jax.nn.softmax, _choose)
"""One of all is 1, with the probabilities softmax(field): a label."""


def side_by_side(*groups: tuple[int, UnitKind]) -> UnitKind:
    """Groups of units as one: side_by_side((500, BINARY), (10, SOFTMAX)) are features and a label.

    Raises ShapeError for a last axis of another length than the sum of the groups.
    """
    sizes, kinds = [size for size, _ in groups], [kind for _, kind in groups]
    cuts = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]

    def parts(x: jax.Array) -> Iterator[tuple[UnitKind, jax.Array]]:
        require_shape(x, ..., sum(sizes), name="units")
        return zip(kinds, jnp.split(x, cuts, axis=-1))

    def total(of: str) -> Callable[[jax.Array], jax.Array]:
        return lambda x: sum((getattr(kind, of)(part) for kind, part in parts(x)), jnp.zeros((), x.dtype))

    def mean(field: jax.Array) -> jax.Array:
        return jnp.concatenate([kind.mean(part) for kind, part in parts(field)], -1)

    def sample(key: jax.Array, field: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(kinds))
        return jnp.concatenate([kind.sample(k, part) for k, (kind, part) in zip(keys, parts(field))], -1)

    name = " + ".join(f"{size} {kind}" for size, kind in groups)
    return UnitKind(name, total("base"), total("log_normaliser"), mean, sample)
