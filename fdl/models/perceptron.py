"""Rosenblatt's perceptron, which learns from its mistakes alone.

The kernel holds the bias too, as the weight of an input that is always 1: see `with_bias`.  Updates are for
`learn_online`, whose `average` is the averaged perceptron.
Rosenblatt 1958, The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError, require_shape


def perceptron_update(
    kernel: jax.Array, x: jax.Array, target: jax.Array, *, rate: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Add rate · target · x if the sign of x · kernel is not the target, -1 or 1.  (dim,), (dim,), () -> kernel, wrong

    A sum of 0 has neither sign, so that a kernel of zeros learns.
    """
    wrong = target * (x @ kernel) <= 0
    return kernel + jnp.where(wrong, rate * target, 0) * x, wrong


def multiclass_perceptron_update(
    kernel: jax.Array, x: jax.Array, label: jax.Array, *, rate: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Add rate · x to the right class and take it from the one that was guessed.

    (dim, classes), (dim,), int () -> kernel, wrong

    The guess is the class of the largest sum, the first of equal ones; if it is right, nothing changes.
    """
    guess = jnp.argmax(x @ kernel).astype(label.dtype)
    one_hot = lambda index: jax.nn.one_hot(index, kernel.shape[-1], dtype=kernel.dtype)
    return kernel + rate * jnp.outer(x, one_hot(label) - one_hot(guess)), guess != label


def vote(x: np.ndarray, target: np.ndarray, wrong: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What the voted perceptron says of test examples, -1 or 1.  (n, dim), (n,), bool (n,), (m, dim) -> (m,)

    wrong are the mistakes of a perceptron that started from zeros and saw these examples in this order.  Every kernel
    there has been votes once for each example it survived.  Freund and Schapire 1999, Large Margin Classification Using
    the Perceptron Algorithm, figure 1.  Raises ShapeError where these do not fit.
    """
    x, target, wrong, test = map(np.asarray, (x, target, wrong, test))
    require_shape(test, None, x.shape[1], name="test")
    if not target.shape == wrong.shape == x.shape[:1]:
        raise ShapeError(f"there must be a target and a mistake for each of {x.shape}: {target.shape}, {wrong.shape}")
    at = np.flatnonzero(wrong)
    # A kernel is the sum of target x over the mistakes so far: all sums come from one product.
    sums = np.cumsum(target[at, None] * (x[at] @ test.T), axis=0)
    survived = np.diff(np.append(at, len(x)))
    return np.where(survived @ np.where(sums > 0, 1, -1) > 0, 1, -1)
