"""A dense layer over any axes, written as one equation."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure


class Equation(NamedTuple):
    """An equation "x, kernel -> y" by its axes: letters, and ... for any number of axes."""

    x: tuple
    kernel: tuple
    y: tuple


@layer
def einsum(
    equation: str,
    kernel_shape: Sequence[int],
    *,
    bias: str = "",
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """Contract the input with a kernel, as `jnp.einsum` writes it; `bias` names the axes of the output that have one.

    einsum("...d,dhk->...hk", (dim, heads, size), bias="hk") projects onto heads.  Axes of the kernel which the input
    has too are inputs of a unit, those of the output are units; an axis in all three counts independent kernels
    ("...ed,edf->...ef" is one dense layer for each e).  Raises ValueError for an equation that says no such thing.
    """
    axes = _read(equation, bias)
    shape = tuple(kernel_shape)
    if len(axes.kernel) != len(shape):
        raise ValueError(f"the kernel of {equation!r} has {len(axes.kernel)} axes, got the shape {shape}")
    sizes: dict = dict(zip(axes.kernel, shape)) | {...: ...}

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": _draw(kernel_key, kernel_init, axes, sizes)}
        return kernel | {"bias": bias_init(bias_key, tuple(sizes[a] for a in bias))} if bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, *(sizes.get(axis) for axis in axes.x))
        y = jnp.einsum(equation, x, params["kernel"])
        return y + _placed(params["bias"], bias, axes.y, y.ndim) if bias else y

    return pure(init, apply)


def _read(equation: str, bias: str) -> Equation:
    """The axes of the equation; raises ValueError where it is no map of an input by a kernel."""
    given, arrow, y = equation.replace(" ", "").partition("->")
    x, comma, kernel = given.partition(",")
    if not (arrow and comma) or "." in kernel:
        raise ValueError(f'equation must read "x,kernel->y", as in "...d,dh->...h", got {equation!r}')
    axes = Equation(_axes(x), _axes(kernel), _axes(y))
    for term in axes:
        if any(a is not ... and not a.isalpha() for a in term) or len(set(term)) != len(term):
            raise ValueError(f"the axes of an array must be different letters, got {equation!r}")
    for axis in {*axes.x, *axes.kernel, *axes.y}:
        if sum(axis in term for term in axes) < 2:
            name = "..." if axis is ... else axis
            raise ValueError(f"the axis {name} of {equation!r} must stand in two of input, kernel and output")
    if list(bias) != [a for a in axes.y if a in axes.kernel and a in tuple(bias)]:
        raise ValueError(f"bias must name axes that kernel and output of {equation!r} share, in order, got {bias!r}")
    return axes


def _axes(term: str) -> tuple:
    head, dots, tail = term.partition("...")
    return (*head, *([...] if dots else []), *tail)


def _draw(key: jax.Array, kernel_init: Initializer, axes: Equation, sizes: dict) -> jax.Array:
    """The kernel, drawn as matrices (in, out) so that the initializer sees the right fans."""
    both = [a for a in axes.kernel if a in axes.x and a in axes.y]
    into = [a for a in axes.kernel if a not in axes.y]
    units = [a for a in axes.kernel if a not in axes.x]
    count, rows, columns = (math.prod(sizes[a] for a in group) for group in (both, into, units))
    matrices = jax.vmap(lambda key: kernel_init(key, (rows, columns)))(jax.random.split(key, count))
    order = both + into + units
    return matrices.reshape([sizes[a] for a in order]).transpose([order.index(a) for a in axes.kernel])


def _placed(bias: jax.Array, letters: str, axes: tuple, rank: int) -> jax.Array:
    """The bias with an axis of size one wherever the output has another axis than its letters."""
    cut = axes.index(...) if ... in axes else len(axes)
    places = [i if i < cut else i - len(axes) + rank for i in (axes.index(a) for a in letters)]
    return jnp.expand_dims(bias, [i for i in range(rank) if i not in places])
