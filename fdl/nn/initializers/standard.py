"""Initializers: values that draw the first parameters, init(key, shape, dtype=float32) -> array.

>>> he_normal()
he_normal()
>>> he_normal()(jax.random.key(0), (784, 256)).shape
(784, 256)

Kernels are (in, out), or (*window, in, out) for convolutions.  `normal` means the plain normal distribution
everywhere; what is cut off at two standard deviations says `truncated`.  (In jax.nn.initializers, lecun_normal,
glorot_normal and he_normal are truncated; in torch they are not.)  Random numbers are drawn in float32 at least, so
that a bfloat16 kernel is the rounded float32 one.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, ShapeError, require_key
from fdl.recipe import Function, recipe

Initializer: TypeAlias = Function
Mode: TypeAlias = Literal["fan_in", "fan_out", "fan_avg"]
Distribution: TypeAlias = Literal["normal", "truncated_normal", "uniform"]

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal cut off at -2 and 2."""

initializer = recipe(Function)
"""Decorate a constructor of initializers: what it makes remembers the constructor and its arguments."""


@initializer
def zeros() -> Any:
    """All zeros; needs no key."""
    return lambda key, shape, dtype=jnp.float32: jnp.zeros(shape, dtype)


@initializer
def ones() -> Any:
    """All ones; needs no key."""
    return lambda key, shape, dtype=jnp.float32: jnp.ones(shape, dtype)


@initializer
def constant(value: ArrayLike) -> Any:
    """This value everywhere, broadcast to the shape if it is an array; needs no key."""
    return lambda key, shape, dtype=jnp.float32: jnp.full(shape, value, dtype)


@initializer
def normal(std: float = 0.01) -> Any:
    """Normal with mean 0 and standard deviation std, not truncated."""
    _require_not_negative("std", std)
    return _drawn(lambda key, shape, dtype: std * jax.random.normal(key, shape, dtype))


@initializer
def truncated_normal(std: float = 0.02, *, corrected: bool = False) -> Any:
    """Normal with mean 0, redrawn beyond two standard deviations.

    std is that before truncation, which leaves 0.8796 std; with corrected=True it is that of what is drawn.
    """
    _require_not_negative("std", std)
    scale = std / TRUNCATED_STD if corrected else std
    return _drawn(lambda key, shape, dtype: scale * jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype))


@initializer
def uniform(low: float = -0.05, high: float = 0.05) -> Any:
    """Uniform on [low, high)."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low must be below high, both finite, got {low} and {high}")
    return _drawn(lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, low, high))


@initializer
def variance_scaling(scale: float = 1.0, mode: Mode = "fan_in", distribution: Distribution = "normal") -> Any:
    """Mean 0 and variance scale / fan, whatever the distribution; the truncated normal is corrected for the cut.

    Raises ShapeError for a shape of fewer than two axes, which has no fan.
    """
    _require_not_negative("scale", scale)
    _require_one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
    _require_one_of("distribution", distribution, ("normal", "truncated_normal", "uniform"))

    def draw(key, shape, dtype):
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        std = math.sqrt(scale / max(fan, 1))  # an empty kernel has fan 0
        if distribution == "normal":
            return std * jax.random.normal(key, shape, dtype)
        if distribution == "truncated_normal":
            return std / TRUNCATED_STD * jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)
        return math.sqrt(3) * std * jax.random.uniform(key, shape, dtype, -1.0, 1.0)

    return _drawn(draw)


@initializer
def lecun_normal() -> Any:
    """Variance 1 / fan_in, normal.  LeCun et al. 1998, Efficient BackProp, equation 16."""
    return variance_scaling(1.0, "fan_in", "normal")


@initializer
def lecun_uniform() -> Any:
    """Variance 1 / fan_in, uniform on ±sqrt(3 / fan_in).  LeCun et al. 1998, Efficient BackProp, equation 16."""
    return variance_scaling(1.0, "fan_in", "uniform")


@initializer
def glorot_normal() -> Any:
    """Variance 2 / (fan_in + fan_out), normal.  Glorot and Bengio 2010, equation 12."""
    return variance_scaling(1.0, "fan_avg", "normal")


@initializer
def glorot_uniform() -> Any:
    """Uniform on ±sqrt(6 / (fan_in + fan_out)).  Glorot and Bengio 2010, equation 16."""
    return variance_scaling(1.0, "fan_avg", "uniform")


@initializer
def he_normal(slope: float = 0.0) -> Any:
    """Variance 2 / (1 + slope²) / fan_in, normal, for a (leaky) ReLU of this slope.  https://arxiv.org/abs/1502.01852"""
    return variance_scaling(2 / (1 + slope**2), "fan_in", "normal")


