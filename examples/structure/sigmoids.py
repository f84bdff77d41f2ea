"""Two functions that squash: the logistic sigmoid and the hyperbolic tangent.

The sigmoid 1 / (1 + exp(-x)) turns any number into one between 0 and 1, and its derivative is σ (1 - σ), at most a
quarter: ten sigmoids in a row leave less than a millionth of a gradient.  tanh is the same curve stretched over
(-1, 1), tanh x = 2 σ(2x) - 1, so that outputs are centred; LeCun's 1.7159 tanh(2x / 3) goes through ±1 at ±1, where it
bends most.

The formulas are short, and a program that types them in is wrong far out: exp(100) is beyond float32, and what comes
after is NaN.  So here both are compared with float64 at a million points of [-100, 100], values and derivatives, in
units in the last place (ulp), the distance from a number to the next one that float32 has.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit, log_expit

from examples.course.row import Figure, Outcome, Row
from fdl import nn

POINTS = np.linspace(-100, 100, 1_000_001, dtype=np.float32)
NORMAL = np.finfo(np.float32).smallest_normal


def slope(f, x):
    return np.asarray(jax.grad(lambda x: jnp.sum(f(x)))(jnp.asarray(x)), np.float64)


def errors(f, exact, exact_slope) -> dict[str, float]:
    """How far f and its derivative are from float64; in ulps where the result is a normal number."""
    x = POINTS.astype(np.float64)
    got, want = np.asarray(f(jnp.asarray(POINTS)), np.float64), exact(x)
    error, normal = np.abs(got - want), np.abs(want) >= NORMAL
    bend = slope(f, POINTS)
    return {
        "error": error.max(),
        "ulps": (error / np.spacing(np.abs(want).astype(np.float32)))[normal].max(),
        "slope_error": np.abs(bend - exact_slope(x)).max(),
        "not_finite": float((~np.isfinite(got)).sum() + (~np.isfinite(bend)).sum()),
    }


def identity_error() -> dict[str, float]:
    """The largest |tanh x - (2 σ(2x) - 1)|, in float64 and in float32."""
    gap = lambda x: float(jnp.max(jnp.abs(nn.tanh(x) - (2 * nn.sigmoid(2 * x) - 1))))
    with jax.enable_x64(True):
        exact = gap(jnp.asarray(POINTS, jnp.float64))
    return {"identity": exact, "identity_float32": gap(jnp.asarray(POINTS))}


def run(seed, folder):
    far = np.array([-1e4, -100, -1, 0, 1, 100, 1e4])
    stable = np.asarray(nn.log_sigmoid(jnp.asarray(far, jnp.float32)), np.float64)
    found = {f"sigmoid_{k}": v for k, v in errors(nn.sigmoid, expit, lambda x: expit(x) * expit(-x)).items()}
    found |= {f"tanh_{k}": v for k, v in errors(nn.tanh, np.tanh, lambda x: np.cosh(x) ** -2.0).items()}
    found |= identity_error()
    found["steepest"] = slope(nn.sigmoid, POINTS).max()
    found["log_sigmoid"] = np.abs(stable - log_expit(far)).max() / 1e4
    found["lecun"] = float(jnp.abs(nn.lecun_tanh(1.0) - 1))
    x = np.linspace(-6, 6, 241, dtype=np.float32)
    curves = {name: f(jnp.asarray(x)) for name, f in CURVES.items()}
    slopes = {f"{name}, slope": slope(f, x) for name, f in CURVES.items()}
    return Outcome(found, {"x": x} | {name: np.asarray(y) for name, y in (curves | slopes).items()})


CURVES = {"sigmoid": nn.sigmoid, "tanh": nn.tanh, "1.7159 tanh(2x/3)": nn.lecun_tanh}


def draw(arrays):
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for name in CURVES:
        panels[0].plot(arrays["x"], arrays[name], label=name)
        panels[1].plot(arrays["x"], arrays[f"{name}, slope"])
    panels[0].legend(frameon=False, fontsize=8)
    for axes, title in zip(panels, ("values", "derivatives")):
        axes.set_title(title, fontsize=9, loc="left")
    return figure


FLOAT64 = "SciPy in float64"
ROW = Row(
    rows=("25", "26"),
    title="Sigmoid and tanh",
    figures=(
        Figure("sigmoid_error", "largest error of the sigmoid on [-100, 100], float32", FLOAT64, high=2e-7),
        Figure("sigmoid_ulps", "the same in ulps, where the result is a normal number", FLOAT64),
        Figure("sigmoid_slope_error", "largest error of its derivative", "σ (1 - σ) in float64", high=2e-7),
        Figure("sigmoid_not_finite", "values and derivatives that are not finite", high=0),
        Figure("steepest", "its largest derivative", "¼", low=0.25, high=0.25),
        Figure("log_sigmoid", "largest error of log sigmoid up to ±1e4, relative to 1e4", FLOAT64, high=2e-7),
        Figure("tanh_error", "largest error of tanh on [-100, 100], float32", "NumPy in float64"),
        Figure("tanh_ulps", "the same in ulps, where the result is a normal number", "NumPy in float64"),
        Figure("tanh_slope_error", "largest error of its derivative", "1 - tanh² in float64"),
        Figure("tanh_not_finite", "values and derivatives that are not finite", high=0),
        Figure("identity", "largest |tanh x - (2 σ(2x) - 1)|, float64", "0", high=1e-7),
        Figure("identity_float32", "the same in float32, where numbers below 2 are 1.2e-7 apart", "0"),
        Figure("lecun", "|1.7159 tanh(2/3) - 1|", "LeCun et al. 1998: 1 at 1", high=1e-4),
    ),
    run=run,
    budget=10,
    draw=draw,
    note="The identity is asked for in float64.  In float32 a number near 2 is rounded by up to 6e-8 and XLA's tanh "
    "is off by up to four units in the last place, so that no better than some 4e-7 can be had there.",
)
