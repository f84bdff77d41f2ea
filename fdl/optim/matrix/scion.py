"""Scion: every parameter moves towards the furthest point, downhill, of a ball in a norm that fits its layer.

Kernels are (in, out), transposed to the paper's.  Arrays stacked by `repeat` are named by `stacked`.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import over
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import require_real
from fdl.optim.matrix.orthogonal import COEFFICIENTS, Coefficients, as_matrix, newton_schulz
from fdl.optim.transform import Hyper, Transform, chain, require_constant, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.recipe import Function, recipe
from fdl.tree import Where, assign, select, widen

Oracle: TypeAlias = Callable[[jax.Array], jax.Array]

lmo = recipe(Function)
"""Decorate a constructor of oracles: from a direction to the point of a ball that is furthest along it."""


@lmo
def spectral_lmo(
    radius: float = 50.0, *, steps: int = 5, coefficients: Coefficients = COEFFICIENTS, eps: float = 1e-7
) -> Oracle:
    """radius (out / in)^0.5 U V^T: for hidden layers.  A convolution's window divides it, and `in` are its channels."""
    require_constant("radius", radius, 0.0)

    def furthest(x):
        matrix = newton_schulz(as_matrix(x), steps, coefficients, eps)
        in_dim, out_dim, window = x.shape[-2], x.shape[-1], matrix.shape[0] // x.shape[-2]
        return (radius * (out_dim / in_dim) ** 0.5 / window * matrix).reshape(x.shape)

    return furthest


@lmo
def sign_lmo(radius: float = 3000.0) -> Oracle:
    """radius / in times the sign: for the last layer.  Of a vector, radius times the sign."""
    require_constant("radius", radius, 0.0)
    return lambda x: radius / (as_matrix(x).shape[0] if x.ndim > 1 else 1) * jnp.sign(x)


@lmo
def row_lmo(radius: float = 50.0, *, eps: float = 1e-8) -> Oracle:
    """The weights of each input at root mean square radius: for the first layer and for tables (the paper's ColNorm).

    Of a vector, as of a bias, the whole.
    """
    require_constant("radius", radius, 0.0)
    return lambda x: radius * over(x, jnp.sqrt(jnp.mean(x * x, -1, keepdims=True)), eps)


@lmo
def column_lmo(radius: float = 50.0, *, eps: float = 1e-8) -> Oracle:
    """The weights of each output at norm radius / in^0.5 (the paper's RowNorm)."""
    require_constant("radius", radius, 0.0)

    def furthest(x):
        matrix = as_matrix(x)
        size = jnp.sqrt(jnp.sum(matrix * matrix, 0, keepdims=True) * matrix.shape[0])
        return (radius * over(matrix, size, eps)).reshape(x.shape)

    return furthest


@transform
def scale_by_lmo(oracles: Mapping[str, Oracle], *, stacked: Where = ()) -> Transform:
    """Replace each update by the furthest point along it of the ball of the first pattern that matches its path.

    Raises TreeError for a parameter that nothing matches, and for a pattern that comes first for none.
    """

    def init(params):
        require_real(params)
        assign(params, oracles)
        return ()

    def furthest(oracle, layers, u):
        if u.size == 0:
            return u
        return (jax.vmap(oracle) if layers else oracle)(widen(u)).astype(u.dtype)

    def update(updates, state, params=None, **extras):
        return jax.tree.map(furthest, assign(updates, oracles), select(updates, stacked), updates), state

    return Transform(init, update)


@transform
def scion(
    learning_rate: Hyper,
    oracles: Mapping[str, Oracle],
    momentum: Hyper = 0.9,
    *,
    constrained: bool = True,
    stacked: Where = (),
) -> Transform:
    """Scion: towards the furthest point of a ball along the mean of the gradients.

    m ← momentum m + (1 − momentum) g;  u = argmax of ⟨m, u⟩ over the ball;  x ← (1 − learning_rate) x − learning_rate u

    scion(1e-3, {"head/kernel": sign_lmo(), "**/kernel": spectral_lmo(), "**": row_lmo()}).  The parameters never
    leave the oracles if they start there; with constrained=False it is x ← x − learning_rate u, without bounds.
    https://arxiv.org/abs/2502.07529, algorithms 1 and 2
    """
    shrink = [add_weight_decay(1.0, where="**")] if constrained else []
    mean = accumulate(momentum, average=True)
    return chain(mean, scale_by_lmo(oracles, stacked=stacked), *shrink, scale_by_learning_rate(learning_rate))
