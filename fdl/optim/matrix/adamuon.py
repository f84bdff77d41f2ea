"""AdaMuon: orthogonal steps with a unit for every entry, as large as Adam's."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, over_root
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.matrix.axes import each_layer
from fdl.optim.matrix.orthogonal import as_matrix, newton_schulz, require_matrices
from fdl.optim.optimizers.course import adam
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.optim.wrappers.groups import groups
from fdl.tree import Tree, Where, norm


class AdaMuonState(NamedTuple):
    """The velocity, and the running mean of the squares of what became orthogonal."""

    velocity: Tree
    square: Tree


@transform
def scale_by_adamuon(
    momentum: float = 0.95, eps: float = 1e-8, *, size: float = 0.2, steps: int = 5, stacked: Where = ()
) -> Transform:
    """v = b v + g, o = orthogonal(sign(v)), r = b r + (1 - b) o^2, direction o / (sqrt(r) + eps), scaled to size.

    b is the momentum, orthogonal is `newton_schulz`, size the root mean square of the direction.  For matrices alone:
    raises ShapeError naming another.
    https://arxiv.org/abs/2507.11005, algorithm 1
    """
    require_constant("momentum", momentum, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    require_constant("size", size, 0.0)
    require_whole("steps", steps, 0)

    def rule(velocity, square):
        o = newton_schulz(as_matrix(jnp.sign(velocity)), steps).reshape(velocity.shape)
        square = momentum * square + (1 - momentum) * o * o
        d = over_root(o, square, eps)
        length = norm(d)
        return d * (size * math.sqrt(d.size) / jnp.where(length == 0, 1, length)).astype(d.dtype), square

    def init(params):
        require_real(params)
        require_matrices(params, stacked)
        return AdaMuonState(moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        _, velocity = each_leaf(lambda g, v: (g, momentum * v + g), updates, state.velocity)
        direction, square = each_layer(rule, stacked, velocity, state.square)
        return jax.tree.map(lambda d, u: d.astype(u.dtype), direction, updates), AdaMuonState(velocity, square)

    return Transform(init, update)


def adamuon(
    learning_rate: Hyper = 6e-4,
    *,
    where: str | Sequence[str] = "**/kernel",
    rest: Transform | None = adam(6e-4),
    weight_decay: Hyper = 0.1,
    **adamuon: Any,
) -> Transform:
    """AdaMuon on the matrices meant, and the optimizer `rest` on all else.

    v ← momentum v + g;  sign(v) = U S Vᵀ;  r ← momentum r + (1 − momentum) (U Vᵀ)²;  u = U Vᵀ / (√r + eps)
    Δ = −learning_rate (size u / rms(u) + weight_decay x)

    As `muon` it is `groups`, with the same `where` and `rest`; the other arguments are those of `scale_by_adamuon`.
    The rates are Adam's.  https://arxiv.org/abs/2507.11005
    """
    matrices = chain(
        scale_by_adamuon(**adamuon), add_weight_decay(weight_decay, where="**"), scale_by_learning_rate(learning_rate)
    )
    table = dict.fromkeys([where] if isinstance(where, str) else where, matrices)
    return groups(table if rest is None else table | {"**": rest})
