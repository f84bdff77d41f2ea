"""Momentum: a heavy ball rolls through a ravine in which a light one is thrown from wall to wall.

The lecture writes it twice. *Accelerating*: `v ← αv − g`. *Average*: `v ← αv − (1 − α)g`. Both step by `θ ← θ + εv`;
they differ in the rate alone, by `1 − α`. Where the gradient stays the same the first ends at `ε|g| / (1 − α)` a
step, ten times that of plain descent for `α = 0.9`; the second at `ε|g|`. In a ravine with condition number κ descent
leaves `1 − 2/κ` of the error at each step, Polyak's best momentum only `1 − 2/√κ`: for κ = 100 a fifth of the steps
and less.

Nesterov takes the gradient where the velocity will carry the ball, at `θ + αv`, and so brakes in time. For every
convex loss with curvature at most L, rate 1/L and momentum `k/(k + 3)` the distance from the minimum is at most
`2L|x₀ − x*|² / (k + 1)²` after k steps: **a bound that no method of gradients can improve by more than a constant**.
Its worst case is a chain of springs, pulled at one end.
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import optim

KAPPA = 100
GROWING = lambda step: jnp.asarray(step, float) / (jnp.asarray(step, float) + 3)


def path(
    optimizer: optim.Transform,
    gradient: Callable,
    start: np.ndarray,
    steps: int,
    momentum: float | Callable | None = None,
) -> np.ndarray:
    """The parameters after each step; with the momentum of Nesterov's method, which holds them ahead, brought back."""

    def step(carry, _):
        x, state = carry
        updates, state = optimizer.update(gradient(x), state, x)
        x = optim.apply_updates(x, updates)
        if momentum is None:
            return (x, state), x
        ahead = momentum(state[-1].step) if callable(momentum) else momentum
        return (x, state), optim.base_point(x, state[-1].velocity, ahead)

    x = jnp.asarray(start, float)
    return np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), length=steps)[1])


def ravine() -> dict[str, float]:
    """Steps until the error is a millionth, condition number 100: descent at its best rate, Polyak's ball."""
    curvature, root = np.linspace(1, KAPPA, 50), KAPPA**0.5
    alpha, rate = ((root - 1) / (root + 1)) ** 2, 4 / (root + 1) ** 2
    optimizers = {"descent": optim.sgd(2 / (KAPPA + 1)), "ball": optim.momentum(rate, alpha)}
    steps = {}
    for name, optimizer in optimizers.items():
        error = np.abs(path(optimizer, lambda x: jnp.asarray(curvature) * x, np.ones(50), 1500)).max(axis=1)
        steps[name] = int(np.argmax(error < 1e-6)) + 1
    return {"ball_over_descent": steps["ball"] / steps["descent"], "ball_steps": steps["ball"]}


def terminal_speed(average: bool) -> float:
    """The last step under a constant gradient of 3, in units of ε|g|."""
    x = path(optim.sgd(0.01, 0.9, average=average), lambda x: jnp.full_like(x, 3.0), np.zeros(1), 500)[:, 0]
    return float((x[-2] - x[-1]) / 0.03)


def logistic_regressions(seed: int, count: int = 20, n: int = 60, dim: int = 12) -> float:
    """The largest share of its bound that Nesterov's method reaches, on so many random problems.

    Each is scaled so that its largest curvature is at most 1; Newton's method finds the minima.
    """
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, n, dim))
    noise = 4 * random.standard_normal((count, n, 1))
    rows *= np.sign(rows @ random.standard_normal((count, dim, 1)) + noise)
    rows /= np.sqrt(np.linalg.eigvalsh(np.swapaxes(rows, 1, 2) @ rows).max(1) / 4)[:, None, None]
    loss = lambda x: jnp.sum(jax.nn.softplus(-jnp.einsum("pnd,pd->pn", jnp.asarray(rows), x)), 1)
    gradient = jax.grad(lambda x: jnp.sum(loss(x)))
    best = np.zeros((count, dim))
    for _ in range(50):
        p = 1 / (1 + np.exp(np.einsum("pnd,pd->pn", rows, best)))
        hessian = np.einsum("pnd,pn,pne->pde", rows, p * (1 - p), rows)
        best += np.linalg.solve(hessian, np.einsum("pnd,pn->pd", rows, p)[..., None])[..., 0]
    start = best + random.standard_normal((count, dim))
    x = path(optim.nesterov(1.0, GROWING), gradient, start, 200, GROWING)
    excess = np.asarray(jax.vmap(loss)(jnp.asarray(x)) - loss(jnp.asarray(best))[None])
    bound = 2 * np.sum((start - best) ** 2, 1) / (np.arange(1, 201)[:, None] + 1) ** 2
    return float((excess / bound).max())


