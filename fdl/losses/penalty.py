"""Terms of the loss that depend on the parameters alone, or that layers left in the state."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl import tree
from fdl.checks import ShapeError, describe
from fdl.losses.inputs import promote
from fdl.tree import Tree, Where


def weight_penalty(params: Tree, where: Where = "**/kernel", *, l1: float = 0.0, l2: float = 0.0) -> jax.Array:
    """l1 Σ |w| + l2 Σ w² over all leaves meant, without a ½: the derivative is l1 sign(w) + 2 l2 w.  tree -> ()

    The derivative of |w| at 0 is 0.  Adam rescales this gradient with the rest; `optim.adamw` decays weights apart from
    it.  Raises TreeError if a pattern matches nothing.
    """
    if min(l1, l2) < 0:
        raise ValueError(f"l1 and l2 must be 0 or more, got {l1}, {l2}")
    return _sum_over(params, where, lambda w: jnp.sum(l1 * w * jnp.sign(w) + l2 * jnp.square(w)))


def orthogonal_penalty(params: Tree, where: Where = "**/kernel") -> jax.Array:
    """Σ (WᵀW - 1)² over all leaves meant, or WWᵀ where that is smaller, for W with all axes but the last as one.

    tree -> ()

    Small where columns (or rows) are of length 1 and at right angles.  For kernels stacked by `nn.repeat` map it over
    the first axis by `jax.vmap`.  Raises TreeError if a pattern matches nothing, ShapeError for a leaf of one axis.
    https://arxiv.org/abs/1609.07093
    """
    return _sum_over(params, where, _away_from_orthogonal)


def state_penalty(state: Tree) -> jax.Array:
    """The sum of every leaf of the state whose last name is "penalty"; 0 if there is none.  tree -> ()

    Layers such as `nn.penalty` and `nn.mixture_of_experts` leave their terms of the loss there; pass the new state,
    and the gradient reaches the parameters through it.
    """
    return _sum_over(state, "**/penalty", jnp.sum, strict=False)


def _away_from_orthogonal(w: jax.Array) -> jax.Array:
    if w.ndim < 2:
        raise ShapeError(f"a kernel must have 2 axes or more to be orthogonal, got {describe(w)}; say which by where")
    w = w.reshape(-1, w.shape[-1])
    w = w if w.shape[0] >= w.shape[1] else w.T
    gram = jnp.matmul(w.T, w, precision="highest")
    return jnp.sum(jnp.square(gram - jnp.eye(len(gram), dtype=gram.dtype)))


def _sum_over(params: Tree, where: Where, term: Callable[..., jax.Array], *, strict: bool = True) -> jax.Array:
    leaves = jax.tree.leaves(tree.split(params, where, strict=strict)[0])
    terms = [term(*promote(leaf)) for leaf in leaves]
    return jnp.sum(jnp.stack(promote(jnp.float32(0), *terms)))
