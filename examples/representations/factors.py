"""A picture has few causes; a good representation has them as directions.

The pictures here are drawn by a program, so their causes are known: which shape, how large, where, of what colour, with
how broad a stroke.  A convolutional net is told these factors of twenty thousand pictures and has to find them in
others.  How far has it come at which depth?  A linear read-out of every layer says, factor by factor: where a shape
lies is nearly linear in the pixels already, which shape it is is not, and every convolution brings it nearer.  A net
that was not trained, read in the same way, shows what comes from the architecture alone: its wide first layer helps as
well, but each layer after it loses some of the shape again.

Then the net is looked into: which pixels a decision rests on (gradients, deconvolution, guided backpropagation), how
far a unit sees, which input it likes best.  All of it can be held against what was planted.

First layers look alike everywhere.  A layer that has only to make its outputs as independent as it can, on patches of
photographs, grows filters like the simple cells of the visual cortex: Gabor functions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train
from fdl.data.shapes import FACTORS, SHAPES
from fdl.inspection import capture, extent, fit_gabor, linear_readout, preferred_input, receptive_field, saliency

LAYERS = ("pixels", "relu_0", "relu_1", "relu_2")
EPOCHS, BATCH = 15, 100
PENALTY = 1e-3  # of the read-outs
NET = nn.serial(
    *(nn.conv(3, 16, 5, stride=2, kernel_init=nn.he_normal()), nn.relu),
    *(nn.conv(16, 32, 3, stride=2, kernel_init=nn.he_normal()), nn.relu),
    *(nn.conv(32, 64, 3, stride=2, kernel_init=nn.he_normal()), nn.relu),
    nn.flatten,
    *(nn.dense(1024, 128, kernel_init=nn.he_normal()), nn.relu, nn.dense(128, len(SHAPES) + len(FACTORS))),
)
PATCH, PATCHES, COMPONENTS, ROUNDS = 10, 25_000, 80, 60


def run(seed, folder):
    learnt, unseen = data.shapes(20_000, seed=2 * seed), data.shapes(4000, seed=2 * seed + 1)
    params, fresh = trained(learnt, seed), NET.init(jax.random.key(seed))[0]
    read = {
        (name, layer): read_out(own, layer, learnt, unseen)
        for name, own in (("trained", params), ("random", fresh))
        for layer in LAYERS
    }
    last = read["trained", "relu_2"]
    figures = last | {"least": min(last.values()), "pixels_shape": read["trained", "pixels"]["shape"]}
    figures |= {"random_shape": read["random", "relu_2"]["shape"]}
    sensitive, maps = looked_into(params, unseen)
    gabors, filters = first_layer(seed)
    table = {name: np.array([list(read[name, layer].values()) for layer in LAYERS]) for name in ("trained", "random")}
    arrays = table | maps | {"filters": filters, "image": unseen["image"][:3]}
    return Outcome(figures | sensitive | gabors, arrays, EPOCHS * len(learnt["shape"]) // BATCH)


def pixels_of(examples):
    return jnp.asarray(examples["image"], jnp.float32) / 255


def targets_of(examples):
    """The numbers among the factors, each in units of its spread, and the shape as one of three."""
    rest = [np.sqrt(12) * examples[name] / (high - low) for name, (low, high) in FACTORS.items()]
    return {"shape": examples["shape"], "rest": np.stack(rest, 1).astype(np.float32)}


def trained(examples, seed):
    """Parameters of a net that was told the factors of these pictures."""
    batches = data.shuffled({"image": examples["image"]} | targets_of(examples), batch=BATCH, seed=seed)
    steps = EPOCHS * batches.steps_per_epoch
    optimizer = optim.adam(optim.cosine(2e-3, steps))

    def loss_fn(params, state, batch, key):
        y, state = NET.apply(params, state, pixels_of(batch))
        logits, rest = jnp.split(y, [len(SHAPES)], -1)
        loss = losses.cross_entropy(logits, batch["shape"]) + losses.squared_error(rest, batch["rest"]).sum(-1)
        return loss.mean(), (state, {})

    step = train.make_train_step(loss_fn, optimizer)
    return train.run(step, train.init_state(NET.init, optimizer, seed), batches, steps)[0].params


def read_out(params, layer, learnt, unseen):
    """R² of a linear read-out of each factor from one layer, on pictures not seen; of the shape as one-hot numbers."""
    x, test_x = (features(params, part, layer) for part in (learnt, unseen))
    x, test_x = x / jnp.std(x), test_x / jnp.std(x)
    y, test_y = (planted(part) for part in (learnt, unseen))
    read = linear_readout(x, jnp.concatenate(list(y.values()), 1), penalty=PENALTY)(test_x)
    read = jnp.split(read, [len(SHAPES) + i for i in range(len(FACTORS))], 1)
    return {name: explained(prediction, test_y[name]) for name, prediction in zip(test_y, read)}


def planted(examples):
    """The factors as columns of numbers; the shape is three of them."""
    columns = {"shape": np.eye(len(SHAPES))[examples["shape"]]} | {name: examples[name][:, None] for name in FACTORS}
    return {name: jnp.asarray(values, jnp.float32) for name, values in columns.items()}


def explained(prediction, target):
    """R²."""
    measure = metrics.r_squared(center=float(target.mean()))
    return float(measure.compute(measure.update(measure.init(), prediction, target)))


def features(params, examples, layer):
    if layer == "pixels":
        return pixels_of(examples).reshape(len(examples["image"]), -1)
    see = jax.jit(lambda x: capture(NET, layer, params, {}, x)[2][layer])
    parts = jnp.split(pixels_of(examples), len(examples["image"]) // 1000)
    return jnp.concatenate([see(part).reshape(len(part), -1) for part in parts])


def looked_into(params, examples):
    """How far a unit sees, whether decisions rest on the pixels drawn, which colours the unit of colour likes."""
    image = pixels_of(examples)[:200]
    last = lambda x: capture(NET, "relu_2", params, {}, x)[2]["relu_2"]
    field = receptive_field(last, jax.random.uniform(jax.random.key(0), (20, 32, 32, 3)), (2, 2))
    decided = lambda y: jnp.max(y[:, : len(SHAPES)], -1).sum()
    maps = {
        rule: saliency(NET, params, {}, image, decided, rule=rule) for rule in ("gradient", "deconvolution", "guided")
    }
    drawn = jnp.max(image, -1) > 0.05
    near = jax.lax.reduce_window(drawn, False, jnp.logical_or, (1, 5, 5), (1, 1, 1), "SAME")  # and two pixels around
    share = lambda weight: float(jnp.sum(jnp.where(near, weight, 0)) / jnp.sum(weight))
    figures = {f"on_{rule}": share(jnp.abs(maps[rule]).sum(-1)) / share(jnp.ones(near.shape)) for rule in maps}
    colour = len(SHAPES) + list(FACTORS).index("colour")
    optimizer = optim.chain(optim.adam(0.02), optim.project(optim.box(0, 1), "**"))
    likes = lambda sign: preferred_input(
        lambda x: sign * NET.apply(params, {}, x)[0][:, colour].sum(),
        jnp.full((1, 32, 32, 3), 0.5),
        optimizer,
        steps=100,
    )
    blue = lambda x: float(jnp.mean(x[..., 2] - x[..., 0]))
    pictures = {name: np.asarray(found[:3]) for name, found in maps.items()}
    return figures | {"sees": extent(field)[0], "blue": blue(likes(1)) - blue(likes(-1))}, pictures


def first_layer(seed):
    """Share of filters that are Gabor functions: of independent components of photographs, and of others."""
    rng = np.random.default_rng(seed)
    x, axes = whitened(patches(photographs(), rng))
    arbitrary = np.linalg.qr(rng.normal(size=(COMPONENTS, COMPONENTS)))[0].astype(np.float32)
    filters = lambda kernel: jnp.asarray((axes @ kernel).T.reshape(-1, PATCH, PATCH))
    gabor_like = lambda kernel: np.mean(fit_gabor(filters(kernel))[1] >= 0.7)
    learnt = independent(x, arbitrary)
    return {"gabor": gabor_like(learnt), "gabor_before": gabor_like(arbitrary)}, np.asarray(filters(learnt))


def photographs():
    """Ten thousand small photographs, grey, (n, 32, 32): the first part of CIFAR-10."""
    return data.cifar10(train=10_000, test=1_000).train["image"].mean(-1) / 255


def patches(images, rng):
    """Patches from random places, each with mean 0, a row each."""
    which = rng.integers(len(images), size=PATCHES)
    row, column = rng.integers(images.shape[1] - PATCH + 1, size=(2, PATCHES, 1, 1))
    down, right = np.mgrid[:PATCH, :PATCH]
    found = images[which[:, None, None], row + down, column + right].reshape(PATCHES, -1)
    return found - found.mean(1, keepdims=True)


def whitened(x):
    """The principal components with covariance 1, without those of the least variance; and their axes as columns."""
    values, axes = (part[..., -COMPONENTS:] for part in np.linalg.eigh(x.T @ x / len(x)))
    return (x @ axes / np.sqrt(values)).astype(np.float32), axes.astype(np.float32)


def independent(x, kernel):
    """The rotation whose outputs are least like a normal distribution, from this one on: FastICA, Hyvärinen 1999."""

    def round_of(_, kernel):
        g = jnp.tanh(x @ kernel)
        moved = x.T @ g / len(x) - kernel * (1 - g**2).mean(0, keepdims=True)
        left, _, right = jnp.linalg.svd(moved, full_matrices=False)
        return left @ right  # the nearest rotation

    return np.asarray(jax.jit(lambda kernel: jax.lax.fori_loop(0, ROUNDS, round_of, kernel))(kernel))


def draw(arrays):
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 2, figsize=(7, 4.6), layout="constrained", height_ratios=(3, 2))
    for i, name in enumerate(("shape", *FACTORS)):
        (drawn,) = top[0].plot(arrays["trained"][:, i], ".-", label=name)
        top[0].plot(arrays["random"][:, i], ":", color=drawn.get_color())
    top[0].set_xticks(range(4), ("pixels", "conv 1", "conv 2", "conv 3"))
    top[0].set(title="R² of read-outs (dotted: before training)", ylim=(-0.1, 1.05))
    top[0].legend(ncols=2, fontsize="small")
    size = np.abs(arrays["filters"]).max((1, 2), keepdims=True)
    tiles = np.pad(np.round(7 * arrays["filters"] / size), ((0, 0), (1, 1), (1, 1)), constant_values=7)[:40]
    pictures = {"filters learnt from photographs": tiles.reshape(4, 10, *tiles.shape[1:])}
    pictures["drawn"] = arrays["image"].max(-1)[None]
    pictures["guided backpropagation"] = np.round(15 * np.sqrt(np.abs(arrays["guided"]).max(-1)))[None]
    for axis, (title, rows) in zip((top[1], *bottom), pictures.items()):
        axis.imshow(np.concatenate(np.concatenate(list(rows), 1), 1), cmap="gray", interpolation="nearest")
        axis.set(title=title)
        axis.set_axis_off()
    return figure


READ = tuple(
    Figure(name, f"R² of {name} read out of the last convolution", "1, planted", 0.9) for name in ("shape", *FACTORS)
)
ROW = Row(
    rows=("17",),
    title="Hidden factors",
    figures=(
        *READ,
        Figure("least", "the least of these", "1, planted", 0.9),
        Figure("pixels_shape", "R² of the shape read out of the pixels", "", high=0.5),
        Figure("random_shape", "R² of the shape read out of the last convolution before training"),
        Figure("sees", "pixels across that a unit of the last convolution sees", "17 = 5 + 2 · 2 + 2 · 4", 17, 17),
        Figure("on_gradient", "|gradient| of a decision on a pixel near the drawn ones over that on any", "above 1", 1),
        Figure("on_deconvolution", "the same by deconvolution", "above 1, Zeiler & Fergus 2013", 1),
        Figure("on_guided", "the same by guided backpropagation", "above 1, Springenberg et al. 2014", 1),
        Figure(
            "blue",
            "blue over red in what the unit of colour likes most, over that in what it likes least",
            "above 0, planted",
            0,
        ),
        Figure(
            "gabor",
            "share of filters learnt from photographs with a Gabor fit of R² ≥ .7",
            "oriented, localised filters: Bell & Sejnowski 1997, recalled",
            0.5,
        ),
        Figure("gabor_before", "the same before learning, an arbitrary rotation", "0", high=0.05),
    ),
    run=run,
    budget=300,
    draw=draw,
    note="The shapes are generated (`data.shapes`), the photographs 10,000 of CIFAR-10's; the net is told the factors.",
)
