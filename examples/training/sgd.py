"""A step for every few examples: the gradient of a batch is right on average, and a thousand times cheaper.

`stochastic_gradient_descent` below is algorithm 8.1 of the book, line by line: rates ε₁, ε₂, …, a batch of m
examples, the mean of their gradients, a step, until a stopping criterion is met. The price is noise. On a quadratic
of curvature λ whose gradients have variance σ² all is known. A constant rate never arrives: it ends in a cloud of
variance `εσ² / (λ(2 − ελ))`. Rates `ε₀ / k` forget start and noise alike: the squared error falls like `1 / k`. Rates
`ε₀ / k²` stop half-way, since their sum is finite. Robbins and Monro ask for what is in between: **Σ ε = ∞ so that
every place can be reached, Σ ε² < ∞ so that the noise dies out**; of `ε₀ / (1 + k/τ)^p` that are those with ½ < p ≤
1.

There is a second way to quiet: keep the rates large and average the parameters. Polyak and Ruppert's mean of k
iterates has the covariance `H⁻¹ΣH⁻¹ / k`, the least there is, whatever the rates were.
"""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train, tree

MODEL = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
FALLING = optim.inverse_time(0.5, 1000.0, 0.75)  # the rates for the digits
EPOCHS, PATIENCE = 30, 3
K = np.unique(np.geomspace(30, 3000, 40).astype(int))


def stochastic_gradient_descent(
    gradient: Callable, params: Any, rates: optim.Schedule, sample: Callable, enough: Callable
) -> tuple[Any, int]:
    """Goodfellow et al. algorithm 8.1.  Returns the parameters and how many steps it took."""
    for k in itertools.count():
        if enough(k, params):
            return params, k
        batch = sample(k)
        estimate = gradient(params, batch)
        params = tree.add_scaled(params, -rates(k), estimate)


def logits_of(params, batch):
    return MODEL.apply(params, {}, batch["image"].astype("float32") / 255)[0]


def loss(params, batch):
    return losses.cross_entropy(logits_of(params, batch), batch["label"]).mean()


def digits(seed: int) -> dict[str, float]:
    """Softmax regression by the algorithm; it stops when the validation error has not improved for PATIENCE epochs."""
    full, test_set = data.mnist()
    train_set, valid_set = data.hold_out(full, 5000)
    batches = data.shuffled(train_set, batch=100, seed=seed)
    accuracy = train.make_evaluate(
        lambda params, state, batch: (logits_of(params, batch), batch["label"]), {"accuracy": metrics.accuracy()}
    )
    error = lambda params, examples: 1 - accuracy(train.TrainState(None, None, params, {}, ()), examples)["accuracy"]
    history = train.History()

    def enough(k, params):
        if k % batches.steps_per_epoch == 0:
            history.append({"step": k, "error": error(params, valid_set)})
        return len(history) > EPOCHS or history.rows_since_best("error") >= PATIENCE

    params, _ = MODEL.init(jax.random.key(seed))
    params, steps = stochastic_gradient_descent(jax.jit(jax.grad(loss)), params, jax.jit(FALLING), batches, enough)
    return {"test_error": 100 * error(params, test_set), "epochs": steps / batches.steps_per_epoch}


def chains(rates: Any, start: float, steps: int, count: int, curvature: float = 1.0) -> np.ndarray:
    """Many runs on curvature / 2 x², gradients with unit noise, by `optim.sgd`: x after each step.  (steps, count)"""
    optimizer = optim.sgd(rates)

    def step(carry, k):
        x, state = carry
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), k), (count,), float)
        updates, state = optimizer.update(curvature * x + noise, state, x)
        x = optim.apply_updates(x, updates)
        return (x, state), x

    x = jnp.full(count, start, float)
    return np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), jnp.arange(steps))[1])


