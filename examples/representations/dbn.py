"""Three machines, one upon the other: the deep belief net, and the classifier that grew from it.

A restricted Boltzmann machine turns pixels into features without being told what they are for. A second one takes those
features for its data, a third the features of the second. No label has been seen so far, and yet a plain softmax on the
topmost features reads digits off them: what is in the images has been learned, only the names are missing.

Then the names are used for more. The stack becomes the lower part of an ordinary net, and backpropagation moves all its
weights a little, from where they lie already. This is why the lecture dates deep learning from 2006: nets that were
thought too deep to be trained were only started at the wrong place.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, models, nn, optim, train

DIMS, LABELS, BATCH = (784, 500, 500, 2000), 10, 100
PRETRAINING, READING, FINE_TUNING, UP_DOWN = 10, 20, 40, 10  # epochs


def digits() -> data.Dataset:
    """Images as rows of ink in [0, 1], and their labels."""
    flat = lambda part: part | {"image": part["image"].reshape(-1, 784).astype("f") / 255}
    return data.Dataset(*map(flat, data.mnist()))


def fit(rbm: models.RBM, examples: jax.Array, seed: int, folder: Path) -> dict:
    """An RBM by the recipe of 2006, but for the length."""
    own = folder / f"rbm_{rbm.visible}_{rbm.hidden}"
    return models.fit_rbm(rbm, examples, epochs=PRETRAINING, seed=seed, directory=own)


def trained(loss_fn, init, optimizer: optim.Transform, examples: dict, epochs: int, seed: int, folder: Path):
    """The state after so many epochs."""
    step = train.make_train_step(loss_fn, optimizer)
    batches = data.shuffled(examples, BATCH, seed)
    state = train.init_state(init, optimizer, seed)
    return train.fit(step, state, batches, epochs=epochs, directory=folder, resume=True)[0]


def classifier(model: nn.Layer, optimizer, examples: dict, epochs: int, seed: int, folder: Path, params=None):
    """The state of a net after training on labels by cross-entropy, from these parameters or from fresh ones."""

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"])
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    init = model.init if params is None else lambda key: (params, model.init(key)[1])
    return trained(loss_fn, init, optimizer, examples, epochs, seed, folder)


def percent_wrong(model: nn.Layer, state: train.TrainState, examples: dict) -> float:
    """Of all examples."""
    predict = lambda params, state, batch: (model.apply(params, state, batch["image"])[0], batch["label"])
    right = train.make_evaluate(predict, {"correct": metrics.correct()})(state, examples)["correct"]
    return 100 * (1 - right / len(examples["label"]))


def discriminative(sets: data.Dataset, stack: list, params: list, seed: int, folder: Path) -> tuple[float, float]:
    """Test error of a softmax on the features, and of the whole net after backpropagation."""
    features = data.Dataset(*(part | {"image": models.mean_up(stack, params, part["image"])} for part in sets))
    per_epoch = len(sets.train["label"]) // BATCH
    head = nn.dense(DIMS[-1], LABELS, kernel_init=nn.zeros())
    optimizer = optim.adam(optim.cosine(1e-3, READING * per_epoch))
    read = classifier(head, optimizer, features.train, READING, seed, folder / "softmax")
    net = models.logistic_net(*DIMS, LABELS)
    start = models.as_net([*models.recognition(params), read.params])
    optimizer = optim.momentum(optim.cosine(0.02, FINE_TUNING * per_epoch), 0.9)
    tuned = classifier(net, optimizer, sets.train, FINE_TUNING, seed, folder / "fine", start)
    return percent_wrong(head, read, features.test), percent_wrong(net, tuned, sets.test)


def generative(sets: data.Dataset, stack: list, params: list, seed: int, folder: Path) -> tuple[float, float]:
    """Test error of an associative memory of features and labels: of the greedy net, and after up-down."""
    units = models.side_by_side((DIMS[2], models.BINARY), (LABELS, models.SOFTMAX))
    top = models.RBM(DIMS[2] + LABELS, DIMS[3], units, kernel_init=nn.normal(0.1))
    label = jax.nn.one_hot(sets.train["label"], LABELS)
    seen = jnp.concatenate([models.mean_up(stack[:2], params[:2], sets.train["image"]), label], -1)
    start = models.untied(params[:2], fit(top, seen, seed, folder))
    examples = {"v": sets.train["image"], "label": label}
    optimizer = optim.sgd(optim.cosine(0.02, UP_DOWN * (len(label) // BATCH)))
    end = trained(models.up_down(top), lambda key: (start, {}), optimizer, examples, UP_DOWN, seed, folder / "up_down")
    return memory_wrong(top, start, sets.test), memory_wrong(top, end.params, sets.test)


def memory_wrong(top: models.RBM, params: dict, examples: dict) -> float:
    """Percent of examples whose label is not the one of the highest probability, given the means on the way up."""
    guess = lambda v: models.label_scores(top, params["top"], models.recognised(params, v), LABELS).argmax(-1)
    guesses = np.concatenate([jax.jit(guess)(v) for v in np.split(examples["image"], 10)])
    return 100 * float((guesses != examples["label"]).mean())


def run(seed: int, folder: Path) -> Outcome:
    """A stack from images alone; then what its features are good for."""
    sets, stack = digits(), models.rbm_stack(*DIMS)
    params = models.greedy(stack, jnp.asarray(sets.train["image"]), partial(fit, seed=seed, folder=folder))
    read, tuned = discriminative(sets, stack, params, seed, folder)
    greedy, up_down = generative(sets, stack, params, seed, folder)
    figures = {"features": read, "fine_tuned": tuned, "memory": greedy, "up_down": up_down}
    return Outcome(
        figures, steps=(len(sets.train["label"]) // BATCH) * (4 * PRETRAINING + READING + FINE_TUNING + UP_DOWN)
    )


ROW = Row(
    rows=("11",),
    title="The deep belief net and its classifier",
    figures=(
        Figure(
            "features",
            "test error in %, softmax on the features of 784-500-500-2000",
            "3.2, a public NumPy reproduction without up-down",
            high=3.2,
        ),
        Figure(
            "fine_tuned",
            "the same in %, all layers fine-tuned: the pre-trained classifier of row 10 as well",
            "1.2, Hinton & Salakhutdinov 2006; without pre-training 1.6, the best SVM 1.4",
            high=1.4,
        ),
        Figure("memory", "the same in %, free energy of features and label, greedy"),
        Figure(
            "up_down", "the same in %, after the up-down algorithm", "1.25, Hinton, Osindero & Teh 2006, 300 epochs"
        ),
    ),
    run=run,
    budget=900,
)
