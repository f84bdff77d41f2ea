"""No learner is better than another, if nothing is known of the world.

A learner sees some examples of a target and guesses the rest. Which learner guesses best? On *this* world perhaps
the one that looks at the nearest example; but for every world where it is right there is another one, equal on all
that was seen and different elsewhere, where it is wrong. Over all possible targets, what any learner says of
examples that it has not seen is right exactly half of the time (Wolpert 1996).

Three bits are few enough to try it all: 256 targets, 254 training sets, and four learners as different as the
majority of the labels, the nearest neighbour, a perceptron and a net with a hidden layer that is trained by gradient
descent. Each is right in exactly half of its 260,096 guesses.

Learning works because the world is not any world. Of the targets that one neuron can compute, 104 of 256, the
perceptron guesses more than half of what it has not seen: there its assumption holds.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from examples.history.threshold import patterns, separating_plane
from fdl import losses, models, nn, optim

net = nn.serial(nn.dense(3, 8), nn.tanh, nn.dense(8, 1))


def run(seed: int, folder: Path) -> Outcome:
    targets, splits = models.all_targets(3), models.all_splits(3)
    simple = targets[np.array([separating_plane(patterns(3), np.asarray(target)) is not None for target in targets])]
    figures = {}
    for learner in (models.majority, models.nearest_neighbour, perceptron, mlp):
        figures[learner.__name__] = right(learner, targets, splits).mean()
        figures[f"{learner.__name__}_simple"] = right(learner, simple, splits).mean()
    some = np.random.default_rng(seed).choice(models.all_splits(4), 64, replace=False)
    for learner in (models.majority, models.nearest_neighbour):
        figures[f"{learner.__name__}_four"] = right(learner, models.all_targets(4), some).mean()
    return Outcome({name: float(value) for name, value in figures.items()})


def right(learner, targets, splits) -> np.ndarray:
    """For each split, the fraction of right guesses off the training set, over all targets."""
    count = jax.jit(models.right_off_training, static_argnums=0)(learner, targets, splits)
    return np.asarray(count, np.float64) / (len(targets) * np.sum(~np.asarray(splits), 1))


def perceptron(x, labels, seen, epochs: int = 10):
    """Ten times through the seen examples; a target of 0 moves nothing."""
    target = jnp.where(seen, jnp.where(labels, 1.0, -1.0), 0.0)
    x = models.with_bias(x)
    again = jnp.tile(x, (epochs, 1)), jnp.tile(target, epochs)
    return x @ models.learn_online(models.perceptron_update, jnp.zeros(x.shape[1]), *again).kernel > 0


def mlp(x, labels, seen, steps: int = 100):
    """A net with a hidden layer, trained on the seen examples by Adam, always from the same start."""
    optimizer = optim.adam(0.05)
    params = net.init(jax.random.key(0))[0]
    logits = lambda params: net.apply(params, {}, x)[0][:, 0]
    loss = lambda params: losses.binary_cross_entropy(logits(params), labels.astype(float), where=seen).sum()

    def step(carried, _):
        params, opt_state = carried
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
        return (optim.apply_updates(params, updates), opt_state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=steps)
    return logits(params) > 0


HALF = {"low": 0.5, "high": 0.5}
EVERY = "right guesses off the training set, all 256 targets of 3 bits, all 254 splits"
SIMPLE = "the same, over the 104 targets that one neuron computes"
FOUR = "the same, over all 65,536 targets of 4 bits, 64 splits"
ROW = Row(
    rows=("18",),
    title="No free lunch",
    figures=(
        Figure("majority", f"majority: {EVERY}", "1/2, theorem", **HALF),
        Figure("nearest_neighbour", f"nearest neighbour: {EVERY}", "1/2, theorem", **HALF),
        Figure("perceptron", f"perceptron: {EVERY}", "1/2, theorem", **HALF),
        Figure("mlp", f"net with a hidden layer: {EVERY}", "1/2, theorem", **HALF),
        Figure("majority_four", f"majority: {FOUR}", "1/2, theorem", **HALF),
        Figure("nearest_neighbour_four", f"nearest neighbour: {FOUR}", "1/2, theorem", **HALF),
        Figure("majority_simple", f"majority: {SIMPLE}"),
        Figure("nearest_neighbour_simple", f"nearest neighbour: {SIMPLE}"),
        Figure("perceptron_simple", f"perceptron: {SIMPLE}"),
        Figure("mlp_simple", f"net with a hidden layer: {SIMPLE}"),
    ),
    run=run,
    budget=60,
)
