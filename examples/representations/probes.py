"""A deep net is a ladder of representations, and what climbs is how easy the classes are to tell apart.

Train a small convolutional net on digits, freeze it, and ask of every layer: how well does one affine map do from here?
Such a probe is a convex problem, so its error is a property of the layer.  From the pixels it is that of softmax
regression, 7 %; each layer lowers it, and at the last the classes are all but linearly separable.  The same layers
before training show that it is the learning and not the architecture.  A probe of shuffled labels shows that it reads
the features and does not memorise: it gets nine in ten wrong, and hardly fewer of the very labels it was fitted to.

Neighbours tell the same without any training: digits of one class move together.  Whether some of the classes are
separable is no matter of degree: a hyperplane, or a proof that there is none.  And two nets from other seeds, whose
units have nothing to do with each other, grow layers that are alike: centred kernel alignment knows layer from layer.
"""

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train
from fdl.inspection import capture, cka, linear_probe, nearest_neighbours, separate

EPOCHS, BATCH, SHIFT = 10, 100, 2
PENALTY, STEPS = 1e-3, 150  # of the probes
LAYERS = ("pixels", "max_pool_0", "max_pool_1", "wide", "last")
NET = nn.serial(
    *(nn.conv(1, 6, 5, kernel_init=nn.he_normal()), nn.relu, nn.max_pool(2)),
    *(nn.conv(6, 16, 5, padding="valid", kernel_init=nn.he_normal()), nn.relu, nn.max_pool(2)),
    nn.flatten,
    nn.dense(400, 120, kernel_init=nn.he_normal()),
    wide=nn.relu,
    hidden=nn.dense(120, 84, kernel_init=nn.he_normal()),
    last=nn.relu,
    head=nn.dense(84, 10),
)


