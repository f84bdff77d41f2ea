"""It's the same data, but hard: two rings, one around the other.

In Cartesian coordinates no line does better than chance, because the inner ring has the outer one on every side.
In polar coordinates the very same points lie in two strips and a line parts them without an error.  Nothing was learnt
in between: the work was done by the features.  Whoever knows the data can choose them by hand: radius and angle, or
merely all products of two coordinates, among which is x² + y².  Whoever does not lets a hidden layer find some:
sixteen units are enough, each a line of its own, that together fence the inner ring in.

The rings are generated, so the best possible is known.  Where the share p of the labels is flipped by chance no rule
gets more than 1 - p of fresh ones right, and the line in polar coordinates gets just that: the Bayes rate.
"""

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train
from fdl.inspection import linear_probe, separate

FLIP = 0.1
STEPS, SEEDS = 1500, 5


def run(seed, folder):
    points, fresh = data.rings(2000, seed=2 * seed), data.rings(20_000, seed=2 * seed + 1)
    noisy, noisy_fresh = (data.rings(n, flip=FLIP, seed=2 * seed + i) for i, n in enumerate((2000, 20_000)))
    apart = {name: separate(of(points["x"]), points["label"] == 1).separable for name, of in FEATURES.items()}
    figures = {name: line(of, points, fresh) for name, of in FEATURES.items()}
    figures |= {"bayes": line(data.to_polar, noisy, noisy_fresh), "separable": apart["polar"] - apart["cartesian"]}
    accuracies, scores = perceptrons(points, fresh, seed)
    figures |= {"hidden": accuracies.mean(), "hidden_least": accuracies.min()}
    return Outcome(figures, {"x": points["x"], "label": points["label"], "scores": scores}, STEPS)


def products(x):
    """Both coordinates and the three products of two of them."""
    return np.stack([x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2], -1)


FEATURES = {"cartesian": lambda x: x, "polar": data.to_polar, "products": products}


def line(features, points, fresh):
    """Percent of fresh points on the right side of the best line, or plane, between these."""
    probe = linear_probe(jnp.asarray(features(points["x"])), points["label"], 2)
    found = np.argmax(probe(jnp.asarray(features(fresh["x"]))), -1)
    return 100 * np.mean(found == fresh["label"])


def perceptrons(points, fresh, seed):
    """Percent right of several nets of sixteen hidden units, trained at once, and what the first makes of the plane."""
    model = nn.serial(nn.dense(2, 16), nn.relu, nn.dense(16, 1))
    optimizer = optim.adam(optim.cosine(0.02, STEPS))

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"])
        return losses.binary_cross_entropy(logits[:, 0], batch["label"].astype(logits.dtype)).mean(), (state, {})

    step = train.swept(train.make_train_step(loss_fn, optimizer))
    state = train.init_sweep(model.init, optimizer, [SEEDS * seed + i for i in range(SEEDS)])
    state, _ = train.run(step, state, data.shuffled(points, batch=200, seed=seed), STEPS)
    logits = jax.vmap(lambda params, x: model.apply(params, {}, x)[0][:, 0], (0, None))
    side = np.linspace(-2.2, 2.2, 100, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    right = (logits(state.params, jnp.asarray(fresh["x"])) > 0) == (fresh["label"] == 1)[None]
    return 100 * np.mean(right, -1), np.asarray(logits(state.params, jnp.asarray(plane))[0]).reshape(100, 100)


def draw(arrays):
    import matplotlib.pyplot as plt

    x, label = arrays["x"][:200], arrays["label"][:200]
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.6), layout="constrained")
    polar = data.to_polar(x)
    views = (
        (x, "Cartesian: no line", "x", "y"),
        (polar, "polar: a line", "radius", "angle"),
        (x, "a hidden layer", "x", "y"),
    )
    for axis, (points, title, across, up) in zip(axes, views):
        axis.scatter(*points.T, c=label, s=2, cmap="coolwarm")
        axis.set(title=title, xlabel=across, ylabel=up)
    axes[1].axvline(1.25, color="black", lw=1)
    axes[2].contour(*2 * [np.linspace(-2.2, 2.2, 100)], arrays["scores"], levels=[0], colors="black", linewidths=1)
    return figure


ROW = Row(
    rows=("16",),
    title="Cartesian to polar",
    figures=(
        Figure("cartesian", "right with a line, Cartesian, %", "50, chance, by symmetry", 47, 53),
        Figure("polar", "right with a line, polar, %", "100, by construction; Goodfellow et al., figure 1.1", 100, 100),
        Figure("products", "right with a plane, all products of two coordinates, %", "100, by construction", low=99.5),
        Figure("separable", "1 if polar points are proven to be separable and Cartesian ones not to be", "1", 1, 1),
        Figure("hidden", f"right with 16 hidden units, mean of {SEEDS} nets, %", "100, the Bayes rate", low=99),
        Figure("hidden_least", "right with the worst of these nets, %", "100, the Bayes rate"),
        Figure("bayes", "right with a line, polar, a tenth of the labels flipped, %", "90, the Bayes rate", 89, 91),
    ),
    run=run,
    budget=15,
    seeds=(0, 1, 2),
    draw=draw,
)
