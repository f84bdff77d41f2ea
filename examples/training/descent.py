"""All the data at once, and a step downhill: `x ← x − ε ∇f(x)`.

On a quadratic nothing is left to chance. Along the direction of curvature `λ` the error shrinks by `1 − ελ` at every
step, so after `k` steps it is the product of these factors. The steepest direction decides how large a step may be:
the descent **diverges as soon as `ε > 2 / λ_max`**. The flattest decides how long it takes: the best rate, `2 /
(λ_min + λ_max)`, leaves `(κ − 1) / (κ + 1)` of the error at every step, where `κ = λ_max / λ_min`. For `κ = 100` that
is 2 % a step.

A neural network has no fixed curvature, and does something that no quadratic can. Train it with all its data at once:
its sharpness, the largest eigenvalue of its Hessian, *rises* until it is just `2 / ε`, and stays there. The step size
chooses the kind of valley in which the training ends: **the edge of stability**.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import nn, optim

CURVATURE = np.geomspace(0.2, 20.0, 25)  # condition number 100
LOW, HIGH = CURVATURE.min(), CURVATURE.max()
MODEL = nn.serial(nn.dense(1, 32), nn.tanh, nn.dense(32, 32), nn.tanh, nn.dense(32, 1))
RATES = (2 / 20, 2 / 40)  # so that the sharpness should settle at 20 and at 40
LOOKS, BETWEEN = 60, 200


def errors(rate: float, steps: int) -> np.ndarray:
    """The distance from the minimum along every direction, after each step from 1.  (steps, directions)"""
    optimizer = optim.sgd(rate)

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(jnp.asarray(CURVATURE) * x, state, x)
        x = optim.apply_updates(x, updates)
        return (x, state), x

    x = jnp.ones(len(CURVATURE))
    return np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), length=steps)[1])


def on_a_quadratic() -> dict[str, float]:
    """What theory says of a quadratic, and what the optimizer does."""
    k = np.arange(1, 301)[:, None]
    wanted = (1 - 0.03 * CURVATURE) ** k
    product = np.abs(errors(0.03, 300) / wanted - 1).max()
    shares = np.concatenate([np.linspace(0.5, 0.999, 10), np.linspace(1.001, 1.5, 10)])  # of 2 / λ_max
    diverged = [not np.abs(errors(share * 2 / HIGH, 5000)[-1]).max() < 1 for share in shares]  # NaN has
    around = np.linspace(0.9, 1.1, 41)  # of the best rate
    left = [np.abs(errors(share * 2 / (LOW + HIGH), 400)[-1]).max() for share in around]
    sizes = np.abs(errors(2 / (LOW + HIGH), 400)).max(axis=1)
    return {
        "product_error": product,
        "divergence": np.mean(np.array(diverged) == (shares > 1)),
        "best_rate": around[np.argmin(left)],
        "factor": (sizes[-1] / sizes[-2]) / ((HIGH - LOW) / (HIGH + LOW)),
    }


def edge_of_stability(rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The sharpness and the loss of a small tanh network, every BETWEEN steps of full-batch descent.  (LOOKS,) each"""
    x = jnp.linspace(-1, 1, 20)[:, None]
    y = 4 * x**3 - 3 * x

    def loss(params):
        return jnp.mean((MODEL.apply(params, state, x)[0] - y) ** 2)

    def step(_, carry):
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
        return optim.apply_updates(params, updates), opt_state

    def look(carry, _):
        params = carry[0]
        product = lambda v: optim.hessian_vector_product(loss, params, v)
        sharpness = optim.lanczos(product, params, jax.random.key(1), 20).values[-1]
        return jax.lax.fori_loop(0, BETWEEN, step, carry), (sharpness, loss(params))

    optimizer = optim.sgd(rate)
    params, state = MODEL.init(jax.random.key(seed))
    run = jax.jit(lambda carry: jax.lax.scan(look, carry, length=LOOKS)[1])
    sharpness, losses = run((params, optimizer.init(params)))
    return np.asarray(sharpness), np.asarray(losses)


def run(seed: int, folder: Path) -> Outcome:
    """The quadratic in float64, the network at two rates."""
    with jax.enable_x64(True):
        figures = on_a_quadratic()
    runs = [edge_of_stability(rate, seed) for rate in RATES]
    for rate, (sharpness, losses) in zip(RATES, runs):
        name = f"sharpness_at_{2 / rate:.0f}"
        figures |= {name: float(np.median(sharpness[-20:]) * rate / 2), f"first_{name}": float(sharpness[0] * rate / 2)}
        figures |= {f"loss_at_{2 / rate:.0f}": float(losses[-1] / losses[0])}
    arrays = {"sharpness": np.array([sharpness for sharpness, _ in runs]), "rates": np.array(RATES)}
    return Outcome(figures, arrays, LOOKS * BETWEEN)


def draw(arrays: dict[str, np.ndarray]):
    """The sharpness on the way, for each rate, and 2 / rate."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    steps = BETWEEN * np.arange(LOOKS)
    for colour, rate, sharpness in zip(("tab:blue", "tab:orange"), arrays["rates"], arrays["sharpness"]):
        axes.plot(steps, sharpness, color=colour, label=f"rate {rate:g}")
        axes.axhline(2 / rate, color=colour, linestyle="--", linewidth=1)
    axes.set(xlabel="step", ylabel="largest eigenvalue of the Hessian", title="The sharpness rises to 2 / rate")
    axes.legend()
    return figure


ROW = Row(
    rows=("57",),
    title="Gradient descent on all the data",
    figures=(
        Figure("product_error", "relative error of Π(1 − ελ) after each of 300 steps", "theory", high=1e-10),
        Figure("divergence", "share of 20 rates that diverge exactly if ε > 2/λ_max", "theory: 1", low=1.0, high=1.0),
        Figure("best_rate", "best of 41 rates, in units of 2 / (λ_min + λ_max)", "theory: 1", low=0.99, high=1.01),
        Figure("factor", "shrinking factor at the best rate, in units of (κ−1)/(κ+1)", "theory: 1", 0.999999, 1.000001),
        Figure(
            "sharpness_at_20", "where the sharpness settles, in units of 2/ε, for 2/ε = 20", "Cohen 2021: 1", 0.9, 1.1
        ),
        Figure("sharpness_at_40", "the same for 2/ε = 40", "Cohen 2021: 1", 0.9, 1.1),
        Figure("first_sharpness_at_20", "the sharpness at the start, in units of 2/ε = 20"),
        Figure("first_sharpness_at_40", "the sharpness at the start, in units of 2/ε = 40"),
        Figure("loss_at_20", "the last loss over the first, 2/ε = 20"),
        Figure("loss_at_40", "the last loss over the first, 2/ε = 40"),
    ),
    run=run,
    budget=30,
    seeds=(0, 1, 2),
    draw=draw,
)
