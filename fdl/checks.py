"""Checks made while tracing: they cost nothing at run time and say what was expected, what came, what to do."""

from types import EllipsisType

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


class ShapeError(ValueError):
    """An array has the wrong shape."""


class DtypeError(TypeError):
    """An array has the wrong element type."""


class TreeError(ValueError):
    """A pytree has the wrong structure: a path is missing, unexpected, or matched by nothing."""


def describe(x) -> str:
    """An array as its type: float32[2,16,63].  Anything else as its class."""
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        return type(x).__name__
    return f"{x.dtype}[{','.join(map(str, x.shape))}]"


def require_shape(x, *axes: int | EllipsisType | None, name: str = "input", hint: str = "") -> None:
    """Raise ShapeError unless x.shape reads as axes: an int is exact, None any one axis, ... any number of axes."""
    shape = jnp.shape(x)
    if _matches(shape, axes):
        return
    names = ["..." if a is ... else "*" if a is None else str(a) for a in axes]
    wanted = f"({', '.join(names)}{',' * (len(names) == 1)})"
    raise ShapeError(_sentence(f"{name} must have shape {wanted}, got {shape}", hint or _guess(shape, axes, name)))


def require_float(x, name: str = "input", hint: str = "") -> None:
    """Raise DtypeError unless x holds real or complex numbers."""
    if not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
        hint = hint or "cast it first, e.g. x.astype('float32') / 255 for images"
        raise DtypeError(_sentence(f"{name} must be floating point, got {describe(x)}", hint))


def require_integer(x, name: str = "input", hint: str = "") -> None:
    """Raise DtypeError unless x holds integers."""
    if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
        raise DtypeError(_sentence(f"{name} must be integers, got {describe(x)}", hint))


def require_key(key) -> None:
    """Raise DtypeError unless key is one typed random key."""
    if not (hasattr(key, "dtype") and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise DtypeError(f"key must be a typed random key, got {describe(key)}; make one with jax.random.key(seed)")
    if key.shape != ():
        raise ShapeError(f"key must be one key, got {key.shape} of them; pass one, or map over them with jax.vmap")


def require_mask(where: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array | None:
    """The mask as an array, or None; raises DtypeError or ShapeError unless boolean and of this shape."""
    if where is None:
        return None
    if jnp.result_type(where) != jnp.bool_:
        raise DtypeError(
            f"where must be boolean, got {describe(where)}; "
            "compare, e.g. where=lengths > 0, or multiply the losses by weights yourself"
        )
    require_shape(where, *shape, name="where", hint="it must be the shape of the result")
    return jnp.asarray(where)


def _matches(shape: tuple, axes: tuple) -> bool:
    if ... not in axes:
        return len(shape) == len(axes) and all(a is None or a == n for a, n in zip(axes, shape))
    cut = axes.index(...)
    head, tail = axes[:cut], axes[cut + 1 :]
    if len(shape) < len(head) + len(tail):
        return False
    return _matches(shape[: len(head)], head) and _matches(shape[len(shape) - len(tail) :], tail)


def _guess(shape: tuple, axes: tuple, name: str) -> str:
    """The likeliest reason why shape does not read as axes."""
    if ... not in axes and len(shape) == len(axes) - 1:
        return "did you forget the batch axis? add one with x[None]"
    if axes and isinstance(axes[-1], int) and len(shape) > 2 and axes[-1] in shape[1:-1]:
        return "the channel axis must come last: (batch, height, width, dim)"
    if axes and isinstance(axes[-1], int) and len(shape) > 2 and shape[-1] != axes[-1]:
        size = 1
        for n in shape[1:]:
            size *= n
        if size == axes[-1]:
            return "put nn.flatten before this layer"
    if name == "input" and shape and isinstance(axes[-1], int) and shape[-1] != axes[-1]:
        return f"make the layer for {shape[-1]}, or look at what comes before it"
    return ""


def _sentence(fact: str, hint: str) -> str:
    return f"{fact}; {hint}" if hint else fact
