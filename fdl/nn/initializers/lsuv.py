"""First values that look at data."""

import math

import jax
import jax.numpy as jnp

from fdl.nn.compose import serial
from fdl.nn.initializers.standard import orthogonal
from fdl.nn.layer import Layer, Params, State
from fdl.nn.rewire import map_parts
from fdl.tree import flatten, unflatten, widen

SHOWN = "output_variance"


def lsuv(
    model: Layer, params: Params, state: State, x: jax.Array, key: jax.Array, *, tolerance: float = 0.01, most: int = 10
) -> Params:
    """Params with orthonormal kernels, each scaled so that what its layer puts out for x has variance 1.

    In the order of execution and in evaluation mode, for every part with a "kernel" of its own; again, at `most` so
    many times, until all variances are within the tolerance of 1.  The repetitions of `repeat` are layers of their own.
    Other parameters stay, and so do kernels whose output does not vary.  https://arxiv.org/abs/1511.06422
    """
    order: list[str] = []
    showing = map_parts(serial(model=model), lambda path, part: _showing(path, part, order))
    slots = flatten(jax.eval_shape(showing.init, key)[1])
    empty = {path: jnp.zeros(leaf.shape) for path, leaf in slots.items() if path.endswith(SHOWN)}
    before = unflatten(empty | {f"model/{path}": leaf for path, leaf in flatten(state).items()})

    @jax.jit
    def variances(leaves):
        return flatten(showing.apply({"model": unflatten(leaves)}, before, x)[1])

    leaves = flatten(params)
    jax.eval_shape(variances, leaves)  # fills the order
    for i, path in enumerate(order):
        kernel = _kernel(path)
        leaves[kernel] = _orthonormal(jax.random.fold_in(key, i), leaves[kernel], empty[path].ndim)
    for _ in range(most):
        for path in order:
            leaves[_kernel(path)] = _scaled(leaves[_kernel(path)], variances(leaves)[path])
        after = variances(leaves)
        if all(bool((jnp.abs(after[path] - 1) <= tolerance).all()) for path in order):
            break
    return unflatten(leaves)


def _showing(path: str, part: Layer, order: list[str]) -> Layer:
    """A part with a kernel of its own, which leaves the variance of its output in the state; any other as it is."""
    if part.parts or "kernel" not in jax.eval_shape(part.init, jax.random.key(0))[0]:
        return part

    def init(key):
        params, state = part.init(key)
        return params, state | {SHOWN: jnp.zeros(())}

    def apply(params, state, *x, key=None, train=False):
        own = {name: leaf for name, leaf in state.items() if name != SHOWN}
        y, own = part.apply(params, own, *x, key=key, train=train)
        if f"{path}/{SHOWN}" not in order:
            order.append(f"{path}/{SHOWN}")
        return y, own | {SHOWN: jnp.var(widen(y)).astype(state[SHOWN].dtype)}

    return Layer(init, apply)


def _kernel(path: str) -> str:
    """model/dense_0/output_variance -> dense_0/kernel"""
    return path.removeprefix("model/").replace(SHOWN, "kernel")


def _orthonormal(key: jax.Array, kernel: jax.Array, stacked: int) -> jax.Array:
    """A fresh draw in the place of each of the kernels stacked along so many axes."""
    stack, own = kernel.shape[:stacked], kernel.shape[stacked:]
    keys = jax.random.split(key, math.prod(stack))
    return jax.vmap(lambda key: orthogonal()(key, own, kernel.dtype))(keys).reshape(kernel.shape)


def _scaled(kernel: jax.Array, variance: jax.Array) -> jax.Array:
    factor = jnp.where(variance > 0, jax.lax.rsqrt(jnp.where(variance > 0, variance, 1)), 1).astype(kernel.dtype)
    return kernel * factor.reshape(*variance.shape, *(1,) * (kernel.ndim - variance.ndim))
