"""Kernels as direction and length, over their largest singular value, or standardised."""

from functools import partial

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.nn.activations.axiswise import unit
from fdl.nn.layer import Layer, Part, layer
from fdl.nn.normalization.reparametrize import Extras, reparametrize
from fdl.tree import Where, widen


@layer
def weight_norm(part: Part, where: Where = "**/kernel") -> Layer:
    """The part with each kernel as a direction times a trained length: scale * kernel / |kernel|, unit by unit.

    A unit is one index of the last axis.  At first the kernel is as the part draws it.  https://arxiv.org/abs/1602.07868
    """
    return reparametrize(part, where, _with_length, _lengths)


@layer
def weight_standardisation(part: Part, where: Where = "**/kernel", *, eps: float = 1e-10) -> Layer:
    """The part with the kernel of each unit shifted and scaled to mean 0 and variance 1.

    A unit is one index of the last axis.  https://arxiv.org/abs/1903.10520
    """
    return reparametrize(part, where, partial(_standardised, eps=eps))


@layer
def spectral_norm(part: Part, where: Where = "**/kernel", *, iterations: int = 1) -> Layer:
    """The part with each kernel, as a matrix (everything else, out), divided by its largest singular value.

    The value comes from singular vectors carried in the state, which get `iterations` steps of power iteration a
    training step and are constants for the gradient.  https://arxiv.org/abs/1802.05957
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    return reparametrize(part, where, partial(_over_largest, iterations=iterations), _singular_vectors)


def _lengths(key: jax.Array, kernel: jax.Array) -> tuple[Extras, Extras]:
    return {"scale": jnp.linalg.norm(_matrix(kernel), axis=0)}, {}


def _with_length(kernel: jax.Array, params: Extras, state: Extras, train: bool) -> tuple[jax.Array, Extras]:
    rows = unit(_matrix(kernel), axis=0) * widen(params["scale"])[None]
    return rows.reshape(kernel.shape).astype(kernel.dtype), {}


def _standardised(
    kernel: jax.Array, params: Extras, state: Extras, train: bool, *, eps: float
) -> tuple[jax.Array, Extras]:
    matrix = _matrix(kernel)
    centred = matrix - jnp.mean(matrix, 0, keepdims=True)
    rows = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), 0, keepdims=True) + eps)
    return rows.reshape(kernel.shape).astype(kernel.dtype), {}


def _singular_vectors(key: jax.Array, kernel: jax.Array) -> tuple[Extras, Extras]:
    """A first guess of the singular vectors of a kernel, on the side of its outputs and of its inputs."""
    matrix = _matrix(kernel)
    sizes = zip(jax.random.split(key), matrix.shape[::-1])
    out, into = (unit(jax.random.normal(own, (size,), matrix.dtype)) for own, size in sizes)
    out, into = _power_iteration(matrix, out, into, 15)
    return {}, {"out": out, "in": into}


def _over_largest(
    kernel: jax.Array, params: Extras, state: Extras, train: bool, *, iterations: int
) -> tuple[jax.Array, Extras]:
    matrix = _matrix(kernel)
    out, into = state["out"].astype(matrix.dtype), state["in"].astype(matrix.dtype)
    if train:
        out, into = _power_iteration(jax.lax.stop_gradient(matrix), out, into, iterations)
    largest = into @ matrix @ out
    after = {"out": out.astype(state["out"].dtype), "in": into.astype(state["in"].dtype)}
    largest = jnp.where(largest == 0, 1, largest)  # a kernel of zeros stays one
    return (widen(kernel) / largest).astype(kernel.dtype), after


def _power_iteration(
    matrix: jax.Array, out: jax.Array, into: jax.Array, iterations: int
) -> tuple[jax.Array, jax.Array]:
    """Singular vectors after some steps from a guess on the side of the inputs; of a zero matrix the old ones."""
    some = jnp.any(matrix != 0)
    for _ in range(iterations):
        out = jnp.where(some, unit(into @ matrix), out)
        into = jnp.where(some, unit(matrix @ out), into)
    return out, into


def _matrix(kernel: jax.Array) -> jax.Array:
    """(..., out) -> (inputs of a unit, out), in float32 at least."""
    if kernel.ndim < 2:
        raise TreeError(f"a kernel must have shape (..., in, out), got {kernel.shape}; let `where` mean kernels alone")
    return widen(kernel).reshape(-1, kernel.shape[-1])
