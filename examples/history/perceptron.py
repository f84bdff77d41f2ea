"""A perceptron guesses, and only if it was wrong it moves: towards the example if that should have fired, away
otherwise.

That is all: `w ← w + y x` for an example x with target y = ±1 on whose wrong side w lies. Rosenblatt built it in
1958, and Novikoff proved in 1962 that it ends: if any plane separates the examples with a margin γ, and no example
is longer than R, it makes at most `(R / γ)²` mistakes, in whatever order they come, and however many there are.

If no plane separates them, as for XOR, it goes on for ever. Yet its weights stay bounded (the cycling theorem): on
XOR they are whole numbers, and after a few rounds they are where they have been before.

On MNIST ten perceptrons compete for each digit. The last weights depend on which mistake happened to be the last;
the mean of the weights over all steps is much better, and so is a vote of all the weights there have been.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, models

EPOCHS = 5
learn = jax.jit(models.learn_online, static_argnums=0)


def run(seed: int, folder: Path) -> Outcome:
    digits, binary = ten_digits(seed), three_or_five(seed)
    arrays = {"average": digits.pop("average")}
    return Outcome(digits | binary | novikoff(seed) | on_xor(seed), arrays, EPOCHS * 60_000)


def ten_digits(seed: int) -> dict:
    """Test errors in percent of the last and of the averaged weights, after five epochs of MNIST."""
    train_set, test_set = map(as_examples, data.mnist())
    kernel, averages = jnp.zeros((785, 10)), []
    for epoch in range(EPOCHS):
        x, label = (part[shuffled(seed, epoch, len(part))] for part in train_set)
        learnt = learn(models.multiclass_perceptron_update, kernel, x, label)
        kernel = learnt.kernel
        averages.append(learnt.average)
    average = jnp.mean(jnp.stack(averages), 0)
    error = lambda kernel: 100 * float((jnp.argmax(test_set[0] @ kernel, -1) != test_set[1]).mean())
    return {"averaged": error(average), "last": error(kernel), "average": np.asarray(average[:-1])}


def three_or_five(seed: int) -> dict:
    """Test errors in percent on two digits that look alike, after one epoch: last, averaged and voted."""
    (x, target), test = (as_pair(part, 3, 5) for part in data.mnist())
    order = shuffled(seed, 0, len(x))
    x, target = x[order], target[order]
    learnt = learn(models.perceptron_update, jnp.zeros(785), x, target)
    error = lambda said: 100 * float(np.mean(said != test[1]))
    return {
        "pair_last": error(np.sign(test[0] @ learnt.kernel)),
        "pair_averaged": error(np.sign(test[0] @ learnt.average)),
        "pair_voted": error(models.vote(x, target, learnt.seen, test[0])),
    }


def novikoff(seed: int, epochs: int = 400) -> dict:
    """The fraction of random separable sets with at most (R/γ)² mistakes, and the most that was used of a bound."""
    x, target = separable_sets(seed)
    order = np.tile(np.arange(x.shape[1]), epochs)
    each = jax.vmap(lambda x, target: learn(models.perceptron_update, jnp.zeros(x.shape[1]), x[order], target[order]))
    wrong = np.asarray(each(x, target).seen)
    if wrong[:, -x.shape[1] :].any():
        raise RuntimeError(f"a perceptron still makes mistakes after {epochs} epochs; give it more")
    bounds = [(np.linalg.norm(one, axis=1).max() / margin(one * sign[:, None])) ** 2 for one, sign in zip(x, target)]
    used = wrong.sum(1) / np.array(bounds)
    return {"within_bound": float(np.mean(used <= 1)), "most_used": float(used.max())}


def separable_sets(seed: int, sets: int = 200, size: int = 40, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Examples (sets, size, dim) on both sides of random planes through the origin, and their sides (sets, size)."""
    rng = np.random.default_rng(seed)
    planes, x = rng.normal(size=(sets, 1, dim)), rng.normal(size=(sets, 2 * size, dim))
    side = np.sum(x * planes, -1)
    far = np.argsort(-np.abs(side))[:, :size]
    x, side = np.take_along_axis(x, far[..., None], 1), np.take_along_axis(side, far, 1)
    return x.astype(np.float32), np.sign(side).astype(np.float32)


