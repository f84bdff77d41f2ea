"""Conjugate gradients: never undo what an earlier step has done.

Steepest descent zigzags: each step is at a right angle to the one before and spoils a part of it. Conjugate gradients
choose directions `d_i` with `d_i·A d_j = 0`: minimising along one leaves the minima along all the others alone, so a
quadratic of `n` unknowns is done **after `n` steps**, sooner if its eigenvalues come in clusters. One product with
`A` a step is all it needs; the matrix is never seen.

For a loss that is no quadratic the same recursion `d ← −g + β d` works with a line search: Fletcher & Reeves take `β
= |g'|²/|g|²`, Polak & Ribière `β = g'·(g'−g)/|g|²` (never below 0), Hestenes & Stiefel `β = g'·(g'−g)/d·(g'−g)`. The
crescent valley of Rosenbrock is the classic trial, here in 2 and in 100 dimensions, from the classic start (−1.2, 1,
…).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import optim

SIZES = (5, 20, 100, 300)
VARIANTS = ("fr", "pr+", "hs")
STEPS = {2: 100, 100: 1300}


def spd(n: int, seed: int) -> np.ndarray:
    """A symmetric positive matrix with n different eigenvalues from 1 to 10."""
    basis, _ = np.linalg.qr(np.random.default_rng([seed, n]).standard_normal((n, n)))
    return basis * np.linspace(1, 10, n) @ basis.T


def steps_to_solve(n: int, seed: int) -> tuple[int, float]:
    """Steps until the residual is 1e-10 of the right side, n at most, and the error of the solution."""
    matrix, x = spd(n, seed), np.random.default_rng([seed, n, 1]).standard_normal(n)
    found = optim.conjugate_gradient(lambda v: jnp.asarray(matrix) @ v, jnp.asarray(matrix @ x), tolerance=1e-10)
    return int(found.steps), float(np.linalg.norm(found.x - x) / np.linalg.norm(x))


def residuals(n: int, seed: int, steps: int) -> tuple[list[float], list[float]]:
    """|b − A x| over |b| after each step: conjugate gradients, and steepest descent with exact steps."""
    matrix, b = spd(n, seed), np.ones(n)
    matvec, x, descent = lambda v: jnp.asarray(matrix) @ v, np.zeros(n), []
    ends = [
        optim.conjugate_gradient(matvec, jnp.asarray(b), tolerance=0.0, max_steps=k).residual
        for k in range(1, steps + 1)
    ]
    for _ in range(steps):
        r = b - matrix @ x
        x = x + (r @ r) / (r @ matrix @ r) * r
        descent.append(np.linalg.norm(b - matrix @ x) / np.linalg.norm(b))
    return [float(np.linalg.norm(end) / np.linalg.norm(b)) for end in ends], descent


def rosenbrock(x: jax.Array) -> jax.Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def descend(optimizer: optim.Transform, n: int, steps: int) -> np.ndarray:
    """The values of Rosenbrock's function in n dimensions on the way."""

    def step(carry, _):
        x, state = carry
        value, grad = jax.value_and_grad(rosenbrock)(x)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
        return (optim.apply_updates(x, updates), state), value

    x = jnp.tile(jnp.asarray([-1.2, 1.0]), n // 2)
    return np.asarray(jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps + 1)[1])((x, optimizer.init(x))))


def run(seed: int, folder: Path) -> Outcome:
    """Linear systems of four sizes, and three variants on Rosenbrock's valley; all in float64."""
    with jax.enable_x64(True):
        solved = {n: steps_to_solve(n, seed) for n in SIZES}
        figures = {"steps": max(steps / n for n, (steps, _) in solved.items())}
        figures |= {"solution_error": max(error for _, error in solved.values()), "steps_300": solved[300][0]}
        for n, most in STEPS.items():
            for variant in VARIANTS:
                restart = min(n, 20) if variant == "fr" else None  # Fletcher & Reeves do not recover from a bad step
                optimizer = optim.nonlinear_conjugate_gradient(variant, restart=restart, curvature=0.02)
                values = descend(optimizer, n, most)
                name = f"rosenbrock_{n}_{variant.rstrip('+')}"
                figures |= {name: float(values.min()), f"{name}_steps": int(np.argmax(values < 1e-8)) or most + 1}
        ours, descent = residuals(20, seed, 30)
    return Outcome(figures, {"conjugate": np.array(ours), "descent": np.array(descent)}, sum(STEPS.values()))


def draw(arrays: dict[str, np.ndarray]):
    """How the residual falls, for conjugate gradients and steepest descent."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for name, label in (("descent", "steepest descent, exact steps"), ("conjugate", "conjugate gradients")):
        axes.semilogy(range(1, len(arrays[name]) + 1), np.maximum(arrays[name], 1e-17), marker=".", label=label)
    axes.axvline(20, color="grey", linewidth=1, linestyle="--")
    axes.set(xlabel="step", ylabel="residual / right side", title="20 unknowns, 20 steps")
    axes.legend()
    return figure


NAMES = {"fr": "Fletcher & Reeves", "pr": "Polak & Ribière +", "hs": "Hestenes & Stiefel"}
ROW = Row(
    rows=("58",),
    title="Conjugate gradients",
    figures=(
        Figure(
            "steps",
            "steps over unknowns, worst of systems of 5, 20, 100, 300",
            "Hestenes & Stiefel 1952: ≤ 1",
            high=1.0,
        ),
        Figure("solution_error", "relative error of the solution, worst of them", "", high=1e-9),
        Figure("steps_300", "steps for 300 unknowns, eigenvalues from 1 to 10"),
        *(
            Figure(
                f"rosenbrock_{n}_{v}", f"Rosenbrock in {n} dimensions, {NAMES[v]}, lowest value", "minimum 0", high=1e-8
            )
            for n in STEPS
            for v in NAMES
        ),
        *(
            Figure(f"rosenbrock_{n}_{v}_steps", f"steps until it is below 1e-8, {n} dimensions, {NAMES[v]}")
            for n in STEPS
            for v in NAMES
        ),
    ),
    run=run,
    budget=30,
    note="Fletcher & Reeves start anew every 20 steps: with every 100 they were still at 43 after 1,000.",
    draw=draw,
)
