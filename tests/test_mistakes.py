"""Typical mistakes, each with the error it gets: its type, the place, what to do.  At most twelve lines each."""

import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from fdl.checks import DtypeError, ShapeError, TreeError
from fdl.train import checkpoint

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
    "wrong width": (
        lambda _: apply(MLP, jnp.ones((8, 30))),
        (ShapeError, r"must have shape \(\.\.\., 28\), got \(8, 30\)"),
        "in dense_0: dense(in_dim=28, out_dim=64) on float32[8,30] with bias float32[64], kernel float32[28,64]",
    ),
    "no batch axis": (
        lambda _: apply(IMAGES, jnp.ones((4, 4, 3))),
        (ShapeError, r"got \(4, 4, 3\); did you forget the batch axis\? add one with x\[None\]"),
        "in conv_0: conv(in_dim=3, out_dim=4, window=3) on float32[4,4,3]",
    ),
    "channels first": (
        lambda _: apply(IMAGES, jnp.ones((8, 3, 4, 4))),
        (ShapeError, r"got \(8, 3, 4, 4\); the channel axis must come last: \(batch, height, width, dim\)"),
        "in conv_0: conv(",
    ),
    "images into a dense layer": (
        lambda _: apply(nn.serial(nn.dense(48, 10)), jnp.ones((8, 4, 4, 3))),
        (ShapeError, "put nn.flatten before this layer"),
        "in dense_0: dense(in_dim=48",
    ),
    "bytes instead of numbers": (
        lambda _: apply(IMAGES, jnp.zeros((8, 4, 4, 3), jnp.uint8)),
        (DtypeError, r"must be floating point, got uint8\[8,4,4,3\]; cast it first"),
        "in conv_0: conv(",
    ),
    "training without a key": (
        lambda _: apply(MLP, jnp.ones((8, 28)), train=True),
        (ValueError, r"dropout needs a key in training: apply\(params, state, x, key=key, train=True\)"),
        "in dropout_0: dropout(rate=0.5)",
    ),
    "a number for a key": (lambda _: MLP.init(42), (DtypeError, r"got int; make one with jax.random.key\(seed\)"), ""),
    "forgotten state argument": (
        lambda _: MLP.apply(MLP.init(KEY)[0], jnp.ones((8, 28))),
        (TreeError, r"state must be the dict from init, got float32\[8,28\]; write y, state = serial.apply"),
        "in serial(",
    ),
    "params of another model": (
        lambda _: MLP.apply(*IMAGES.init(KEY), jnp.ones((8, 28))),
        (TreeError, "params hold 'conv_0', but the parts are dense_0.*another model"),
        "in serial(dense(in_dim=28",
    ),
    "stale state dropped by the loss": (
        lambda _: forget_the_state(),
        (TreeError, "batch_norm_0/mean: missing, expected float32"),
        "",
    ),
    "one-hot integers as labels": (
        lambda _: losses.cross_entropy(LOGITS, jax.nn.one_hot(LABELS, 10, dtype=jnp.int32)),
        (DtypeError, r"class numbers, labels.argmax\(-1\), or cast"),
        "",
    ),
    "float labels": (
        lambda _: losses.cross_entropy(LOGITS, LABELS.astype(jnp.float32)),
        (DtypeError, "labels must be integers, got float32"),
        "",
    ),
    "labels with an axis too many": (
        lambda _: losses.cross_entropy(LOGITS, LABELS[:, None]),
        (ShapeError, r"drop the last axis: labels\[\.\.\., 0\]"),
        "",
    ),
    "predictions with an axis too many": (
        lambda _: losses.squared_error(jnp.zeros((8, 1)), jnp.zeros(8)),
        (ShapeError, r"drop the last axis of length 1"),
        "",
    ),
    "labels out of range, on the host": (
        lambda _: data.check_labels(np.array([0, 3, 10, 2]), 10),
        (ValueError, "10"),
        "",
    ),
    "labels out of range, in training": (
        lambda _: train_with(np.full(12, 10, np.int32)),
        (train.NonFiniteError, "the loss is not finite at step 0: loss nan; nothing was saved since"),
        "",
    ),
    "a NaN in the data": (
        lambda _: train_with(EXAMPLES["label"], x=np.full((12, 28), np.nan, np.float32)),
        (train.NonFiniteError, r"Lower the learning rate, clip gradients \(optim.clip_by_global_norm\)"),
        "",
    ),
    "empty data set": (
        lambda _: data.shuffled({name: leaf[:0] for name, leaf in EXAMPLES.items()}, 4),
        (ValueError, "at least one example, got 0"),
        "",
    ),
    "batch larger than the data": (
        lambda _: data.shuffled(EXAMPLES, 13),
        (ValueError, "at most the number of examples, 12, got 13"),
        "",
    ),
    "learning rate as text": (
        lambda _: optim.adam("1e-3"),
        (TypeError, "learning_rate must be a number or a schedule, got '1e-3'"),
        "",
    ),
    "negative learning rate": (lambda _: optim.sgd(-0.1), (ValueError, "learning_rate must"), ""),
    "a pattern that matches nothing": (
        lambda _: tree.select(MLP.init(KEY)[0], "encoder/**"),
        (TreeError, r"'encoder/\*\*' matches nothing; the paths are 'batch_norm_0/bias'"),
        "",
    ),
    "decay of nothing": (
        lambda _: optim.adamw(1e-3, where="weights/**").init(MLP.init(KEY)[0]),
        (TreeError, r"'weights/\*\*' matches nothing"),
        "",
    ),
    "integer parameters": (
        lambda _: optim.adam(1e-3).init({"a": {"table": jnp.arange(3)}}),
        (DtypeError, r"parameter 'a/table' is int32\[3\]; only floating-point arrays can be trained"),
        "",
    ),
    "gradients of another structure": (
        lambda _: wrong_gradients(),
        (TreeError, "batch_norm_0/bias: missing, expected float32"),
        "",
    ),
    "a checkpoint of an older model": (
        old_checkpoint,
        (TreeError, r"params/dense_0/bias: expected float32\[64\], got float32\[32\]"),
        "",
    ),
    "no checkpoint at all": (
        lambda folder: checkpoint.restore(folder, train.init_state(MLP.init, optim.adam(1e-3))),
        (checkpoint.CheckpointError, "no whole checkpoint in"),
        "",
    ),
    "the same state twice": (
        lambda _: [step(state, EXAMPLES) for step, state in [make_step()] for _ in range(2)],
        (ValueError, "keep the state that the step returns"),
        "",
    ),
    "a loss for every example": (
        lambda _: make_step(lambda x: x)[0](make_step()[1], EXAMPLES),
        (ShapeError, r"the loss must be one number, got float32\[12\]; take the mean over the batch"),
        "",
    ),
    "a part that is no part": (
        lambda _: nn.wire(lambda x, body: body(x), head=nn.relu),
        (TypeError, "takes no part 'head'"),
        "",
    ),
}


def make_step(reduce=jnp.mean):
    def loss_fn(params, state, batch, key):
        logits, state = MLP.apply(params, state, batch["x"], key=key, train=True)
        return reduce(losses.cross_entropy(logits, batch["label"])), (state, {})

    optimizer = optim.sgd(0.1)
    return train.make_train_step(loss_fn, optimizer), train.init_state(MLP.init, optimizer)


@pytest.mark.parametrize(("mistake", "error", "place"), MISTAKES.values(), ids=MISTAKES)
def test_mistake(mistake, error, place, tmp_path):
    kind, message = error
    with pytest.raises(kind, match=message) as caught:
        mistake(tmp_path)
    shown = "".join(traceback.format_exception_only(caught.value)).strip().splitlines()
    ours = [line for line in shown if "JAX_TRACEBACK_FILTERING" not in line and not line.startswith("-----")]
    assert len(ours) <= 12
    assert any(line.startswith(place) for line in ours)


def test_there_are_thirty():
    assert len(MISTAKES) == 30
