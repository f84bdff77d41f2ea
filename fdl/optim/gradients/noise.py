"""Noise that is a function of seed, step and path: the same in every run, another for every leaf and step."""

import zlib

import jax
import jax.numpy as jnp

from fdl.optim.schedules.standard import inverse_time
from fdl.optim.transform import Hyper, Transform, counting, require_number, require_whole, transform, value_at
from fdl.tree import Tree, map_with_path, widen


@transform
def add_noise(variance: Hyper = inverse_time(0.01, power=0.55), seed: int = 0) -> Transform:
    """Add Gaussian noise of this variance to every entry.

    The paper anneals it as eta / (1 + step)^0.55 with eta among 0.01, 0.3 and 1.  https://arxiv.org/abs/1511.06807
    """
    require_number("variance", variance, 0.0)
    require_whole("seed", seed, 0)

    def update(updates, params, step):
        spread = jnp.sqrt(jnp.asarray(value_at(variance, step), float))

        def noisy(key, u):
            wide = widen(u)
            return (wide + spread.astype(wide.dtype) * jax.random.normal(key, u.shape, wide.dtype)).astype(u.dtype)

        return jax.tree.map(noisy, leaf_keys(updates, "add_noise", seed, step), updates)

    return counting(update)


def leaf_keys(tree: Tree, stream: str, seed: int, step: jax.Array) -> Tree:
    """A key for every leaf, by its path, so that a new leaf changes no other; by stream, so that no two users share."""
    key = jax.random.fold_in(jax.random.key(seed), step)
    return map_with_path(lambda path, leaf: jax.random.fold_in(key, zlib.crc32(f"{stream} {path}".encode())), tree)
