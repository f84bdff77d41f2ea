"""Running means of gradients: how full they are, and directions divided by the roots of their squares.

`eps` keeps the division finite.  Inside the root, x / sqrt(r + eps), the smallest unit is sqrt(eps); outside it,
x / (sqrt(r) + eps), it is eps.  With eps = 0 a parameter that has never had a gradient does not move.
"""

import math

import jax
import jax.numpy as jnp

BELOW_ONE = math.nextafter(1.0, 0.0)


def filled(decay: float, step: jax.Array) -> jax.Array:
    """1 - decay^step, without the cancellation that costs float32 four digits when decay is near 1.

    It is the sum of the weights in a running mean that started at 0.
    """
    return -jnp.expm1(jnp.asarray(step, float) * (math.log(decay) if decay > 0 else -math.inf))


def over_root(x: jax.Array, square: jax.Array, eps: float, eps_in_root: bool = False) -> jax.Array:
    """x / (sqrt(square) + eps), or x / sqrt(square + eps); with eps = 0 it is 0 where the square is 0."""
    if eps == 0:
        still = square == 0
        return jnp.where(still, 0, x / jnp.sqrt(jnp.where(still, 1, square)))
    return x / jnp.sqrt(square + eps) if eps_in_root else x / (jnp.sqrt(square) + eps)


def over(x: jax.Array, size: jax.Array, eps: float) -> jax.Array:
    """x / (size + eps); with eps = 0 it is 0 where the size is 0."""
    if eps == 0:
        still = size == 0
        return jnp.where(still, 0, x / jnp.where(still, 1, size))
    return x / (size + eps)
