"""Batch normalisation taken up into the weights before it, for evaluation."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.nn.activations.standard import identity
from fdl.nn.layer import Layer, Params, State, as_layer, layer
from fdl.nn.rewire import map_parts
from fdl.tree import flatten, unflatten, widen

PRODUCTS = ("dense", "conv", "depthwise_conv", "causal_conv", "patch_embedding")  # kernels (..., out), with use_bias


def fold_batch_norm(model: Layer, params: Params, state: State, *x: Any) -> tuple[Layer, Params, State]:
    """The (model, params, state) of the same outputs in evaluation, without the batch norms that follow a product.

    A product is a dense layer or a convolution.  One call of the model on the example x tells which batch_norm gets
    the output of which, in `serial` and `wire`, repeated or not.  Those that follow none stay.
    Raises TreeError where none does, ValueError where the outputs change: a product that is used elsewhere too.
    """
    pairs = _pairs(model, params, state, x)
    if not pairs:
        raise TreeError(
            f"nothing to fold in {model!r}: no batch_norm gets the output of a dense layer or a convolution alone"
        )
    leaves, carried = flatten(params), flatten(state)
    for product, norm in pairs:
        folded = model.part(norm)
        factor, shift = _affine(folded, _taken(leaves, norm), _taken(carried, norm))
        kernel, bias = leaves[f"{product}/kernel"], leaves.get(f"{product}/bias")
        between = range(factor.ndim - 1, kernel.ndim - 1)
        leaves[f"{product}/kernel"] = (widen(kernel) * jnp.expand_dims(factor, between)).astype(kernel.dtype)
        leaves[f"{product}/bias"] = (shift if bias is None else widen(bias) * factor + shift).astype(kernel.dtype)
    result = folded_model(model, pairs), unflatten(leaves), unflatten(carried)
    before, after = jax.jit(model.apply)(params, state, *x), jax.jit(result[0].apply)(*result[1:], *x)
    _require_equal(before[0], after[0])
    return result


@layer
def folded_model(model: Layer, pairs: tuple[tuple[str, str], ...]) -> Layer:
    """The model with a bias in the first and the identity in place of the second of each pair of paths."""
    products, norms = zip(*pairs)

    def change(path: str, part: Layer) -> Layer:
        if path in norms:
            return as_layer(identity)
        return part.replace(use_bias=True) if path in products else part

    return map_parts(model, change)


def _pairs(model: Layer, params: Params, state: State, x: tuple) -> tuple[tuple[str, str], ...]:
    """(path of a product, path of the batch norm) wherever the one is called on each output of the other alone."""
    made: list[tuple[str, Any]] = []  # every product with its output
    taken: list[tuple[str | None, str]] = []  # every batch norm behind the product whose output it was called on

    def watched(path: str, part: Layer) -> Layer:
        if part.kind not in (*PRODUCTS, "batch_norm"):
            return part

        def apply(params, state, *x, **mode):
            if part.kind == "batch_norm":
                taken.append((next((product for product, y in made if y is x[0]), None), path))
            y, state = part.apply(params, state, *x, **mode)
            if part.kind in PRODUCTS:
                made.append((path, y))
            return y, state

        return Layer(part.init, apply, part.parts, part.is_pure)

    jax.eval_shape(map_parts(model, watched).apply, params, state, *x)
    outputs, inputs = Counter(product for product, _ in made), Counter(norm for _, norm in taken)
    return tuple((a, b) for (a, b), n in Counter(taken).items() if a is not None and n == outputs[a] == inputs[b])


def _affine(norm: Layer, params: Params, state: State) -> tuple[jax.Array, jax.Array]:
    """(factor, shift) of each channel: value and derivative at zero of what is an affine map in evaluation."""
    scale = params["scale"]
    zero = jnp.zeros((1, scale.shape[-1]), widen(scale).dtype)

    def at_zero(params, state):
        return jax.jvp(lambda x: norm.apply(params, state, x)[0], (zero,), (jnp.ones_like(zero),))

    for _ in scale.shape[:-1]:  # the stacked parameters of repetitions
        at_zero = jax.vmap(at_zero)
    shift, factor = jax.jit(at_zero)(params, state)
    return factor[..., 0, :], shift[..., 0, :]


def _taken(leaves: dict[str, Any], path: str) -> dict[str, Any]:
    """The leaves below a path, taken out."""
    return {p[len(path) + 1 :]: leaves.pop(p) for p in list(leaves) if p.startswith(f"{path}/")}


def _require_equal(before: Any, after: Any) -> None:
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after)):
        error, most = float(jnp.max(jnp.abs(a - b))), float(jnp.max(jnp.abs(a)))
        if not error <= 10 * float(jnp.finfo(a.dtype).eps) ** 0.5 * most:
            raise ValueError(
                f"folding changed the output by {error:.1e} of {most:.1e}; "
                "a folded part is used besides its batch_norm, or normalised by itself"
            )
