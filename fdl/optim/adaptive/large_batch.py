"""Steps measured against the layer they change: by norms of whole arrays instead of single entries.

Where a norm is 0 the ratio of two norms says nothing: it counts as 1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, over_root
from fdl.optim.leaves import moments, require_real
from fdl.optim.points import beside_params
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree, Where, norm


class NovoGradState(NamedTuple):
    """Steps taken, and the running mean of the squared norm of every array."""

    step: jax.Array
    square: Tree


@transform
def scale_by_trust_ratio(
    coefficient: float = 1.0, *, low: float = 0.0, high: float = math.inf, where: Where = "**/kernel"
) -> Transform:
    """Every array meant times coefficient * |parameters| / |updates|, LAMB's way.  https://arxiv.org/abs/1904.00962

    low and high bound |parameters|, the paper's phi.  Raises TreeError where a pattern matches no parameter.
    """
    require_constant("coefficient", coefficient, 0.0)
    require_constant("low", low, 0.0)
    require_constant("high", high, low)

    def rescale(u, p, step):
        return u * _ratio(coefficient * jnp.clip(norm(p), low, high), norm(u)).astype(u.dtype)

    return beside_params("scale_by_trust_ratio", rescale, where)


@transform
def scale_by_lars(coefficient: float = 1e-3, *, weight_decay: float = 0.0, where: Where = "**/kernel") -> Transform:
    """(g + weight_decay * w) * coefficient * |w| / (|g| + weight_decay * |w|).  https://arxiv.org/abs/1708.03888

    Arrays not meant pass as they are, without weight decay.  Other libraries measure the sum, |g + weight_decay * w|:
    that is chain(add_weight_decay(weight_decay), scale_by_trust_ratio(coefficient)).
    """
    require_constant("coefficient", coefficient, 0.0)
    require_constant("weight_decay", weight_decay, 0.0)

    def rescale(u, p, step):
        size = norm(p)
        rate = _ratio(coefficient * size, norm(u) + weight_decay * size)
        return rate.astype(u.dtype) * (u + weight_decay * p)

    return beside_params("scale_by_lars", rescale, where)


@transform
def scale_by_novograd(b2: float = 0.98, eps: float = 1e-8) -> Transform:
    """Divide every array by the root of the running mean of its squared norms.  https://arxiv.org/abs/1905.11286

    The mean starts at the first squared norm.
    """
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return NovoGradState(jnp.zeros((), jnp.int32), jax.tree.map(lambda m: jnp.zeros((), m.dtype), moments(params)))

    def update(updates, state, params=None, **extras):
        def average(square, g):
            now = jnp.square(norm(g)).astype(square.dtype)
            return jnp.where(state.step == 0, now, b2 * square + (1 - b2) * now)

        square = jax.tree.map(average, state.square, updates)
        divide = lambda g, square: over_root(g.astype(square.dtype), square, eps).astype(g.dtype)
        return jax.tree.map(divide, updates, square), NovoGradState(state.step + 1, square)

    return Transform(init, update)


def _ratio(top: jax.Array, bottom: jax.Array) -> jax.Array:
    known = (top > 0) & (bottom > 0)
    return jnp.where(known, top / jnp.where(known, bottom, 1), 1)
