"""Distance over gradients: the learning rate is how far training came from its start, over the gradients it took."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.points import point, require_params
from fdl.optim.transform import Hyper, Transform, chain, require_constant, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, norm


class DistanceState(NamedTuple):
    """Largest distance from the start, the sum of squared gradient norms, and the start.

    With layerwise=True the first two are one number for each array.
    """

    distance: Any
    total: Any
    start: Tree


@transform
def scale_by_dog(
    initial: float = 1e-6, eps: float = 1e-8, *, relative: bool = True, layerwise: bool = False
) -> Transform:
    """Updates times r / sqrt(G + eps): the largest distance from the start, over the norm of all gradients.

    r starts at initial * (1 + |start|), or with relative=False at `initial`.  layerwise=True is L-DoG, in which each
    array has its own distance and gradients.  https://arxiv.org/abs/2302.12022
    """
    require_constant("eps", eps, 0.0)

    def rate(r, total, gradient):
        total = total + gradient * gradient
        return r / _positive(jnp.sqrt(total + eps)), total

    return _by_distance("scale_by_dog", initial, relative, layerwise, rate)


@transform
def scale_by_dowg(
    initial: float = 1e-2, eps: float = 0.0, *, relative: bool = False, layerwise: bool = False
) -> Transform:
    """Updates times r^2 / (sqrt(v) + eps), where v sums r^2 |g|^2 with the r of each step.

    The arguments are those of `scale_by_dog`; the paper has no eps.  https://arxiv.org/abs/2305.16284
    """
    require_constant("eps", eps, 0.0)

    def rate(r, total, gradient):
        total = total + jnp.square(r * gradient)
        return r * r / _positive(jnp.sqrt(total) + eps), total

    return _by_distance("scale_by_dowg", initial, relative, layerwise, rate)


@transform
def dog(learning_rate: Hyper = 1.0, **dog: Any) -> Transform:
    """Distance over gradients; the other arguments are those of `scale_by_dog`.  The paper's learning rate is 1.

    r ← max(r, |x − x₀|);  G ← G + |g|²;  Δ = −learning_rate r g / √(G + eps)

    Its last parameters are noisy: evaluate an average, chain(dog(), average_params(polynomial_average(8))).
    """
    return chain(scale_by_dog(**dog), scale_by_learning_rate(learning_rate))


@transform
def dowg(learning_rate: Hyper = 1.0, **dowg: Any) -> Transform:
    """Distance over weighted gradients; the other arguments are those of `scale_by_dowg`.

    r ← max(r, |x − x₀|);  G ← G + r² |g|²;  Δ = −learning_rate r² g / (√G + eps)
    """
    return chain(scale_by_dowg(**dowg), scale_by_learning_rate(learning_rate))


def _by_distance(name: str, initial: float, relative: bool, layerwise: bool, rate: Callable) -> Transform:
    """Updates times rate(distance, total, norm of the gradient) -> (rate, total), of all arrays or of each."""
    require_constant("initial", initial, 0.0)
    size = (lambda tree: jax.tree.map(norm, tree)) if layerwise else norm
    stretch = (lambda updates, rates: jax.tree.map(scale, updates, rates)) if layerwise else scale

    def init(params):
        start = point(params)
        first = jax.tree.map(lambda n: initial * (1 + n) if relative else jnp.full_like(n, initial), size(start))
        return DistanceState(first, jax.tree.map(jnp.zeros_like, first), start)

    def update(updates, state, params=None, **extras):
        require_params(name, updates, params)
        moved = size(jax.tree.map(lambda p, start: p.astype(start.dtype) - start, params, state.start))
        distance = jax.tree.map(jnp.maximum, state.distance, moved)
        gradient = jax.tree.map(lambda n, r: n.astype(r.dtype), size(updates), distance)
        pairs = jax.tree.map(rate, distance, state.total, gradient)
        rates, total = jax.tree.transpose(jax.tree.structure(distance), jax.tree.structure((0, 0)), pairs)
        return stretch(updates, rates), DistanceState(distance, total, state.start)

    return Transform(init, update)


def _positive(x: jax.Array) -> jax.Array:
    """x, or infinity for 0: before the first gradient nothing moves."""
    return jnp.where(x == 0, jnp.inf, x)
