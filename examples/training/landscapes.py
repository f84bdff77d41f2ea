"""The loss as a landscape: shallow minima, saddles, valleys, plateaus, walls.

Every difficulty has a function of two numbers that shows it alone, and every optimizer a way to deal with it: the table
says which of them got where, each with the best of some twenty learning rates.

At a saddle the gradient is 0 without a minimum being near.  Gradient descent that starts a distance δ beside it leaves
at the pace of its curvature λ downwards, after about log(1 / δ) / (ε λ) steps of rate ε: a thousand times nearer costs
only some steps more, a flatter saddle many.

Of a network's loss nobody can see the whole.  A slice along random directions shows some of it, and products of the
Hessian with a vector, which cost two gradients each, are enough for Lanczos' method to find its outermost eigenvalues.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from examples.course.row import Figure, Outcome, Row
from examples.playground import BY_RATE, best
from fdl import data, inspection, losses, nn, optim, train
from fdl.inspection import landscapes

NAMES = ("sgd", "momentum", "nesterov", "rprop", "rmsprop", "adam")
STEPS, NEAR = 200, 1e-2
MODEL = nn.serial(nn.flatten, nn.dense(49, 8), nn.tanh, nn.dense(8, 10))


def outcome(landscape, path) -> int:
    """3 at the lowest minimum, 2 at another, 1 on the way, 0 out of the box or not finite."""
    end = np.asarray(path.points[-1], float)
    low, high = np.array(landscape.box).T
    if not (np.isfinite(end).all() and (end >= low).all() and (end <= high).all()):
        return 0
    heights = np.array([float(landscape.function(jnp.array(point))) for point in landscape.minima])
    gaps = np.linalg.norm(np.array(landscape.minima).reshape(-1, 2) - end, axis=1)
    if not (gaps < NEAR).any():
        return 1
    return 3 if heights[gaps.argmin()] <= heights.min() + 1e-6 else 2


def outcomes() -> np.ndarray:
    """How each optimizer ends on each landscape, at the best of its rates.  (optimizers, landscapes)"""
    runs = [[outcome(place, best(BY_RATE[name], place, STEPS)[1]) for place in ZOO.values()] for name in NAMES]
    newton = {"lbfgs": optim.lbfgs(), "newton_cg": optim.newton_cg()}
    for optimizer in newton.values():
        runs.append([outcome(place, landscapes.trajectory(optimizer, place, STEPS)) for place in ZOO.values()])
    return np.array(runs)


ZOO = landscapes.zoo()
COLUMNS = (*NAMES, "lbfgs", "newton_cg")


def escape(rate: float = 0.01) -> float:
    """The largest deviation of the steps out of a saddle from log(1 / δ) / (rate λ), relative."""
    worst, starts = 0.0, np.array([1e-2, 1e-4, 1e-6, 1e-8])
    for curvature in (0.25, 0.5, 1.0, 2.0):
        place, steps = landscapes.quadratic((1.0, -curvature)), int(20 / (rate * curvature))
        points = landscapes.trajectory(optim.sgd(rate), place, steps, start=np.stack([np.ones(4), starts], -1)).points
        left = np.argmax(np.abs(np.asarray(points[..., 1])) >= 1, axis=1)
        worst = max(worst, np.abs(left * rate * curvature / np.log(1 / starts) - 1).max())
    return float(worst)


def network(seed: int):
    """A small net trained on digits of 7x7: its loss as a function of the parameters, and these."""
    examples, _ = data.hold_out(data.mnist().train, 58_000)
    image = examples["image"].reshape(-1, 7, 4, 7, 4, 1).mean((2, 4), dtype=np.float32) / 255
    batch = {"image": image, "label": examples["label"]}

    def loss_fn(params, state, batch, key):
        logits, state = MODEL.apply(params, state, batch["image"])
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adam(1e-2)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer, seed=seed)
    state, _ = train.run(step, state, data.shuffled(batch, batch=100, seed=seed), 400)
    whole = jax.tree.map(jnp.asarray, batch)
    return lambda params: loss_fn(params, {}, whole, None)[0], state.params


def curvature(f, params, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Products and Lanczos' values against the whole Hessian and its eigenvalues, in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda p: jnp.asarray(np.asarray(p), jnp.float64), params)
        flat, unravel = ravel_pytree(wide)
        hessian = np.asarray(jax.jit(jax.hessian(lambda x: f(unravel(x))))(flat))
        product = lambda v: optim.hessian_vector_product(f, wide, v)
        v = unravel(jax.random.normal(jax.random.key(seed), flat.shape, jnp.float64))
        apart = np.abs(np.asarray(ravel_pytree(product(v))[0]) - hessian @ np.asarray(ravel_pytree(v)[0])).max()
        found = np.asarray(jax.jit(lambda key: optim.lanczos(product, wide, key, 60).values)(jax.random.key(seed)))
    values = np.linalg.eigvalsh(hessian)
    ends = np.abs(found[[0, -1]] - values[[0, -1]]).max() / np.abs(values).max()
    return {"product": float(apart), "lanczos": float(ends)}, values


def run(seed, folder):
    f, params = network(seed)
    found, values = curvature(f, params, seed)
    directions = [inspection.filter_direction(params, jax.random.key(seed + i)) for i in range(2)]
    plane = jax.jit(lambda params: inspection.loss_slice(f, params, *directions, points=31))(params)
    table = outcomes()
    found |= {f"{name}_arrives": float((row >= 2).sum()) for name, row in zip(COLUMNS, table)}
    found |= {
        "escape": escape(),
        "sharpest": float(values[-1]),
        "negative": float((values < -1e-6 * values[-1]).mean()),
        "above_center": float(plane.values.min() - plane.values[15, 15]),
    }
    return Outcome(found, {"table": table, "plane": np.asarray(plane.values)})


def draw(arrays):
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", width_ratios=(2, 1))
    panels[0].imshow(arrays["table"], cmap=ListedColormap(["#d55e00", "0.85", "#56b4e9", "#0072b2"]), vmin=0, vmax=3)
    panels[0].set_yticks(range(len(COLUMNS)), COLUMNS, fontsize=8)
    panels[0].set_xticks(range(len(ZOO)), ZOO, fontsize=8, rotation=40, ha="right")
    panels[0].set_title("left the box (red), under way, a minimum, the lowest (dark)", fontsize=9, loc="left")
    steps = np.linspace(-1, 1, 31)
    panels[1].contour(steps, steps, arrays["plane"], 8, linewidths=0.8, colors="0.4")
    panels[1].plot(0, 0, "k+")
    panels[1].set_title("a network's loss on a random plane", fontsize=9, loc="left")
    return figure


ROW = Row(
    rows=("56",),
    title="Loss landscapes",
    figures=(
        Figure("escape", "steps out of a saddle against log(1/δ) / (ε λ), worst relative deviation", "0", high=0.05),
        Figure("product", "largest error of a Hessian-vector product, float64", "the whole Hessian", high=1e-10),
        Figure("lanczos", "error of both outermost eigenvalues after 60 products, relative", "eigh", high=1e-8),
        *(Figure(f"{name}_arrives", f"landscapes of 11 on which {name} ends at a known minimum") for name in COLUMNS),
        Figure("sharpest", "largest eigenvalue of the Hessian of a trained network"),
        Figure("negative", "share of its eigenvalues that are negative"),
        Figure("above_center", "lowest point of a random plane below the trained parameters", "0: they are a minimum"),
    ),
    run=run,
    budget=180,
    draw=draw,
    note="200 steps each, at the rate of 21 with which the height is lowest on the way; to end at a minimum is to be "
    "within 0.01 of it.  The monkey saddle has none, and of Rastrigin's many only the lowest is known to the table.  "
    "RMSProp takes steps of one size to the end, and swings about a minimum.",
)