def run(seed, folder):
    train_set, test_set = data.mnist()
    label = train_set["label"]
    net, other = trained(train_set, 2 * seed, EPOCHS), trained(train_set, 2 * seed + 1, 3)
    fresh, _ = NET.init(jax.random.key(seed))
    pixels = probed(net, "pixels", train_set, test_set)
    rungs = lambda params: np.array([pixels, *(probed(params, layer, train_set, test_set) for layer in LAYERS[1:])])
    after, before = rungs(net), rungs(fresh)
    last, last_before = (features(params, train_set, "last") for params in (net, fresh))
    shuffled, fitted = control(net, train_set, test_set, seed)
    alike = similarities(net, other, test_set)
    figures = {
        "pixels": pixels,
        "last": after[-1],
        "falls": np.sum(np.diff(after) < 0),
        "last_before": before[-1],
        "before_over_after": before[-1] / after[-1],
        "shuffled": shuffled,
        "shuffled_fitted": fitted,
        "neighbours_pixels": neighbours(net, "pixels", train_set, test_set),
        "neighbours_last": neighbours(net, "last", train_set, test_set),
        "separable": separable(last, label),
        "separable_before": separable(last_before, label),
        "matched": np.mean(alike.argmax(1) == np.arange(len(alike))),
    }
    return Outcome(figures, {"after": after, "before": before, "alike": alike}, EPOCHS * len(label) // BATCH)


def trained(train_set, seed, epochs):
    """Parameters after so many passes over the digits, each time moved by up to SHIFT pixels."""
    batches = data.shuffled(train_set, batch=BATCH, seed=seed)
    steps = epochs * batches.steps_per_epoch
    optimizer = optim.adam(optim.cosine(2e-3, steps))

    def loss_fn(params, state, batch, key):
        by = jax.random.randint(key, (BATCH, 2), -SHIFT, SHIFT + 1)
        moved = jax.vmap(lambda image, by: jnp.roll(image, by, (0, 1)))(batch["image"], by)  # their margins are empty
        logits, state = NET.apply(params, state, moved.astype(jnp.float32) / 255)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    step = train.make_train_step(loss_fn, optimizer)
    return train.run(step, train.init_state(NET.init, optimizer, seed), batches, steps)[0].params


def features(params, examples, layer):
    """What a layer makes of the images, a row each."""
    if layer == "pixels":
        return examples["image"].reshape(-1, 784).astype(np.float32) / 255
    see = jax.jit(lambda x: capture(NET, layer, params, {}, x.astype(jnp.float32) / 255)[2][layer])
    parts = np.split(examples["image"], range(1000, len(examples["image"]), 1000))
    return np.concatenate([np.asarray(see(part)).reshape(len(part), -1) for part in parts])


def scaled(x, test_x):
    """Both with the mean of the training features taken off and in units of their spread, one for all features."""
    spread = np.float32(x.std(dtype=float))
    return tuple(jnp.asarray((rows - x.mean(0, keepdims=True)) / spread, jnp.float32) for rows in (x, test_x))


def probe(x, label):
    """The best affine map from features to logits."""
    return linear_probe(x, label, 10, penalty=PENALTY, max_steps=STEPS)


def probed(params, layer, train_set, test_set):
    """Percent of test digits that a probe of this layer gets wrong."""
    x, test_x = scaled(*(features(params, part, layer) for part in (train_set, test_set)))
    return error(probe(x, train_set["label"])(test_x), test_set["label"])


def control(params, train_set, test_set, seed):
    """Percent wrong of a probe of shuffled labels: of test digits, shuffled as well, and of those it was fitted to."""
    x, test_x = scaled(*(features(params, part, "last") for part in (train_set, test_set)))
    label, test_label = (np.random.default_rng(seed).permutation(part["label"]) for part in (train_set, test_set))
    fitted = probe(x, label)
    return error(fitted(test_x), test_label), error(fitted(x), label)


def neighbours(params, layer, train_set, test_set):
    """Percent of test digits whose three nearest training digits vote for another class."""
    x, test_x = (jnp.asarray(features(params, part, layer)) for part in (train_set, test_set))
    return error(nearest_neighbours(x, train_set["label"], test_x, k=3, classes=10), test_set["label"])


def error(logits, label):
    """Percent wrong."""
    return 100 * float(np.mean(np.argmax(logits, -1) != label))


def separable(x, label, count=5000):
    """How many of the ten digits a hyperplane separates from all others, among the first of the training set."""
    return sum(separate(x[:count], label[:count] == digit).separable for digit in range(10))


def similarities(net, other, test_set):
    """CKA of every layer of one net with every layer of the other, on 2,000 test digits."""
    few = {name: leaf[:2000] for name, leaf in test_set.items()}
    ours, theirs = ([jnp.asarray(features(params, few, layer)) for layer in LAYERS[1:]] for params in (net, other))
    return np.array([[float(cka(a, b)) for b in theirs] for a in ours])


def draw(arrays):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    names = ("pixels", "conv 1", "conv 2", "hidden 1", "hidden 2")
    for name in ("before", "after"):
        left.semilogy(arrays[name], "o-", label=f"{name} training")
    left.set_xticks(range(5), names)
    left.set(title="error of a linear probe, %")
    left.legend()
    right.imshow(arrays["alike"], vmin=0, vmax=1, cmap="magma")
    right.set_xticks(range(4), names[1:])
    right.set_yticks(range(4), names[1:])
    for place, value in np.ndenumerate(arrays["alike"]):
        right.text(*place[::-1], f"{value:.2f}", ha="center", va="center", color="white" if value < 0.7 else "black")
    right.set(title="CKA of two nets, layer by layer")
    return figure


ROW = Row(
    rows=("15",),
    title="Features become linearly separable",
    figures=(
        Figure("pixels", "test error of a linear probe of the pixels, %", "7.4, row 12", high=7.5),
        Figure("last", "test error of a linear probe of the last layer, %", "", high=1.2),
        Figure(
            "falls", "of 4 steps up the layers, those that lower the error", "all; Alain & Bengio 2016, recalled", 4, 4
        ),
        Figure("last_before", "test error of a linear probe of the last layer before training, %"),
        Figure("before_over_after", "that error over the one after training", "clearly above 1", 3),
        Figure("shuffled", "test error of a probe of shuffled labels, last layer, %", "90, chance", 88, 92),
        Figure(
            "shuffled_fitted", "the same on the labels that it was fitted to, %", "90 less what 850 numbers remember"
        ),
        Figure("neighbours_pixels", "test error of 3 nearest neighbours, pixels, %", "5.0, LeCun 1998, recalled"),
        Figure("neighbours_last", "the same in the last layer, %"),
        Figure("separable", "of 10 digits, those that a hyperplane parts from all others, 5,000 digits, last layer"),
        Figure("separable_before", "the same before training"),
        Figure(
            "matched",
            "share of layers most alike to the same layer of a net of another seed",
            ".99 on CIFAR-10, Kornblith et al. 2019, recalled",
        ),
    ),
    run=run,
    budget=300,
    draw=draw,
    note="The penalty of the probes was chosen on the last 5,000 training digits.",
)