def averaged_covariance(steps: int = 4000, count: int = 6000) -> float:
    """The largest relative error of the covariance of averaged iterates, against H⁻¹ΣH⁻¹ / k."""
    hessian, root = np.array([[2.0, 0.6], [0.6, 0.5]]), np.array([[1.0, 0.0], [0.8, 0.6]])
    optimizer = optim.chain(optim.sgd(optim.inverse_time(0.5, 10.0, 0.6)), optim.swa())

    def step(k, carry):
        x, state = carry
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(1), k), (count, 2), float)
        updates, state = optimizer.update(x @ jnp.asarray(hessian) + noise @ jnp.asarray(root.T), state, x)
        return optim.apply_updates(x, updates), state

    x = jnp.zeros((count, 2))
    x, state = jax.lax.fori_loop(0, steps, step, (x, optimizer.init(x)))
    inverse = np.linalg.inv(hessian)
    wanted = inverse @ root @ root.T @ inverse / steps
    return float(np.abs(np.cov(np.asarray(optim.averaged(state, x)).T) / wanted - 1).max())


def noisy_quadratic() -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """What constant and falling rates leave, against theory; and the mean squared errors on the way."""
    constant = chains(0.2, 0.0, 60, 40_000, curvature=2.0)[-1].var() / (0.2 / (2 * (2 - 0.4)))
    paths = {
        "constant": chains(0.2, 3.0, 3000, 2000),
        "one_over_k": chains(optim.inverse_time(1.0), 3.0, 3000, 2000),
        "one_over_k2": chains(optim.inverse_time(0.5, power=2.0), 3.0, 3000, 4000),
    }
    squares = {name: np.mean(path**2, axis=1)[K - 1] for name, path in paths.items()}
    r = math.sqrt(0.5)  # of the start the product of all 1 − ½/k² is left
    figures = {
        "constant_variance": constant,
        "slope": np.polyfit(np.log(K), np.log(squares["one_over_k"]), 1)[0],
        "stalls": paths["one_over_k2"][-1].mean() / (3 * math.sin(math.pi * r) / (math.pi * r)),
        "averaged_covariance": averaged_covariance(),
        "robbins_monro": float(optim.satisfies_robbins_monro(FALLING)),
    }
    return figures, squares


def run(seed: int, folder: Path) -> Outcome:
    """The quadratic in float64, then the digits."""
    with jax.enable_x64(True):
        figures, squares = noisy_quadratic()
    return Outcome(figures | digits(seed), squares, int(EPOCHS * 550))


def draw(arrays: dict[str, np.ndarray]):
    """The mean squared error of each kind of rates."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    labels = {"constant": "ε = 0.2", "one_over_k": "ε = 1 / k", "one_over_k2": "ε = 0.5 / k²"}
    for name, label in labels.items():
        axes.loglog(K, arrays[name], label=label)
    axes.loglog(K, 1 / K, color="grey", linewidth=1, linestyle="--", label="1 / k")
    axes.set(xlabel="step k", ylabel="mean squared error", title="Rates: too large, right, too small")
    axes.legend()
    return figure


ROW = Row(
    rows=("60",),
    title="Stochastic gradient descent",
    figures=(
        Figure(
            "constant_variance", "variance left by a constant rate, in units of εσ²/(λ(2−ελ))", "theory: 1", 0.97, 1.03
        ),
        Figure("slope", "slope of log E[x²] against log k for rates 1/k", "Robbins & Monro 1951: −1", -1.05, -0.95),
        Figure("stalls", "what ½/k² leaves of the start, in units of sin(πr)/(πr), r² = ½", "theory: 1", 0.95, 1.05),
        Figure("averaged_covariance", "worst relative error of H⁻¹ΣH⁻¹/k", "Polyak & Ruppert: 0", high=0.1),
        Figure("robbins_monro", "the rates for the digits satisfy Robbins and Monro", "", low=1.0, high=1.0),
        Figure("test_error", "softmax regression by algorithm 8.1, test error, %", "L-BFGS: 7.42 [R]", high=7.9),
        Figure("epochs", "epochs until the validation error had not improved for three"),
    ),
    run=run,
    budget=60,
    draw=draw,
)
