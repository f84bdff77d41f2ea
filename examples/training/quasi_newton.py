"""BFGS: learn the curvature from how the gradient changed along the steps taken.

Newton's step `H⁻¹ g` is the best there is, and too dear: `n²` second derivatives and a linear system at every step.
But a step `s` along which the gradient changed by `y` tells that `H s ≈ y`. BFGS keeps a matrix `B ≈ H⁻¹` that agrees
with the last such pair and changes as little as possible otherwise, and walks along `−B g` with a line search that
meets the strong Wolfe conditions, so that `B` stays positive.

`B` has `n²` numbers: a few thousand parameters at most. **L-BFGS** never writes it down: the last ten pairs `(s, y)`
say what `B g` is, in two loops over them. With it softmax regression on all 60,000 digits at once, no penalty, from
zero, takes a hundred steps. SciPy's own BFGS and L-BFGS are the judges: Rosenbrock's valley from (−1.2, 1), and the
same regression.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train

MODEL = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
STEPS = 100


def rosenbrock(x: jax.Array) -> jax.Array:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def valley(optimizer: optim.Transform, steps: int = 60) -> np.ndarray:
    """The values of Rosenbrock's function on the way from (−1.2, 1), before each step and after the last."""

    def step(carry, _):
        x, state = carry
        value, grad = jax.value_and_grad(rosenbrock)(x)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
        return (optim.apply_updates(x, updates), state), value

    x = jnp.asarray([-1.2, 1.0])
    return np.asarray(jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps + 1)[1])((x, optimizer.init(x))))


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["image"])
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


def predict(params, state, batch):
    return MODEL.apply(params, state, batch["image"])[0], batch["label"]


def digits(examples: data.Examples) -> dict[str, jax.Array]:
    """On the device, with pixels from 0 to 1: cast once, not in each of a hundred passes."""
    return {"image": jnp.asarray(examples["image"], jnp.float32) / 255, "label": jnp.asarray(examples["label"])}


def softmax_regression() -> dict[str, float]:
    """A hundred steps of L-BFGS, each on all training images."""
    train_set, test_set = map(digits, data.mnist())
    optimizer = optim.lbfgs(memory=10)
    step = train.make_train_step(loss_fn, optimizer)
    state = train.init_state(MODEL.init, optimizer, seed=0)
    start = time.perf_counter()
    for i in range(STEPS):
        state, found = step(state, train_set)
        if i % 10 == 9:
            print(f"step {i + 1:3}  loss before it {found['loss']:.5f}", flush=True)
    seconds = time.perf_counter() - start
    loss = jax.jit(loss_fn)(state.params, state.state, train_set, state.key)[0]
    correct = train.make_evaluate(predict, {"correct": metrics.correct()})(state, test_set)["correct"]
    return {
        "train_cross_entropy": float(loss),
        "test_error": (10_000 - int(correct)) / 100,
        "evaluations": int(state.opt_state[-1].evaluations),
        "seconds": seconds,
    }


def run(seed: int, folder: Path) -> Outcome:
    """The valley in float64, then the digits."""
    with jax.enable_x64(True):
        values = {"bfgs": valley(optim.bfgs()), "lbfgs": valley(optim.lbfgs())}
    reached = {f"{name}_steps": int(np.argmax(each < 1e-12)) or 61 for name, each in values.items()}
    lowest = {f"{name}_40": float(each[:41].min()) for name, each in values.items()}
    return Outcome(reached | lowest | softmax_regression(), {}, STEPS)


ROW = Row(
    rows=("59",),
    title="BFGS and L-BFGS",
    figures=(
        Figure("bfgs_40", "BFGS on Rosenbrock, value after 40 steps", "SciPy: 34 steps, 4e-25 [R]", high=1e-12),
        Figure("lbfgs_40", "L-BFGS on Rosenbrock, value after 40 steps", "", high=1e-12),
        Figure("bfgs_steps", "steps until the value is below 1e-12, BFGS"),
        Figure("lbfgs_steps", "steps until the value is below 1e-12, L-BFGS"),
        Figure(
            "train_cross_entropy", "softmax regression, 100 steps of L-BFGS, nats", "SciPy: 0.23686 [R]", high=0.238
        ),
        Figure("test_error", "its test error, %", "SciPy: 7.42 % [R]", 7.3, 7.6),
        Figure("evaluations", "losses that the searches took in these 100 steps"),
        Figure("seconds", "seconds of these 100 steps"),
    ),
    run=run,
    budget=60,
)
