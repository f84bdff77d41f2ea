"""Parameters of 16 bits: what a sum of small steps loses there, kept in three ways.

In bfloat16, 1 - 0.001 is 1: training stands still.  Each wrapper gives the inner transform gradients and parameters of
32 bits and finds the update whose sum with the parameter, rounded to 16 bits, is the one wanted.  That sum is exact
while a step changes a parameter by less than a factor of 2 (Sterbenz); beyond, it is off by a rounding, which the next
step takes back (`stochastic_rounding` does not).  Parameters of 32 bits and more are carried the same way.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.extras import through
from fdl.optim.gradients.noise import leaf_keys
from fdl.optim.transform import Transform, require_state, require_trainable, require_whole, transform
from fdl.tree import Tree, require_like, widen


class MasterState(NamedTuple):
    """The parameters, float32 at least, and the state of the inner transform."""

    master: Tree
    inner: Any


class KahanState(NamedTuple):
    """What the roundings have lost up to now, in the types of the parameters, and the state of the inner transform."""

    lost: Tree
    inner: Any


class RoundingState(NamedTuple):
    """Steps taken, for the noise, and the state of the inner transform."""

    step: jax.Array
    inner: Any


@transform
def master_weights(inner: Transform) -> Transform:
    """Carry the parameters in float32, 4 bytes each; the 16-bit ones are their rounded copies.

    https://arxiv.org/abs/1710.03740
    """

    def init(params):
        require_trainable(params)
        master = jax.tree.map(lambda p: jnp.array(p, widen(p).dtype, copy=True), params)
        return MasterState(master, inner.init(master))

    def update(updates, state, params=None, **extras):
        _require_all(updates, state, MasterState, params)
        moved, own = inner.update(_wide(updates), state.inner, state.master, **_seen(extras, params))
        master = jax.tree.map(lambda m, u: m + u.astype(m.dtype), state.master, moved)
        return jax.tree.map(lambda m, p: _rounded(m, p) - p, master, params), MasterState(master, own)

    return Transform(init, update)


@transform
def kahan(inner: Transform) -> Transform:
    """Carry what each sum loses and add it to the next update: compensated summation, 2 bytes a parameter.

    https://doi.org/10.1145/363707.363723; for training https://arxiv.org/abs/2010.06192
    """

    def init(params):
        require_trainable(params)
        return KahanState(jax.tree.map(jnp.zeros_like, params), inner.init(_wide(params)))

    def update(updates, state, params=None, **extras):
        _require_all(updates, state, KahanState, params)
        exact = jax.tree.map(lambda p, lost: widen(p) + widen(lost), params, state.lost)
        moved, own = inner.update(_wide(updates), state.inner, exact, **_seen(extras, params))

        def compensated(p, lost, u):
            wanted = widen(lost) + u.astype(widen(p).dtype)
            given = _rounded(wanted, p)
            done = widen(_rounded(widen(p) + widen(given), p)) - widen(p)
            return given, (wanted - done).astype(p.dtype)

        pairs = jax.tree.map(compensated, params, state.lost, moved)
        given, lost = jax.tree.transpose(jax.tree.structure(params), jax.tree.structure((0, 0)), pairs)
        return given, KahanState(lost, own)

    return Transform(init, update)


@transform
def stochastic_rounding(inner: Transform, seed: int = 0) -> Transform:
    """Round each sum up or down by chance, so that it is right on average; no memory.

    The chance is a function of seed, step and path.  https://arxiv.org/abs/1502.02551, https://arxiv.org/abs/2010.06192
    """
    require_whole("seed", seed, 0)

    def init(params):
        require_trainable(params)
        return RoundingState(jnp.zeros((), jnp.int32), inner.init(_wide(params)))

    def update(updates, state, params=None, **extras):
        _require_all(updates, state, RoundingState, params)
        moved, own = inner.update(_wide(updates), state.inner, _wide(params), **_seen(extras, params))

        def drawn(key, p, u):
            return u.astype(p.dtype) if p.dtype.itemsize >= 4 else round_by_chance(key, widen(p) + u, p.dtype) - p

        keys = leaf_keys(params, "stochastic_rounding", seed, state.step)
        return jax.tree.map(drawn, keys, params, moved), RoundingState(state.step + 1, own)

    return Transform(init, update)


def round_by_chance(key: jax.Array, x: jax.Array, dtype: Any) -> jax.Array:
    """x as the narrower type: one of its two neighbours there, the nearer the likelier, so that the mean is x."""
    near = jax.lax.optimization_barrier(x.astype(dtype))
    error = x - near.astype(x.dtype)
    far = jnp.nextafter(near, jnp.where(error > 0, jnp.inf, -jnp.inf).astype(dtype))
    gap = jnp.abs(far.astype(x.dtype) - near.astype(x.dtype))
    return jnp.where(jax.random.uniform(key, x.shape, x.dtype) * gap < jnp.abs(error), far, near)


def keeps_small_steps(opt_state: Any) -> bool:
    """Whether one of these wrappers has its state in here."""
    is_kept = lambda node: isinstance(node, MasterState | KahanState | RoundingState)
    return any(map(is_kept, jax.tree.leaves(opt_state, is_leaf=is_kept)))


def _wide(tree: Tree) -> Tree:
    return jax.tree.map(widen, tree)


def _rounded(x: jax.Array, like: jax.Array) -> jax.Array:
    """x in the type of the other; the barrier keeps the compiler from leaving the rounding out."""
    return jax.lax.optimization_barrier(x.astype(like.dtype))


def _seen(extras: dict[str, Any], params: Tree) -> dict[str, Any]:
    """The extras by wide parameters: the loss is that of their rounded copies, as the model runs."""
    return through(extras, _wide, lambda wide: jax.tree.map(_rounded, wide, params))


def _require_all(updates: Tree, state: Any, kind: type, params: Tree) -> None:
    require_state(state, kind)
    if params is None:
        raise TypeError("16-bit sums need the parameters: call update(updates, opt_state, params)")
    require_like(updates, params, "updates", "parameters", dtypes=False)
