"""Steps of one length in every direction of a matrix: the gradient with all its singular values made about 1.

Kernels are read as matrices (in, out): an array of more axes, as of a convolution, is (everything but the last, last).
Arrays stacked by `repeat`, which start with an axis of layers, are named by `stacked` and taken layer by layer.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, describe, require_float, require_shape
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import require_real
from fdl.optim.matrix.axes import each_layer
from fdl.optim.optimizers.course import adam
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.optim.wrappers.groups import groups
from fdl.tree import Tree, Where, flatten, select, widen

Coefficients: TypeAlias = tuple[float, float, float]
Adjust: TypeAlias = Literal["original", "match_rms_adamw"]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(
    matrix: jax.Array, steps: int = 5, coefficients: Coefficients = COEFFICIENTS, eps: float = 1e-7
) -> jax.Array:
    """The matrix with its singular values near 1, by matrix products alone.  (..., m, n) -> same shape

    Each step makes a s + b s^3 + c s^5 of every singular value s.  These coefficients bring all above 0.01 of the norm
    into about [0.7, 1.2] in five steps, and none to 1; (2, -1.5, 0.5) converges to 1, slowly.  Zeros stay zeros.
    https://kellerjordan.github.io/posts/muon/
    """
    require_float(matrix, "matrix")
    require_shape(matrix, ..., None, None, name="matrix")
    a, b, c = coefficients
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = widen(matrix)
    x = jnp.swapaxes(x, -1, -2) if tall else x  # the smaller of the two products
    x = x / (jnp.sqrt(jnp.sum(x * x, (-2, -1), keepdims=True)) + eps)
    for _ in range(steps):
        square = x @ jnp.swapaxes(x, -1, -2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return (jnp.swapaxes(x, -1, -2) if tall else x).astype(matrix.dtype)


@transform
def orthogonalize(
    steps: int = 5,
    *,
    coefficients: Coefficients = COEFFICIENTS,
    eps: float = 1e-7,
    adjust: Adjust = "original",
    stacked: Where = (),
) -> Transform:
    """Make all singular values of every update about 1 by `newton_schulz`, times a factor for its shape.

    adjust="original" is Keller Jordan's max(1, out / in)^0.5; "match_rms_adamw" is Moonshot's 0.2 max(in, out)^0.5,
    with which the learning rate and weight decay of Adam fit.  https://arxiv.org/abs/2502.16982
    Raises ShapeError naming a parameter that is no matrix.
    """
    _require_steps(steps, coefficients, eps)
    if adjust not in ("original", "match_rms_adamw"):
        raise ValueError(f"adjust must be 'original' or 'match_rms_adamw', got {adjust!r}")

    def rule(u):
        if u.size == 0:
            return (u,)
        matrix = widen(as_matrix(u))
        rows, columns = matrix.shape
        size = max(1, columns / rows) ** 0.5 if adjust == "original" else 0.2 * max(rows, columns) ** 0.5
        return ((size * newton_schulz(matrix, steps, coefficients, eps)).reshape(u.shape).astype(u.dtype),)

    def init(params):
        require_real(params)
        require_matrices(params, stacked)
        return ()

    return Transform(init, lambda u, state, params=None, **extras: (each_layer(rule, stacked, u)[0], state))


@transform
def scale_by_muon(momentum: Hyper = 0.95, *, nesterov: bool = True, **orthogonalize_: Any) -> Transform:
    """Muon's direction: the velocity, orthogonalized.  https://kellerjordan.github.io/posts/muon/

    For matrices alone; the other arguments are those of `orthogonalize`.
    """
    return chain(accumulate(momentum, nesterov=nesterov), orthogonalize(**orthogonalize_))


def muon(
    learning_rate: Hyper = 0.02,
    *,
    where: str | Sequence[str] = "**/kernel",
    rest: Transform | None = adam(3e-4),
    weight_decay: Hyper = 0.0,
    **muon: Any,
) -> Transform:
    """Muon on the matrices meant, and the optimizer `rest` on all else.  https://kellerjordan.github.io/posts/muon/

    v ← momentum v + g;  g + momentum v = U S Vᵀ;  Δ = −learning_rate (√max(1, out / in) U Vᵀ + weight_decay x)

    It is `groups`: it prints as what it does with which parameters, and `group_table(muon(...), params)` shows each.
    Embeddings and the last layer do better under Adam: where=["blocks/**/kernel"].  With rest=None a parameter that
    where does not mean raises TreeError.  The other arguments are those of `scale_by_muon`.
    """
    matrices = chain(
        scale_by_muon(**muon), add_weight_decay(weight_decay, where="**"), scale_by_learning_rate(learning_rate)
    )
    table = dict.fromkeys([where] if isinstance(where, str) else where, matrices)
    return groups(table if rest is None else table | {"**": rest})


def as_matrix(x: jax.Array) -> jax.Array:
    """(everything but the last axis, last axis)"""
    return x.reshape(-1, x.shape[-1])


def require_matrices(params: Tree, stacked: Where) -> None:
    """Raise ShapeError naming a parameter that has fewer than two axes, beside the one of layers."""
    flags = jax.tree.leaves(select(params, stacked))
    for (path, leaf), flag in zip(flatten(params).items(), flags):
        if leaf.ndim < 2 + flag:
            beside = " beside its axis of layers" if flag else ""
            raise ShapeError(
                f"parameter {path!r} is {describe(leaf)}; only an array of two axes or more{beside} can be made "
                "orthogonal: give it to another optimizer, as muon does with all that where does not mean"
            )


def _require_steps(steps: int, coefficients: Sequence[float], eps: float) -> None:
    require_whole("steps", steps, 0)
    require_constant("eps", eps, 0.0)
    if len(coefficients) != 3:
        raise ValueError(f"coefficients must be the three numbers of a s + b s^3 + c s^5, got {coefficients}")
