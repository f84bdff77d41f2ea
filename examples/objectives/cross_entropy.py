"""Cross-entropy: -Σ tᵢ log pᵢ, which for one right class is -log p of that class.

It is what the model is surprised by, in nats.  The slide's two corner cases: a class surely predicted, p → 1, costs
nothing; one excluded, p → 0, costs without bound.  A program that takes log(softmax) gets there too soon, for float32
holds no probability below 1e-45, and the logarithm of 0 is infinite with a gradient that is no number.  From logits it
is log Σ exp(z) - z of the right class, finite as long as the logits are: 20,000 nats for logits 1e4 and -1e4.

It is the divergence from the targets to the model plus the entropy of the targets, KL(t ‖ p) + H(t), so the least it
can be is H(t), and its gradient at the logits is p - t.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, softmax

from examples.course.row import Figure, Outcome, Row
from fdl import losses, nn


def corners() -> dict[str, float]:
    """What the slide's two corner cases cost, from logits of ±1e4, and whether the gradient is finite."""
    logits = jnp.array([1e4, -1e4])
    gradient = jax.grad(losses.cross_entropy)(logits, 1)
    naive = lambda z: -jnp.log(nn.softmax(z))[1]
    return {
        "sure_and_right": float(losses.cross_entropy(logits, 0)),
        "sure_and_wrong": float(losses.cross_entropy(logits, 1)),
        "gradient_there": float(jnp.abs(gradient - jnp.array([1.0, -1.0])).max()),
        "naive_not_finite": float(~jnp.isfinite(naive(logits)) & ~jnp.isfinite(jax.grad(naive)(logits)).all()),
    }


def identities(seed: int) -> dict[str, float]:
    """Its equations on random logits and targets: in float64, the gradient in float32."""
    rng = np.random.default_rng(seed)
    z, t, label = rng.normal(0, 3, (64, 10)), rng.dirichlet(np.ones(10), 64), rng.integers(0, 10, 64)
    entropy = -np.sum(t * np.log(t), -1)
    with jax.enable_x64(True):
        found = losses.cross_entropy(z, t), losses.kl_divergence(nn.log_softmax(z), t)
        same = losses.cross_entropy(z, label), losses.cross_entropy(z, np.eye(10)[label])
    loss, divergence, numbers, one_hot = map(np.asarray, (*found, *same))
    mean = lambda z: losses.cross_entropy(z, t.astype(np.float32)).sum()
    slope = np.asarray(jax.grad(mean)(jnp.asarray(z, jnp.float32)), np.float64)
    return {
        "formula": float(np.abs(loss + (t * log_softmax(z, -1)).sum(-1)).max()),
        "divergence": float(np.abs(loss - (divergence + entropy)).max()),
        "one_hot": float(np.abs(numbers - one_hot).max()),
        "gradient": float(np.abs(slope - (softmax(z, -1) - t)).max()),
        "below_entropy": float((entropy - loss).max()),
    }


def run(seed, folder):
    return Outcome(corners() | identities(seed))


ROW = Row(
    rows=("53",),
    title="Cross-entropy",
    figures=(
        Figure("sure_and_right", "loss of a class surely predicted, nats", "0", 0, 0),
        Figure("sure_and_wrong", "loss of a class excluded, logits ±1e4, nats", "20,000", 20_000, 20_000),
        Figure("gradient_there", "error of its gradient there", "0", high=1e-7),
        Figure("naive_not_finite", "1: log(softmax) gives neither a number nor a gradient there", "1", 1, 1),
        Figure("formula", "largest difference from -Σ t log p with SciPy's log_softmax, float64", "0", high=1e-10),
        Figure("divergence", "largest difference from KL(t ‖ p) + H(t), float64", "0", high=1e-10),
        Figure("below_entropy", "how far it is below H(t) at most, nats", "≤ 0", high=0),
        Figure("one_hot", "largest difference of class numbers from one-hot targets, float64", "0", high=1e-12),
        Figure("gradient", "largest error of its gradient p - t, float32", "SciPy's softmax", high=1e-6),
    ),
    run=run,
    budget=5,
)