def margin(signed: np.ndarray) -> float:
    """The largest γ such that a unit vector v has x · v >= γ for every row x: a quadratic program, exactly.

    The shortest v with x · v >= 1 has length 1/γ; it is found as a least-squares problem with nonnegative unknowns
    (Lawson and Hanson 1974, Solving Least Squares Problems, section 23.4).
    """
    from scipy.optimize import nnls

    rows = np.concatenate([signed.T, np.ones((1, len(signed)))]).astype(float)
    aim = np.eye(len(rows))[-1]
    rest = rows @ nnls(rows, aim)[0] - aim
    return float(-rest[-1] / np.linalg.norm(rest[:-1]))


def on_xor(seed: int, most: int = 100) -> dict:
    """After how many epochs the weights are what they were; and the longest in 100,000 examples in random order."""
    x, target = models.with_bias(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)), jnp.array([-1.0, 1, 1, -1])
    kernels = [jnp.zeros(3)]
    for _ in range(most):
        kernels.append(learn(models.perceptron_update, kernels[-1], x, target).kernel)
    period = next((i for i in range(1, most + 1) if (kernels[most - i] == kernels[most]).all()), 0)

    def with_length(kernel, x, target):
        kernel, _ = models.perceptron_update(kernel, x, target)
        return kernel, jnp.linalg.norm(kernel)

    order = np.random.default_rng(seed).integers(0, 4, 100_000)
    lengths = learn(with_length, kernels[0], x[order], target[order]).seen
    return {"xor_period": period, "xor_longest": float(lengths.max())}


def as_examples(part: dict) -> tuple[jnp.ndarray, np.ndarray]:
    return models.with_bias(part["image"].reshape(-1, 784).astype(np.float32) / 255), part["label"]


def as_pair(part: dict, yes: int, no: int) -> tuple[jnp.ndarray, np.ndarray]:
    """The examples of two digits, 1 for the one and -1 for the other."""
    x, label = as_examples(part)
    meant = np.isin(label, (yes, no))
    return x[meant], np.where(label[meant] == yes, 1, -1).astype(np.float32)


def shuffled(seed: int, epoch: int, size: int) -> np.ndarray:
    return data.indices(seed, epoch, size=size, batch=size)


def draw(arrays: dict[str, np.ndarray]):
    import matplotlib.pyplot as plt

    canvas, row = plt.subplots(1, 10, figsize=(6, 0.9), layout="constrained")
    most = np.abs(arrays["average"]).max() / 2
    for digit, axes in enumerate(row):
        axes.imshow(arrays["average"][:, digit].reshape(28, 28), cmap="RdBu_r", vmin=-most, vmax=most)
        axes.set_title(str(digit), fontsize=9)
        axes.axis("off")
    return canvas


ROW = Row(
    rows=("3",),
    title="Rosenblatt's perceptron",
    figures=(
        Figure(
            "averaged", "MNIST test error in %, averaged, 5 epochs", "7.31 [R]; LeCun 1998 12.0, recalled", high=7.8
        ),
        Figure("last", "the same, last weights", "10.2 [R]"),
        Figure("within_bound", "fraction of 200 separable sets within Novikoff's bound", "1, theorem", low=1, high=1),
        Figure("most_used", "most mistakes as a fraction of their bound", "at most 1, theorem", high=1),
        Figure("xor_period", "epochs after which the weights on XOR repeat; 0 if never", "cycling theorem", low=1),
        Figure("xor_longest", "longest weights on 100,000 examples of XOR", "bounded, cycling theorem", high=10),
        Figure("pair_last", "test error in % on 3 or 5, last weights, 1 epoch"),
        Figure("pair_averaged", "the same, averaged"),
        Figure("pair_voted", "the same, voted"),
    ),
    run=run,
    budget=30,
    seeds=(0, 1, 2),
    draw=draw,
)
