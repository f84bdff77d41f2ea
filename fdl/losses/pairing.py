"""Output layers and the losses that belong to them: canonical links, whose gradient at the logits is p - t."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_shape
from fdl.losses.classification import binary_cross_entropy, cross_entropy
from fdl.losses.inputs import promote, require_pair
from fdl.losses.regression import squared_error
from fdl.nn.activations.softplus import softplus

Output = Literal["linear", "sigmoid", "softmax"]
Kind = Literal["squared_error", "binary_cross_entropy", "cross_entropy"]

_CANONICAL = {"linear": "squared_error", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}


def paired(output: Output, loss: Kind, *, force: bool = False) -> Callable[[ArrayLike, ArrayLike], jax.Array]:
    """The loss of a model that ends in this output layer, as a function of the logits z before it.

    paired(...)(logits, targets): (..., dim), (..., dim) -> (...)

    linear   squared_error         ½ Σ (z - t)²                        numbers
    sigmoid  binary_cross_entropy  -Σ t log p + (1 - t) log(1 - p)     two classes (dim 1), or labels side by side
    softmax  cross_entropy         -Σ t log p                          one of dim classes, or int (...), its number

    By these three the gradient at the logits is p - t, p the output: it vanishes only where the model is right.  Raises
    ValueError for another pair, which may stop learning where it is surely wrong; with force it is made all the same.
    A linear output is no probability, so that it has no cross-entropy even then.  Forced, `binary_cross_entropy` of a
    softmax takes dim² numbers an example.
    """
    for name, value, known in (("output", output, _CANONICAL), ("loss", loss, _CANONICAL.values())):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if (output, loss) not in _LOSSES:
        raise ValueError(f"a linear output is no probability, so it has no {loss}; take a sigmoid or a softmax")
    if _CANONICAL[output] != loss and not force:
        raise ValueError(
            f"{output} belongs with {_CANONICAL[output]}, not with {loss}: the gradient at the logits would not be "
            "p - t; pass force=True if that is meant"
        )
    return lambda logits, targets: _LOSSES[output, loss](_logits(output, logits), targets)


def _logits(output: str, z: ArrayLike) -> jax.Array:
    require_float(z, "logits")
    require_shape(z, ..., None, name="logits", hint="of two classes by one logit they are (batch, 1)")
    if output == "softmax" and jnp.shape(z)[-1] < 2:
        raise ShapeError(f"the softmax of one logit is always 1, got shape {jnp.shape(z)}; take a sigmoid")
    return promote(z)[0]


def _half_square(y: jax.Array, t: ArrayLike) -> jax.Array:
    return jnp.sum(squared_error(y, t), axis=-1) / 2


def _binary(z: jax.Array, t: ArrayLike) -> jax.Array:
    return jnp.sum(binary_cross_entropy(z, t), axis=-1)


def _log_sum_of_others(z: jax.Array) -> jax.Array:
    """For each class log Σ exp of the logits of the others, so that z minus it is the logit of its probability."""
    dim = z.shape[-1]
    own = jnp.eye(dim, dtype=bool).reshape((1,) * (z.ndim - 1) + (dim, dim))
    return jax.nn.logsumexp(jnp.where(own, -jnp.inf, z[..., None, :]), axis=-1)


def _cross_entropy_of_sigmoids(z: jax.Array, t: ArrayLike) -> jax.Array:
    require_pair(z, t, "logits")
    return jnp.sum(promote(t)[0] * softplus(-z), axis=-1)


_LOSSES: dict[tuple[str, str], Callable] = {
    ("linear", "squared_error"): _half_square,
    ("sigmoid", "squared_error"): lambda z, t: _half_square(jax.nn.sigmoid(z), t),
    ("softmax", "squared_error"): lambda z, t: _half_square(jax.nn.softmax(z), t),
    ("sigmoid", "binary_cross_entropy"): _binary,
    ("softmax", "binary_cross_entropy"): lambda z, t: _binary(z - _log_sum_of_others(z), t),
    ("sigmoid", "cross_entropy"): _cross_entropy_of_sigmoids,
    ("softmax", "cross_entropy"): cross_entropy,
}
