"""Softmax: numbers become probabilities, softmax(x₁ | x₂, x₃) = exp(x₁) / (exp(x₁) + exp(x₂) + exp(x₃)).

They sum to 1 whatever the numbers are, and only differences count: adding the same to all changes nothing.  That is
used to compute it, for exp(89) is more than float32 can hold: the largest number is subtracted from all first.  The
Jacobian is diag(p) - p pᵀ, so a class that is nearly sure passes no gradient of its own.

On a linear layer it makes softmax regression, a convex problem: one minimum, which L-BFGS finds on all of MNIST at
once.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train

STEPS = 100
MODEL = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))


def predict(params, state, batch):
    return MODEL.apply(params, state, batch["image"].astype("float32") / 255)[0], batch["label"]


def loss_fn(params, state, batch, key):
    return losses.cross_entropy(*predict(params, state, batch)).mean(), (state, {})


def regression() -> dict[str, float]:
    """Softmax regression on MNIST by L-BFGS from zeros: training cross-entropy and test error in percent."""
    examples, test = data.mnist()
    everything = jax.tree.map(jnp.asarray, examples)
    optimizer = optim.lbfgs(memory=10)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer)
    for _ in range(STEPS):
        state, _ = step(state, everything)
    loss = jax.jit(loss_fn)(state.params, state.state, everything, state.key)[0]
    correct = train.make_evaluate(predict, {"correct": metrics.correct()})(state, test)["correct"]
    return {"train_loss": float(loss), "test_error": (10_000 - correct) / 100}


def exactness(seed: int) -> dict[str, float]:
    """How far softmax is from what it must be."""
    x = np.random.default_rng(seed).normal(0, 5, (1000, 10)).astype(np.float32)
    shifted = np.round(x * 64) / 64  # so that adding the offset is exact in float32
    wild = jnp.asarray(np.sign(x) * np.float32(1e4))
    with jax.enable_x64(True):
        row = jnp.asarray(x[0], jnp.float64)
        p = np.asarray(nn.softmax(row))
        jacobian = np.abs(np.asarray(jax.jacobian(nn.softmax)(row)) - (np.diag(p) - np.outer(p, p))).max()
    slide = lambda a, b, c: jnp.exp(a) / (jnp.exp(a) + jnp.exp(b) + jnp.exp(c))
    return {
        "scipy": np.abs(np.asarray(nn.softmax(x), np.float64) - softmax(x.astype(np.float64), axis=-1)).max(),
        "sum": float(jnp.abs(nn.softmax(wild).sum(-1) - 1).max()),
        "shift": float(jnp.abs(nn.softmax(shifted + np.float32(8192)) - nn.softmax(shifted)).max()),
        "slide": float(jnp.abs(nn.softmax(x[:, :3])[:, 0] - slide(*x[:, :3].T)).max()),
        "jacobian": float(jacobian),
    }


def run(seed, folder):
    return Outcome(exactness(seed) | regression(), steps=STEPS)


ROW = Row(
    rows=("31",),
    title="Softmax",
    figures=(
        Figure("test_error", "test error of softmax regression on MNIST, %", "7.42 [R], SciPy's L-BFGS", 7.2, 7.6),
        Figure("train_loss", "its training cross-entropy after 100 steps", ".23686 [R], SciPy's L-BFGS", high=0.238),
        Figure("scipy", "largest difference from SciPy's softmax in float64", "0", high=3e-7),
        Figure("slide", "largest difference from the slide's formula of three numbers", "0", high=3e-7),
        Figure("sum", "largest |sum - 1| at logits ±1e4", "0", high=1e-6),
        Figure("shift", "largest change by adding 8192 to all", "0", high=0),
        Figure("jacobian", "largest error of the Jacobian, diag(p) - p pᵀ, float64", "0", high=1e-12),
    ),
    run=run,
    budget=120,
)