@initializer
def he_uniform(slope: float = 0.0) -> Any:
    """Variance 2 / (1 + slope²) / fan_in, uniform, for a (leaky) ReLU of this slope.  https://arxiv.org/abs/1502.01852"""
    return variance_scaling(2 / (1 + slope**2), "fan_in", "uniform")


@initializer
def orthogonal(gain: float = 1.0) -> Any:
    """gain times a random matrix with orthonormal columns, or rows where these are fewer; evenly over all such.

    All axes but the last count as rows.  Raises ShapeError for fewer than two axes.  https://arxiv.org/abs/1312.6120
    """
    if not math.isfinite(gain):
        raise ValueError(f"gain must be finite, got {gain}")

    def draw(key, shape, dtype):
        rows, columns = fans(shape)[0], shape[-1]
        tall = jax.random.normal(key, (max(rows, columns), min(rows, columns)), dtype)
        q, r = jnp.linalg.qr(tall)
        # QR alone prefers one sign of each column; the signs of the diagonal make the draw even.
        q = q * jnp.where(jnp.diagonal(r) < 0, -1, 1).astype(dtype)[None]
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return _drawn(draw)


@initializer
def sparse(incoming: int = 15, std: float = 1.0) -> Any:
    """Each unit has exactly `incoming` weights, normal with this std, and zeros besides.  Martens 2010, section 5.

    A unit is one index of the last axis.  Raises ShapeError where incoming exceeds the fan-in.
    """
    if not isinstance(incoming, int) or incoming < 1:
        raise ValueError(f"incoming must be a whole number of at least 1, got {incoming}")
    _require_not_negative("std", std)

    def draw(key, shape, dtype):
        rows, columns = fans(shape)[0], shape[-1]
        if incoming > rows:
            raise ShapeError(
                f"incoming is {incoming}, but a unit of a kernel of shape {tuple(shape)} has {rows} inputs"
            )
        where, value = jax.random.split(key)
        # Each column sorts into a permutation of 0 ... rows - 1, so exactly `incoming` of them are below it.
        chosen = jnp.argsort(jax.random.uniform(where, (rows, columns)), axis=0) < incoming
        return jnp.where(chosen, std * jax.random.normal(value, (rows, columns), dtype), 0).reshape(shape)

    return _drawn(draw)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(inputs of one unit, outputs of one input) of a kernel (*window, in, out); (in, out) for a dense one."""
    if len(shape) < 2:
        raise ShapeError(
            f"a kernel must have shape (*window, in, out), got {tuple(shape)}, which has no fan; "
            "use zeros(), constant(value) or normal(std) for it"
        )
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _drawn(draw: Callable[[jax.Array, Sequence[int], Any], jax.Array]) -> Callable[..., jax.Array]:
    """draw as an initializer: checked, drawn in float32 at least, then rounded to dtype."""

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        require_key(key)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise DtypeError(f"dtype must be floating point to hold random numbers, got {jnp.dtype(dtype)}")
        drawn = draw(key, shape, dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32)
        return drawn.astype(dtype)

    return init


def _require_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and not negative, got {value}")


def _require_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
