"""Typical mistakes, each with the error it gets: its type, the fact, the place, a hint.  At most twelve lines each."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from fdl.checks import DtypeError, ShapeError, TreeError
from fdl.train import checkpoint


class Mistake(NamedTuple):
    """What is done, the error with what it says, the place it names, and the hint."""

    make: Callable[[Path], Any]
    error: tuple[type[Exception], str]
    place: str
    hint: str


KEY = jax.random.key(0)
IMAGES = nn.serial(nn.conv(3, 4, 3), nn.relu, nn.flatten, head=nn.dense(64, 10))
MLP = nn.serial(nn.dense(28, 64), nn.batch_norm(64), nn.relu, nn.dropout(0.5), out=nn.dense(64, 10))
LOGITS, LABELS = jnp.zeros((8, 10)), jnp.zeros(8, jnp.int32)
EXAMPLES = {"x": np.zeros((12, 28), np.float32), "label": np.zeros(12, np.int32)}


def apply(model, x, **mode):
    params, state = model.init(KEY)
    return jax.jit(lambda params, x: model.apply(params, state, x, **mode))(params, x)


def train_with(labels, learning_rate=1e-3, steps=3, x=None):
    examples = {"x": EXAMPLES["x"] if x is None else x, "label": labels}

    def loss_fn(params, state, batch, key):
        logits, state = MLP.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adam(learning_rate)
    state = train.init_state(MLP.init, optimizer)
    return train.run(train.make_train_step(loss_fn, optimizer), state, data.shuffled(examples, 4), steps)


def forget_the_state():
    def loss_fn(params, state, batch, key):
        logits, _ = MLP.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), ({}, {})

    optimizer = optim.sgd(0.1)
    step = train.make_train_step(loss_fn, optimizer)
    step(train.init_state(MLP.init, optimizer), EXAMPLES)


def old_checkpoint(folder):
    old = nn.serial(nn.dense(28, 32), nn.relu, out=nn.dense(32, 10))
    checkpoint.save(folder, train.init_state(old.init, optim.adam(1e-3)))
    checkpoint.restore(folder, train.init_state(MLP.init, optim.adam(1e-3)))


def wrong_gradients():
    params, _ = MLP.init(KEY)
    optimizer = optim.adam(1e-3)
    optimizer.update({"out": params["out"]}, optimizer.init(params), params)


MISTAKES = {
    "wrong width": Mistake(
        lambda _: apply(MLP, jnp.ones((8, 30))),
        (ShapeError, "input must have shape (..., 28), got (8, 30)"),
        "in dense_0: dense(in_dim=28, out_dim=64) on float32[8,30] with bias float32[64], kernel float32[28,64]",
        "make the layer for 30, or look at what comes before it",
    ),
    "no batch axis": Mistake(
        lambda _: apply(IMAGES, jnp.ones((4, 4, 3))),
        (ShapeError, "input must have shape (*, *, *, 3), got (4, 4, 3)"),
        "in conv_0: conv(in_dim=3, out_dim=4, window=3) on float32[4,4,3] with bias float32[4]",
        "did you forget the batch axis? add one with x[None]",
    ),
    "channels first": Mistake(
        lambda _: apply(IMAGES, jnp.ones((8, 3, 4, 4))),
        (ShapeError, "input must have shape (*, *, *, 3), got (8, 3, 4, 4)"),
        "in conv_0: conv(in_dim=3, out_dim=4, window=3) on float32[8,3,4,4]",
        "the channel axis must come last: (batch, height, width, dim)",
    ),
    "images into a dense layer": Mistake(
        lambda _: apply(nn.serial(nn.dense(48, 10)), jnp.ones((8, 4, 4, 3))),
        (ShapeError, "input must have shape (..., 48), got (8, 4, 4, 3)"),
        "in dense_0: dense(in_dim=48, out_dim=10) on float32[8,4,4,3]",
        "put nn.flatten before this layer",
    ),
    "bytes instead of numbers": Mistake(
        lambda _: apply(IMAGES, jnp.zeros((8, 4, 4, 3), jnp.uint8)),
        (DtypeError, "input must be floating point, got uint8[8,4,4,3]"),
        "in conv_0: conv(in_dim=3, out_dim=4, window=3) on uint8[8,4,4,3]",
        "cast it first, e.g. x.astype('float32') / 255 for images",
    ),
    "training without a key": Mistake(
        lambda _: apply(MLP, jnp.ones((8, 28)), train=True),
        (ValueError, "dropout needs a key in training"),
        "in dropout_0: dropout(rate=0.5) on float32[8,64]",
        "apply(params, state, x, key=key, train=True)",
    ),
    "a number for a key": Mistake(
        lambda _: MLP.init(42),
        (DtypeError, "must be a typed random key, got int"),
        "key must",
        "make one with jax.random.key(seed)",
    ),
    "forgotten state argument": Mistake(
        lambda _: MLP.apply(MLP.init(KEY)[0], jnp.ones((8, 28))),
        (TreeError, "state must be the dict from init, got float32[8,28]"),
        "in serial(dense(in_dim=28, out_dim=64)",
        "write y, state = serial.apply(params, state, x)",
    ),
    "params of another model": Mistake(
        lambda _: MLP.apply(*IMAGES.init(KEY), jnp.ones((8, 28))),
        (TreeError, "params hold 'conv_0', but the parts are dense_0, batch_norm_0"),
        "in serial(dense(in_dim=28, out_dim=64)",
        "are they the params of another model?",
    ),
    "stale state dropped by the loss": Mistake(
        lambda _: forget_the_state(),
        (TreeError, "the state returned by loss_fn do not fit the state given to it"),
        "batch_norm_0/mean: missing, expected float32[64]",
        "return the state from model.apply",
    ),
    "one-hot integers as labels": Mistake(
        lambda _: losses.cross_entropy(LOGITS, jax.nn.one_hot(LABELS, 10, dtype=jnp.int32)),
        (DtypeError, "must be floating point, got int32[8,10]"),
        "labels of the shape of logits",
        "pass class numbers, labels.argmax(-1), or cast one-hot rows",
    ),
    "float labels": Mistake(
        lambda _: losses.cross_entropy(LOGITS, LABELS.astype(jnp.float32)),
        (DtypeError, "must be integers, got float32[8]"),
        "labels must",
        "class numbers are integers, e.g. labels.astype('int32')",
    ),
    "labels with an axis too many": Mistake(
        lambda _: losses.cross_entropy(LOGITS, LABELS[:, None]),
        (ShapeError, "must have shape (8,), got (8, 1)"),
        "labels must",
        "drop the last axis: labels[..., 0]",
    ),
    "predictions with an axis too many": Mistake(
        lambda _: losses.squared_error(jnp.zeros((8, 1)), jnp.zeros(8)),
        (ShapeError, "must have shape (8, 1), got (8,)"),
        "target must",
        "drop the last axis of length 1: prediction[..., 0]",
    ),
    "labels out of range, on the host": Mistake(
        lambda _: data.check_labels(np.array([0, 3, 10, 2]), 10),
        (data.LabelError, "labels must lie in 0 to 9, got 10"),
        "at index (2,), 1 of 4 are outside",
        "check the number of classes, or whether counting starts at 1",
    ),
    "labels out of range, in training": Mistake(
        lambda _: train_with(np.full(12, 10, np.int32)),
        (train.NonFiniteError, "the loss is not finite"),
        "at step 0: loss nan; nothing was saved since",
        "look at the data of this step",
    ),
    "a NaN in the data": Mistake(
        lambda _: train_with(EXAMPLES["label"], x=np.full((12, 28), np.nan, np.float32)),
        (train.NonFiniteError, "the loss is not finite"),
        "at step 0: loss nan; nothing was saved since",
        "Lower the learning rate, clip gradients (optim.clip_by_global_norm), or look at the data",
    ),
    "empty data set": Mistake(
        lambda _: data.shuffled({name: leaf[:0] for name, leaf in EXAMPLES.items()}, 4),
        (ValueError, "must hold at least one example, got 0"),
        "the data set",
        "look at how it was loaded or split",
    ),
    "batch larger than the data": Mistake(
        lambda _: data.shuffled(EXAMPLES, 13),
        (ValueError, "must be at most the number of examples, 12, got 13"),
        "batch must",
        "take a smaller batch",
    ),
    "learning rate as text": Mistake(
        lambda _: optim.adam("1e-3"),
        (TypeError, "must be a number or a schedule, got '1e-3' of type str"),
        "learning_rate must",
        "make it a number with float(...)",
    ),
    "negative learning rate": Mistake(
        lambda _: optim.sgd(-0.1), (ValueError, "got -0.1"), "learning_rate must", "lie in [0.0, inf]"
    ),
    "a pattern that matches nothing": Mistake(
        lambda _: tree.select(MLP.init(KEY)[0], "encoder/**"),
        (TreeError, "matches nothing"),
        "'encoder/**'",
        "the paths are 'batch_norm_0/bias', 'batch_norm_0/scale', 'dense_0/bias'",
    ),
    "decay of nothing": Mistake(
        lambda _: optim.adamw(1e-3, where="weights/**").init(MLP.init(KEY)[0]),
        (TreeError, "matches nothing"),
        "'weights/**'",
        "the paths are 'batch_norm_0/bias', 'batch_norm_0/scale', 'dense_0/bias'",
    ),
    "integer parameters": Mistake(
        lambda _: optim.adam(1e-3).init({"a": {"table": jnp.arange(3)}}),
        (DtypeError, "is int32[3]; only floating-point arrays can be trained"),
        "parameter 'a/table'",
        "carry it in the state, or leave it out with tree.split",
    ),
    "gradients of another structure": Mistake(
        lambda _: wrong_gradients(),
        (TreeError, "the updates do not fit the parameters"),
        "batch_norm_0/bias: missing, expected float32[64]",
        "give one for each, as jax.grad by all of them does",
    ),
    "a checkpoint of an older model": Mistake(
        old_checkpoint,
        (TreeError, "(17 paths differ)"),
        "params/dense_0/bias: expected float32[64], got float32[32]",
        "step_00000000 holds another model or optimizer",
    ),
    "no checkpoint at all": Mistake(
        lambda folder: checkpoint.restore(folder / "rnu", train.init_state(MLP.init, optim.adam(1e-3))),
        (checkpoint.CheckpointError, "no whole checkpoint in"),
        "/rnu",
        "there is no such directory",
    ),
    "the same state twice": Mistake(
        lambda _: [step(state, EXAMPLES) for step, state in [make_step()] for _ in range(2)],
        (ValueError, "which reused its memory"),
        "this state was given to an earlier step",
        "keep the state that the step returns: state, metrics = step(state, batch)",
    ),
    "a loss for every example": Mistake(
        lambda _: make_step(lambda x: x)[0](make_step()[1], EXAMPLES),
        (ShapeError, "must be one number, got float32[12]"),
        "the loss must",
        "take the mean over the batch",
    ),
    "a part that is no part": Mistake(
        lambda _: nn.wire(lambda x, body: body(x), head=nn.relu),
        (TypeError, "takes no part"),
        "'head'",
        "its parameters are x, body",
    ),
}


def make_step(reduce=jnp.mean):
    def loss_fn(params, state, batch, key):
        logits, state = MLP.apply(params, state, batch["x"], key=key, train=True)
        return reduce(losses.cross_entropy(logits, batch["label"])), (state, {})

    optimizer = optim.sgd(0.1)
    return train.make_train_step(loss_fn, optimizer), train.init_state(MLP.init, optimizer)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake(mistake, tmp_path):
    kind, fact = mistake.error
    with pytest.raises(kind) as caught:
        mistake.make(tmp_path)
    assert caught.type is kind
    shown = "".join(traceback.format_exception_only(caught.value)).strip()
    for said in (fact, mistake.place, mistake.hint):
        assert said
        assert said in shown
    ours = [line for line in shown.splitlines() if "JAX_TRACEBACK_FILTERING" not in line and line.strip("- ")]
    assert len(ours) <= 12


def test_there_are_thirty():
    assert len(MISTAKES) == 30