def springs(n: int = 100, kappa: float = 1000.0) -> tuple[np.ndarray, np.ndarray]:
    """The loss above its minimum on a chain of springs: classical momentum, Nesterov's.  Both at rate 1 / L"""
    chain = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) * (1 - 1 / kappa) / 4
    hessian, pull = chain + np.eye(n) / kappa, np.eye(n)[0] * (1 - 1 / kappa) / 4
    alpha = (kappa**0.5 - 1) / (kappa**0.5 + 1)
    gradient = lambda x: jnp.asarray(hessian) @ x - jnp.asarray(pull)
    best = np.linalg.solve(hessian, pull)
    excess = lambda x: 0.5 * np.einsum("ti,ij,tj->t", x - best, hessian, x - best)
    classical = path(optim.momentum(1.0, alpha), gradient, np.zeros(n), 400)
    ahead = path(optim.nesterov(1.0, alpha), gradient, np.zeros(n), 400, alpha)
    return excess(classical), excess(ahead)


def run(seed: int, folder: Path) -> Outcome:
    """All in float64."""
    with jax.enable_x64(True):
        classical, nesterov = springs()
        figures = ravine() | {
            "terminal_accelerating": terminal_speed(average=False),
            "terminal_average": terminal_speed(average=True),
            "nesterov_bound": logistic_regressions(seed),
            "nesterov_over_classical": float((nesterov / classical)[[49, 99, 199, 399]].max()),
        }
        slope = lambda x: jnp.asarray([1.0, 25.0]) * x
        methods = {
            "plain": optim.sgd(0.075),
            "classical": optim.momentum(0.03, 0.8),
            "nesterov": optim.nesterov(0.03, 0.8),
        }
        arrays = {
            name: path(optimizer, slope, np.array([-4.0, 1.0]), 40, 0.8 if name == "nesterov" else None)
            for name, optimizer in methods.items()
        }
    return Outcome(figures, arrays, 1500)


def draw(arrays: dict[str, np.ndarray]):
    """Forty steps of each in one ravine."""
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(3, 1, figsize=(6.4, 4.8), sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-4.3, 1, 120), np.linspace(-1.2, 1.2, 80))
    for axes, (name, title) in zip(rows, {"plain": "descent", "classical": "momentum", "nesterov": "Nesterov"}.items()):
        axes.contour(
            x, y, 0.5 * (x**2 + 25 * y**2), levels=np.geomspace(0.05, 20, 8), colors="lightgrey", linewidths=0.7
        )
        trail = np.vstack([[-4.0, 1.0], arrays[name]])
        axes.plot(*trail.T, marker=".", markersize=4, linewidth=1)
        axes.set_title(title, fontsize=9, loc="left")
    figure.tight_layout()
    return figure


ROW = Row(
    rows=("61", "62"),
    title="Momentum, and Nesterov's",
    figures=(
        Figure(
            "ball_over_descent",
            "steps of Polyak's ball over those of descent, κ = 100",
            "theory: about 0.1–0.2",
            high=0.2,
        ),
        Figure("ball_steps", "steps of the ball until the error is a millionth"),
        Figure(
            "terminal_accelerating",
            "terminal speed of the accelerating form, in units of ε|g|",
            "1/(1−α) = 10",
            9.999,
            10.001,
        ),
        Figure("terminal_average", "terminal speed of the average form, in units of ε|g|", "1", 0.9999, 1.0001),
        Figure(
            "nesterov_bound",
            "largest share of 2L|x₀−x*|²/(k+1)² reached on 20 problems",
            "Nesterov 1983: ≤ 1",
            high=1.0,
        ),
        Figure(
            "nesterov_over_classical", "excess over that of classical momentum on the chain of springs", "", high=0.999
        ),
    ),
    run=run,
    budget=20,
    seeds=(0, 1, 2),
    draw=draw,
    note="The deep autoencoder that row 61 also names is the one of row 46 and is measured there.",
)
