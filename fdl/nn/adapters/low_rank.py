"""Fine-tuning by updates of low rank: the recipe is to adapt a model and to freeze what it was.

>>> adapted = nn.lora(model, "blocks/*/query/kernel", rank=8)
>>> tuned = nn.freeze(adapted, "base/**")                     # only the adapters are trained
>>> params, state = tuned.init(key)
>>> ...                                                       # train, with adamw(..., where="adapter/**")
>>> params, state = nn.merged(adapted, *nn.thaw_params(adapted, params, state))    # those of the model again

Over pretrained parameters training starts from
nn.freeze_params(adapted.init(key)[0] | {"base": pretrained}, {"base": their_state}, "base/**").
"""

import zlib

import jax
import jax.numpy as jnp

from fdl.nn.activations.axiswise import unit
from fdl.nn.adapters.leaves import chosen, matrix_shape
from fdl.nn.compose import wire
from fdl.nn.initializers.standard import Initializer, lecun_normal
from fdl.nn.layer import Layer, Params, State, layer, pure
from fdl.tree import Where, flatten, map_with_path, unflatten, widen


@layer
def lora(
    model: Layer, where: Where, *, rank: int, scale: float = 1.0, down_init: Initializer = lecun_normal()
) -> Layer:
    """The model with kernel + scale * down @ up in place of the kernels meant; up starts at zero.  (as the model)

    params are {"base": those of the model, "adapter": {path of a kernel: {"down": (rows, rank), "up": (rank, out)}}}.
    A kernel of more axes is seen as (all but the last, last), each kernel of a `repeat` by itself.  The sum is
    computed in every call, whatever layer uses it; `merged` does so once and for all.  scale is alpha / rank in
    https://arxiv.org/abs/2106.09685.  Raises TreeError where a pattern matches nothing, ShapeError for vectors.
    """
    return _adapted(model, where, rank, scale, down_init, turned=False)


@layer
def dora(
    model: Layer, where: Where, *, rank: int, scale: float = 1.0, down_init: Initializer = lecun_normal()
) -> Layer:
    """As `lora`, with the length of each output unit's weights apart from their direction.  (as the model)

    The direction is that of kernel + scale * down @ up; the length is the kernel's own times a trained "magnitude",
    1 at first, so that it starts equal to whatever base is put in.  https://arxiv.org/abs/2402.09353
    """
    return _adapted(model, where, rank, scale, down_init, turned=True)


def merged(model: Layer, params: Params, state: State) -> tuple[Params, State]:
    """(params, state) of the model that was adapted, its kernels updated; freeze and quantize are undone before.

    Raises TreeError for a model without an adapter.
    """
    base, _ = model.part("adapter").apply(params["adapter"], {}, params["base"])
    return base, state.get("base", {})


def _adapted(model: Layer, where: Where, rank: int, scale: float, down_init: Initializer, turned: bool) -> Layer:
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")

    def forward(*x, base, adapter):
        base.params = adapter(base.params)
        return base(*x)

    shapes = {path: matrix_shape(model, path) for path in chosen(model, where)}
    return wire(forward, base=model, adapter=_update(shapes, rank, scale, down_init, turned))


def _update(shapes: dict[str, tuple[int, ...]], rank: int, scale: float, down_init: Initializer, turned: bool) -> Layer:
    """The layer from the parameters of a model to the adapted ones."""

    def init(key):
        leaves = {}
        for path, (*stack, rows, out_dim) in shapes.items():
            keys = jax.random.split(jax.random.fold_in(key, zlib.crc32(path.encode())), tuple(stack))
            draw = lambda key, rows=rows: down_init(key, (rows, rank))
            for _ in stack:
                draw = jax.vmap(draw)
            leaves[f"{path}/down"], leaves[f"{path}/up"] = draw(keys), jnp.zeros((*stack, rank, out_dim))
            if turned:
                leaves[f"{path}/magnitude"] = jnp.ones((*stack, out_dim))
        return unflatten(leaves)

    def apply(params, base):
        factors = {path: widen(leaf) for path, leaf in flatten(params).items()}

        def adapt(path, leaf):
            if path not in shapes:
                return leaf
            kernel = widen(leaf).reshape(shapes[path])
            updated = kernel + scale * (factors[f"{path}/down"] @ factors[f"{path}/up"])
            if turned:
                updated = _turn(kernel, updated, factors[f"{path}/magnitude"])
            return updated.reshape(leaf.shape).astype(leaf.dtype)

        return map_with_path(adapt, base)

    return pure(init, apply)


def _turn(kernel: jax.Array, updated: jax.Array, magnitude: jax.Array) -> jax.Array:
    """Columns in the direction of updated, as long as those of kernel times magnitude."""
    length = jnp.sum(unit(kernel, -2) * kernel, -2)  # the norm, with gradient 0 instead of NaN at 0
    return unit(updated, -2) * jnp.expand_dims(magnitude * length, -2)
