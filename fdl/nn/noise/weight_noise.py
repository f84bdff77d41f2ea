"""Noise on the weights instead of the inputs."""

import zlib

import jax

from fdl.nn.layer import Layer, Part, as_layer, layer
from fdl.nn.noise.counter import noise_key
from fdl.tree import Where, map_with_path, select, stands_for, widen


@layer
def weight_noise(part: Part, std: float, where: Where = "**/kernel") -> Layer:
    """The part; in training normal noise of this standard deviation is on the weights meant.  (as the part)

    Fresh in every call, the same for all examples of a batch; params are those of the part.  Graves 2011, Practical
    Variational Inference for Neural Networks.  Raises ValueError in training without a key, TreeError where a pattern
    matches no parameter.
    """
    if std < 0:
        raise ValueError(f"std must be 0 or more, got {std}")
    part = as_layer(part)

    def init(key):
        params, state = part.init(key)
        select(params, where)
        return params, state

    def apply(params, state, *x, key=None, train=False):
        if train and std:
            if key is None:
                raise ValueError("weight_noise needs a key in training: apply(params, state, x, key=key, train=True)")
            own, key = jax.random.split(key)
            params = _disturbed(params, std, where, own)
        return part.apply(params, state, *x, key=key, train=train)

    inside = part.rebuild
    return Layer(init, apply, part.parts, False, inside and (lambda parts: weight_noise(inside(parts), std, where)))


def _disturbed(params, std: float, where: Where, key: jax.Array):
    def disturb(path, leaf):
        if not stands_for(where, path, leaf):
            return leaf
        own = noise_key(jax.random.fold_in(key, zlib.crc32(path.encode())))
        noise = std * jax.random.normal(own, leaf.shape, widen(leaf).dtype)  # the same noise in every precision
        return leaf + noise.astype(leaf.dtype)

    return map_with_path(disturb, params)
