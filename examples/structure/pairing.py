"""Outputs and losses that belong together.

A linear output with half the squared error, a sigmoid with binary cross-entropy, a softmax with cross-entropy: each is
the logarithm of a likelihood, and in each the gradient at the numbers before the output layer, the logits, is output
minus target.  It vanishes only where the model is right.  With another pair the slope of the squashing function stays
in the gradient as a factor: a sigmoid that is surely wrong under the squared error hardly learns.

`losses.paired` makes the loss of such a pair, a function of the logits, and refuses a pair that does not match unless
it is forced.  Forced ones are computed exactly too: the binary cross-entropy of a softmax has the logits
zᵢ - log Σⱼ exp(zⱼ), j ≠ i.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import losses, nn

OUTPUTS = {"linear": nn.identity, "sigmoid": nn.sigmoid, "softmax": nn.softmax}
KINDS = ("squared_error", "binary_cross_entropy", "cross_entropy")
CANONICAL = list(zip(OUTPUTS, KINDS))


def composed(kind: str, p, t):
    """The loss from outputs and targets, as the formula says."""
    if kind == "squared_error":
        return jnp.sum((p - t) ** 2, -1) / 2
    if kind == "binary_cross_entropy":
        return -jnp.sum(t * jnp.log(p) + (1 - t) * jnp.log(1 - p), -1)
    return -jnp.sum(t * jnp.log(p), -1)


def exactness(output: str, kind: str, z, t) -> tuple[float, float]:
    """The error of ∂ mean loss / ∂ logits = (p - t) / m in float32, and that of the composed formula in float64."""
    loss = losses.paired(output, kind)
    gradient = jax.grad(lambda z: loss(z, jnp.asarray(t, jnp.float32)).mean())(jnp.asarray(z, jnp.float32))
    with jax.enable_x64(True):
        p = OUTPUTS[output](jnp.asarray(z))
        apart = jnp.abs(loss(z, t) - composed(kind, p, t)).max()
        slip = np.abs(np.asarray(gradient, np.float64) - np.asarray(p - t) / len(z)).max()
    return float(slip), float(apart)


def refused(output: str, kind: str, **force) -> bool:
    try:
        losses.paired(output, kind, **force)
    except ValueError:
        return True
    return False


def stalled() -> dict[str, float]:
    """The gradient of a sigmoid that says 0 at logit -10 where the target is 1, by either loss."""
    slope = lambda loss: float(jax.grad(lambda z: loss(z, jnp.ones(1)))(jnp.array([-10.0]))[0])
    wrong = losses.paired("sigmoid", "squared_error", force=True)
    return {"right_pair": -slope(losses.paired("sigmoid", "binary_cross_entropy")), "wrong_pair": -slope(wrong)}


def run(seed, folder):
    rng = np.random.default_rng(seed)
    z, t = rng.normal(0, 3, (32, 5)), np.eye(5)[rng.integers(0, 5, 32)]
    found = [exactness(output, kind, z, t) for output, kind in CANONICAL]
    others = [pair for pair in itertools.product(OUTPUTS, KINDS) if pair not in CANONICAL]
    with jax.enable_x64(True):
        two = jnp.stack([jnp.zeros(61), jnp.linspace(-30, 30, 61)], -1)
        sides = losses.paired("softmax", "cross_entropy")(two, jnp.ones(61, int))
        alone = losses.paired("sigmoid", "binary_cross_entropy")(two[:, 1:], jnp.ones((61, 1)))
        forced = losses.paired("softmax", "binary_cross_entropy", force=True)(z, t)
        mixed = jnp.abs(forced - composed("binary_cross_entropy", nn.softmax(jnp.asarray(z)), t)).max()
        apart = jnp.abs(sides - alone).max()
    figures = {
        "gradient": max(slip for slip, _ in found),
        "fused": max(apart for _, apart in found),
        "refused": np.mean([refused(*pair) for pair in others]),
        "forced": np.mean([not refused(*pair, force=True) for pair in others if pair[0] != "linear"]),
        "two_classes": float(apart),
        "forced_exact": float(mixed),
    }
    return Outcome(figures | stalled())


ROW = Row(
    rows=("32",),
    title="Outputs and losses that belong together",
    figures=(
        Figure("gradient", "largest error of ∂loss/∂logits = (p - t) / m, three pairs, float32", "0", high=1e-7),
        Figure("fused", "largest difference of the fused losses from the composed formulas, float64", "0", high=1e-10),
        Figure("two_classes", "largest difference of a sigmoid from a softmax of two, float64", "0", high=1e-12),
        Figure("refused", "share of the six other pairs that are refused", "1", low=1),
        Figure("forced", "share of the four with probabilities that can be forced", "1", low=1),
        Figure("forced_exact", "error of softmax with binary cross-entropy, forced, float64", "0", high=1e-10),
        Figure("right_pair", "gradient of a sigmoid surely wrong (logit -10) by binary cross-entropy", "1", low=0.99),
        Figure("wrong_pair", "the same by half the squared error", "σ (1 - σ)² ≈ 4.5e-5", high=1e-4),
    ),
    run=run,
    budget=10,
)
