"""With one hidden layer a net can be any continuous function, as near as you like, if the layer is wide enough.

In one dimension that is no mystery: a ReLU is a line with a corner, a sum of ReLUs is a chain of straight lines, and
so the weights of a net that joins points of a function by straight lines can be written down without any training.
Where the second derivative is at most M, such a chain over distances h is off by at most `h² M / 8`: twice as wide,
four times as good.

A net that is *trained* finds its bends itself. Here it does so for a smooth function, one with a kink and one with
a jump, at widths from 8 to 512. The theorem says that good weights exist, not that descent finds them; still, wider
is nearly always better.

Which activation is used hardly matters, with one exception: of polynomials a wider layer makes the same polynomials
again. With squares a net of any width is a parabola, and no parabola comes nearer to |x| on -1 … 1 than 1/8.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, models, nn, optim, train

WIDTHS = (8, 16, 32, 64, 128, 256, 512)
SMOOTH = {  # the function, where, and the largest |second derivative| there
    "sin(πx)": (lambda x: np.sin(np.pi * x), (-1, 1), np.pi**2),
    "exp(x)": (np.exp, (-1, 1), np.e),
    "x²": (np.square, (-1, 1), 2.0),
    "x³": (lambda x: x**3, (-1, 1), 6.0),
    "tanh(2x)": (lambda x: np.tanh(2 * x), (-1, 1), 16 / 27**0.5),
}
ROUGH = {
    "sin(πx)": lambda x: np.sin(np.pi * x),
    "|x|": np.abs,
    "step": lambda x: np.where(x > 0, 1.0, 0.0),
}
POINTS, STEPS, STARTS, RATE = 256, 2000, 5, 0.3


def run(seed: int, folder: Path) -> Outcome:
    built = np.array([[built_error(name, width) for width in WIDTHS] for name in SMOOTH])
    bounds = np.array(
        [[models.interpolation_bound(m, *ends, width) for width in WIDTHS] for _, ends, m in SMOOTH.values()]
    )
    trained = np.array([[typical(trained_errors(f, width, seed)) for width in WIDTHS] for f in ROUGH.values()])
    pairs = [wide <= narrow for row in trained for i, narrow in enumerate(row) for wide in row[i + 1 :]]
    figures = {
        "slope": float(np.mean([np.polyfit(np.log(WIDTHS), np.log(row), 1)[0] for row in built])),
        "of_bound": round(float(np.max(built / bounds)), 9),  # of a parabola the bound is the error, up to rounding
        "monotone": float(np.mean(pairs)),
        "relu": largest(trained_errors(np.abs, 64, seed, nn.relu, 1.0)),
        "square": largest(trained_errors(np.abs, 64, seed, jnp.square, 1.0)),
    }
    return Outcome(figures, {"built": built, "trained": trained}, STEPS)


def built_error(name: str, width: int) -> float:
    """The largest error of the net that was written down, on 40 points between any two of its own."""
    function, (low, high), _ = SMOOTH[name]
    with jax.enable_x64(True):
        x = np.linspace(low, high, 40 * width + 1)
        params = models.interpolant(function, low, high, width)
        return float(np.max(np.abs(models.shallow_net(width).apply(params, {}, x[:, None])[0][:, 0] - function(x))))


def trained_errors(function, width: int, seed: int, activation=nn.tanh, scale: float = 4.0) -> np.ndarray:
    """What trained nets are off, at each point, from several starts: (STARTS, POINTS)"""
    x = np.linspace(-1, 1, POINTS, dtype=np.float32)[:, None]
    y = function(x).astype(np.float32)
    net, optimizer = models.shallow_net(width, activation, scale=scale), adam_of(width)

    def loss_fn(params, state, batch, key):
        said, state = net.apply(params, state, batch["x"])
        return losses.squared_error(said, batch["y"]).mean(), (state, {})

    step = train.swept(train.make_train_step(loss_fn, optimizer))
    state = train.init_sweep(net.init, optimizer, range(STARTS * seed, STARTS * (seed + 1)))
    state, _ = train.run(step, state, data.shuffled({"x": x, "y": y}, POINTS, seed), STEPS)
    return np.asarray(jax.vmap(lambda params: net.apply(params, {}, x)[0])(state.params) - y)[..., 0]


def adam_of(width: int) -> optim.Transform:
    """Adam whose steps of the output weights are shorter the more of them there are, so that a rate fits all widths.

    This is the maximal update parametrisation, https://arxiv.org/abs/2203.03466
    """
    shorter = optim.only(optim.leafwise(lambda update: update * WIDTHS[0] / width), "out/kernel")
    return optim.chain(optim.adam(optim.cosine(RATE, STEPS)), shorter)


def typical(errors: np.ndarray) -> float:
    """The root of the mean squared error, the median of the starts."""
    return float(np.median(np.sqrt(np.mean(errors**2, -1))))


def largest(errors: np.ndarray) -> float:
    """The largest error anywhere, of the best start."""
    return float(np.min(np.max(np.abs(errors), -1)))


def draw(arrays: dict[str, np.ndarray]):
    import matplotlib.pyplot as plt

    canvas, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for name, errors in zip(SMOOTH, arrays["built"]):
        left.loglog(WIDTHS, errors, ".-", label=name)
    left.set(title="written down", xlabel="width", ylabel="largest error")
    for name, errors in zip(ROUGH, arrays["trained"]):
        right.loglog(WIDTHS, errors, ".-", label=name)
    right.set(title="trained", xlabel="width", ylabel="root mean squared error")
    for axes in (left, right):
        axes.legend(fontsize=8)
    return canvas


ROW = Row(
    rows=("6",),
    title="Universal approximation",
    figures=(
        Figure("slope", "power of the width with which the built net's largest error falls", "-2", low=-2.1, high=-1.9),
        Figure("of_bound", "largest error of built nets, as a fraction of h²/8 max|f''|", "at most 1, theorem", high=1),
        Figure("monotone", "fraction of pairs of widths of which the wider trained net errs no more", low=0.9),
        Figure("relu", "largest error on |x| of 64 trained ReLUs"),
        Figure("square", "largest error on |x| of 64 trained squares", "at least 1/8, Leshno and Chebyshev", low=0.125),
    ),
    run=run,
    budget=90,
    draw=draw,
    note="Each width is trained from five starts, of which the median counts; of the rates 0.03, 0.1 and 0.3 the last "
    "had the smallest errors. Two choices matter. With ReLU every width meets |x|, which two of them are exactly, and "
    "their order is chance: hence tanh. With the same steps for all weights wide nets fall behind, and 0.78 (ReLU) or "
    "0.84 (tanh) of the pairs were monotone: hence steps of the output weights in inverse proportion to the width.",
)
