"""Reverse-mode differentiation with a tape of our own, to be read beside `jax.grad`.

A function runs on variables.  Each operation computes its value at once and writes an entry: which variables it read,
and how a gradient by its result becomes gradients by those.  Read backwards once, the tape gives the gradient of a
number by every variable, for about the cost of computing the number.

The values are JAX's arrays, so `jit`, `vmap` and `jax.grad` itself go through it as through any function.
Linnainmaa 1970; Griewank and Walther 2008, chapter 3, https://doi.org/10.1137/1.9780898717761

>>> value, gradient = value_and_grad(lambda w: total(w * w))(jnp.array([1.0, 2.0]))
>>> gradient
Array([2., 4.], dtype=float32)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError, describe, require_float, require_shape
from fdl.tree import Tree, flatten

Operand = Any  # a Variable, an array or a number


class Entry(NamedTuple):
    """The places on the tape that an operation read, and pull(gradient by its result) -> gradients by what it read."""

    read: tuple[int, ...]
    pull: Callable[[jax.Array], tuple[jax.Array, ...]]


@dataclass(frozen=True, eq=False)
class Variable:
    """An array, and the place on a tape where it was written."""

    value: jax.Array
    tape: list[Entry]
    place: int

    __array_ufunc__ = None  # an array of NumPy on the left leaves the operation to us

    def __add__(self, other: Operand) -> "Variable":
        return _joined(self, other, jnp.add, lambda a, b: lambda g: (g, g))

    def __sub__(self, other: Operand) -> "Variable":
        return _joined(self, other, jnp.subtract, lambda a, b: lambda g: (g, -g))

    def __mul__(self, other: Operand) -> "Variable":
        return _joined(self, other, jnp.multiply, lambda a, b: lambda g: (g * b, g * a))

    def __matmul__(self, other: Operand) -> "Variable":
        """(n, m) @ (m, k) -> (n, k)"""
        other = _on(self.tape, other, self.value.dtype)
        a, b = self.value, other.value
        require_shape(a, None, None, name="left of @")
        require_shape(b, a.shape[1], None, name="right of @")
        return _write(a @ b, (self, other), lambda g: (g @ b.T, a.T @ g))

    def __neg__(self) -> "Variable":
        return 0 - self

    def __rsub__(self, other: Operand) -> "Variable":
        return _on(self.tape, other, self.value.dtype) - self

    def __rmatmul__(self, other: Operand) -> "Variable":
        return _on(self.tape, other, self.value.dtype) @ self

    __radd__, __rmul__ = __add__, __mul__


def value_and_grad(f: Callable[..., Variable]) -> Callable[..., tuple[jax.Array, Tree]]:
    """(params, *args) -> (f's number, its gradient by params), for f of a tree of variables and of args as they are.

    Raises TypeError where f returns no variable, ShapeError where it is not one number.
    """

    def both(params: Tree, *args: Any) -> tuple[jax.Array, Tree]:
        for path, leaf in flatten(params).items():
            require_float(leaf, path or "params")
        tape: list[Entry] = []
        variables = jax.tree.map(lambda leaf: _written(tape, jnp.asarray(leaf)), params)
        result = f(variables, *args)
        if not isinstance(result, Variable):
            raise TypeError(f"f must return a variable, made of the parameters, got {describe(result)}")
        if result.value.shape:
            raise ShapeError(f"f must return one number, got {describe(result.value)}; take the total of it")
        found = gradients(result)
        by = lambda variable: found.get(variable.place, jnp.zeros_like(variable.value))
        return result.value, jax.tree.map(by, variables)

    return both


def gradients(result: Variable) -> dict[int, jax.Array]:
    """The gradient of a number by every variable that it depends on, by place: the tape read backwards."""
    found = {result.place: jnp.ones_like(result.value)}
    for place in range(result.place, -1, -1):
        if place in found:
            entry = result.tape[place]
            for source, gradient in zip(entry.read, entry.pull(found[place])):
                found[source] = found[source] + gradient if source in found else gradient
    return found


def sigmoid(x: Variable) -> Variable:
    """1 / (1 + exp(-x))"""
    y = jax.nn.sigmoid(x.value)
    return _write(y, (x,), lambda g: (g * y * (1 - y),))


def tanh(x: Variable) -> Variable:
    """The hyperbolic tangent."""
    y = jnp.tanh(x.value)
    return _write(y, (x,), lambda g: (g * (1 - y * y),))


def exp(x: Variable) -> Variable:
    """The exponential."""
    y = jnp.exp(x.value)
    return _write(y, (x,), lambda g: (g * y,))


def log(x: Variable) -> Variable:
    """The natural logarithm."""
    return _write(jnp.log(x.value), (x,), lambda g: (g / x.value,))


def total(x: Variable) -> Variable:
    """The sum of all elements.  (shape) -> ()"""
    return _write(x.value.sum(), (x,), lambda g: (jnp.broadcast_to(g, x.value.shape),))


def _written(tape: list[Entry], value: jax.Array) -> Variable:
    """A new variable that depends on nothing."""
    tape.append(Entry((), lambda g: ()))
    return Variable(value, tape, len(tape) - 1)


def _write(value: jax.Array, read: tuple[Variable, ...], pull: Callable) -> Variable:
    tape = read[0].tape
    tape.append(Entry(tuple(variable.place for variable in read), pull))
    return Variable(value, tape, len(tape) - 1)


def _on(tape: list[Entry], operand: Operand, dtype: Any) -> Variable:
    """The operand as a variable of this tape."""
    if not isinstance(operand, Variable):
        plain = isinstance(operand, int | float | np.number)
        return _written(tape, jnp.asarray(operand, dtype if plain else None))
    if operand.tape is not tape:
        raise ValueError("the two variables are on different tapes; pass the outer one to f as an argument's .value")
    return operand


def _joined(left: Variable, other: Operand, f: Callable, pull: Callable) -> Variable:
    """f of two values brought to one shape; their gradients are summed over the axes along which they were repeated."""
    right = _on(left.tape, other, left.value.dtype)
    shape = jnp.broadcast_shapes(left.value.shape, right.value.shape)
    a, b = (jnp.broadcast_to(variable.value, shape) for variable in (left, right))
    inner = pull(a, b)
    back = lambda g: tuple(_summed(part, v.value.shape) for part, v in zip(inner(g), (left, right)))
    return _write(f(a, b), (left, right), back)


def _summed(gradient: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n != gradient.shape[i])
    return gradient.sum(repeated, keepdims=True)
