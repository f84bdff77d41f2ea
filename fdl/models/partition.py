"""log Z of an RBM: exact where one layer is small, estimated by annealed importance sampling where none is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.models.rbm import RBM, Params
from fdl.models.units import BINARY

MOST_UNITS = 24
CHUNK = 2**12


def log_partition(rbm: RBM, params: Params) -> jax.Array:
    """log Z, by a sum over all states of the smaller binary layer.  -> ()

    Raises ValueError where no binary layer has 24 units or fewer.
    """
    sides = [(rbm, params), rbm.transposed(params)]
    small = [side for side in sides if side[0].visible_units == BINARY and side[0].visible <= MOST_UNITS]
    if not small:
        raise ValueError(
            f"no binary layer of {rbm} has {MOST_UNITS} units or fewer; use annealed_importance_sampling instead"
        )
    machine, seen = min(small, key=lambda side: side[0].visible)
    total, chunk = 2**machine.visible, min(CHUNK, 2**machine.visible)

    def add(log_z, start):
        v = states(start + jnp.arange(chunk, dtype=jnp.uint32), machine.visible).astype(seen["kernel"].dtype)
        return jnp.logaddexp(log_z, jax.nn.logsumexp(-machine.free_energy(seen, v))), None

    none = jnp.full((), -jnp.inf, seen["kernel"].dtype)
    return jax.lax.scan(add, none, jnp.arange(0, total, chunk, dtype=jnp.uint32))[0]


def states(index: jax.Array, count: int) -> jax.Array:
    """The states of so many binary units by number: their bits, the lowest first.  uint32 (n,) -> uint32 (n, count)"""
    return index[:, None] >> jnp.arange(count, dtype=jnp.uint32)[None] & jnp.uint32(1)


class LogPartition(NamedTuple):
    """An estimate of log Z, its standard error in nats, and the logarithm of Z by each chain alone (chains,)."""

    value: jax.Array
    error: jax.Array
    by_chain: jax.Array


def annealed_importance_sampling(
    rbm: RBM, params: Params, key: jax.Array, betas: jax.Array, *, base: jax.Array | None = None, chains: int = 100
) -> LogPartition:
    """Estimate log Z along a path of machines, from one without connections at beta 0 to this one at beta 1.

    betas (n,) rise from 0 to 1.  base (visible,) are the visible biases at beta 0, the machine's own unless given; the
    log odds of the data are better.  Each chain's Z is an unbiased estimate; the value is the logarithm of their mean.
    Salakhutdinov & Murray 2008, https://doi.org/10.1145/1390156.1390266
    """
    base = params["visible"] if base is None else base
    require_shape(base, rbm.visible, name="base")
    bias = lambda beta: (1 - beta) * base + beta * params["visible"]
    inputs = lambda v: rbm.hidden_field(params, v)

    def log_weight(beta, v, inputs):
        """log p* of v, but for its base measure, which is the same all along the path."""
        return v @ bias(beta) + rbm.hidden_units.log_normaliser(beta * inputs)

    def move(carried, beta):
        (before, after), key = beta
        v, seen, log_weights = carried
        log_weights += log_weight(after, v, seen) - log_weight(before, v, seen)
        up, down = jax.random.split(key)
        h = rbm.hidden_units.sample(up, after * seen)
        field = jnp.broadcast_to(bias(after), v.shape) + after * (h @ params["kernel"].T)
        v = rbm.visible_units.sample(down, field)
        return (v, inputs(v), log_weights), None

    start_key, key = jax.random.split(key)
    v = rbm.visible_units.sample(start_key, jnp.broadcast_to(base, (chains, rbm.visible)))
    carried = v, inputs(v), jnp.zeros(chains, v.dtype)
    pairs = jnp.stack([betas[:-1], betas[1:]], -1).astype(v.dtype)
    (_, _, log_weights), _ = jax.lax.scan(move, carried, (pairs, jax.random.split(key, len(pairs))))
    apart = rbm.visible_units.log_normaliser(base) + rbm.hidden_units.log_normaliser(jnp.zeros(rbm.hidden, v.dtype))
    return _mean_of(apart + log_weights)


def _mean_of(by_chain: jax.Array) -> LogPartition:
    count = len(by_chain)
    ratios = jnp.exp(by_chain - by_chain.max())
    value = by_chain.max() + jnp.log(ratios.mean())
    error = ratios.std(ddof=1) / ratios.mean() / jnp.sqrt(jnp.asarray(count, ratios.dtype))
    return LogPartition(value, error, by_chain)
