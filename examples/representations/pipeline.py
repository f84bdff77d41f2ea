"""Machine learning is five functions, one after the other: the data, a model, an objective that says how wrong it is,
training that makes it less wrong, and testing on what it never saw.  Each is a pure function of what it is given, so
any of them can be exchanged and the others need not know.

Here the *model* is exchanged and nothing else: softmax regression, a perceptron with one hidden layer and a small
convolutional net, with the same data, objective, training and seed.  Then *training* is: the same softmax regression
under L-BFGS on all the data at once ends where SciPy's does, for the problem is convex and has one optimum.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train

SOFTMAX = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
MLP = nn.serial(nn.flatten, nn.dense(784, 800, kernel_init=nn.he_normal()), nn.relu, nn.dense(800, 10))
CNN = nn.serial(
    *(nn.conv(1, 16, 3, kernel_init=nn.he_normal()), nn.relu, nn.max_pool(2)),
    *(nn.conv(16, 32, 3, kernel_init=nn.he_normal()), nn.relu, nn.max_pool(2)),
    *(nn.flatten, nn.dropout(0.3), nn.dense(7 * 7 * 32, 128, kernel_init=nn.he_normal()), nn.relu, nn.dense(128, 10)),
)
MODELS = {"softmax": SOFTMAX, "mlp": MLP, "cnn": CNN}


class Pipeline(NamedTuple):
    """All that decides a run, besides the seed.  l2 is λ of the penalty λ Σ w² on kernels."""

    model: nn.Layer
    l2: float = 5e-5
    optimizer: Callable[[int], optim.Transform] = lambda steps: optim.sgd(optim.cosine(0.1, steps), momentum=0.9)
    batch: int = 100
    epochs: int = 10


def mnist() -> tuple[data.Examples, data.Examples, data.Examples]:
    """(training, validation, test) examples: 55,000, 5,000, 10,000."""
    full, test_set = data.mnist()
    return *data.hold_out(full, 5000), test_set


def logits_of(model: nn.Layer, params, state, batch, **mode):
    return model.apply(params, state, batch["image"].astype(jnp.float32) / 255, **mode)


def objective(how: Pipeline) -> Callable:
    """The loss to train by: mean cross-entropy and the penalty."""

    def loss_fn(params, state, batch, key):
        logits, state = logits_of(how.model, params, state, batch, key=key, train=True)
        loss = losses.cross_entropy(logits, batch["label"]).mean()
        return loss + losses.weight_penalty(params, l2=how.l2), (state, {})

    return loss_fn


def training(how: Pipeline, examples: data.Examples, seed: int) -> train.TrainState:
    """The state at the end: a pure function of the pipeline, the examples and the seed."""
    batches = data.shuffled(examples, batch=how.batch, seed=seed)
    steps = how.epochs * batches.steps_per_epoch
    optimizer = how.optimizer(steps)
    state = train.init_state(how.model.init, optimizer, seed)
    return train.run(train.make_train_step(objective(how), optimizer), state, batches, steps)[0]


def testing(how: Pipeline, state: train.TrainState, examples: data.Examples) -> float:
    """Per cent of the examples that are classified wrong."""
    predict = lambda params, state, batch: (logits_of(how.model, params, state, batch)[0], batch["label"])
    right = train.make_evaluate(predict, {"right": metrics.accuracy()})(state, examples)["right"]
    return 100 * (1 - right)


def scipy_optimum(examples: data.Examples, l2: float, iterations: int, classes: int = 10) -> float:
    """The least value of softmax regression's objective, by SciPy's L-BFGS in float64, with gradients written out."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    x = examples["image"].reshape(len(examples["label"]), -1) / 255
    target = np.eye(classes)[examples["label"]]

    def value_and_gradient(flat):
        kernel, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
        log_p = log_softmax(x @ kernel + bias, 1)
        by_logits = (np.exp(log_p) - target) / len(x)
        value = -np.sum(log_p * target) / len(x) + l2 * np.sum(kernel**2)
        return value, np.concatenate([(x.T @ by_logits + 2 * l2 * kernel).ravel(), by_logits.sum(0)])

    start = np.zeros((x.shape[1] + 1) * classes)
    return float(minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations}).fun)


def optimum_gap(examples: data.Examples, softmax: nn.Layer = SOFTMAX, *, l2=1e-3, iterations: int = 200) -> float:
    """How far above SciPy's optimum softmax regression ends when it is trained by L-BFGS on all examples at once."""
    how = Pipeline(softmax, l2, lambda steps: optim.lbfgs(), batch=len(examples["label"]), epochs=iterations)
    state = training(how, examples, seed=0)
    ours, _ = jax.jit(objective(how))(state.params, state.state, examples, state.key)
    return float(ours) - scipy_optimum(examples, l2, 10 * iterations)


def run(seed: int, folder: Path) -> Outcome:
    train_set, valid_set, test_set = mnist()
    figures, steps = {}, 0
    for name, model in MODELS.items():
        how = Pipeline(model)
        state = training(how, train_set, seed)
        figures[name], steps = testing(how, state, test_set), int(state.step)
        figures[f"{name}_valid"] = testing(how, state, valid_set)
    few = jax.tree.map(lambda leaf: leaf[:10_000], train_set)
    return Outcome(figures | {"optimum_gap": optimum_gap(few)}, steps=steps)


ROW = Row(
    rows=("14",),
    title="The whole pipeline: data, model, objective, training, testing",
    figures=(
        Figure("softmax", "softmax regression: % of test images wrong", "7.42, SciPy's L-BFGS", high=7.6),
        Figure("mlp", "784-800-10: % of test images wrong", "1.6 (Simard et al. 2003)", high=1.7),
        Figure(
            "cnn", "two convolutions: % of test images wrong", "0.95 (LeNet-5, LeCun et al. 1998), recalled", high=1.0
        ),
        Figure("softmax_valid", "softmax regression: % of the 5,000 held-out images wrong"),
        Figure("mlp_valid", "784-800-10: the same"),
        Figure("cnn_valid", "two convolutions: the same"),
        Figure(
            "optimum_gap", "softmax by L-BFGS on 10,000 images at once: nats above SciPy's optimum", "0", -1e-5, 1e-5
        ),
    ),
    run=run,
    budget=160,
    seeds=(0, 1, 2),
)
