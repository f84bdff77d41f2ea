"""Sequences without alignment: against torch, against all paths written out, and where no path exists."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import ctc

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 9, 5))
LABELS = RNG.integers(1, 5, (6, 4))
LABELS[0], LABELS[1, :2] = 2, 3  # repeated labels
STEPS, COUNT = np.array([9, 7, 4, 9, 0, 6]), np.array([4, 3, 2, 0, 0, 1])
aligned = partial(ctc, logit_lengths=STEPS, label_lengths=COUNT)


def theirs(torch, logits, labels, blank=0):
    log_probs = torch.log_softmax(logits, -1).transpose(0, 1)
    lengths = torch.tensor(STEPS), torch.tensor(COUNT)
    return torch.nn.functional.ctc_loss(log_probs, labels, *lengths, blank=blank, reduction="none")


def test_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch("losses.ctc", aligned, partial(theirs, torch), LOGITS, LABELS)
    last = partial(theirs, torch, blank=4)
    agrees.torch("losses.ctc, blank last", partial(aligned, blank=4), last, LOGITS, LABELS - 1)


def test_long_sequences_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    logits, labels = RNG.normal(0, 3, (1, 200, 6)), RNG.integers(1, 6, (1, 40))
    lengths = torch.tensor([200]), torch.tensor([40])
    loss = torch.nn.functional.ctc_loss
    want = lambda x, y: loss(torch.log_softmax(x, -1).transpose(0, 1), y, *lengths, reduction="none")
    agrees.torch("losses.ctc, 200 steps", ctc, want, logits, labels, dtypes=("float64",))


def test_is_the_sum_over_all_paths(agrees):
    with jax.enable_x64(True):
        log_probs = np.asarray(jax.nn.log_softmax(LOGITS[0, :5, :3]))
        for labels in ([1, 1], [1, 2], [2], [], [1, 2, 1]):
            reads = lambda path: [k for k, _ in itertools.groupby(path) if k]
            paths = [p for p in itertools.product(range(3), repeat=5) if reads(p) == labels]
            want = -np.log(sum(np.exp(log_probs[np.arange(5), p].sum()) for p in map(list, paths)))
            got = ctc(LOGITS[0, :5, :3], np.array(labels, int))
            agrees.values("losses.ctc", "all paths", got, want)


def test_what_fits_no_path_is_infinite_or_zero_with_gradient_zero():
    logits = jnp.asarray(LOGITS[:2, :3], jnp.float32)
    labels = jnp.array([[1, 1, 2], [1, 2, 3]])  # three steps for three labels, but one is repeated
    for zero_infinity, want in ((False, jnp.inf), (True, 0)):
        loss = partial(ctc, labels=labels, zero_infinity=zero_infinity)
        assert loss(logits)[0] == want
        assert jnp.isfinite(loss(logits)[1])
        gradient = jax.grad(lambda x: loss(x).sum())(logits)  # noqa: B023
        np.testing.assert_array_equal(gradient[0], 0)
        assert jnp.isfinite(gradient).all()
        assert jnp.any(gradient[1] != 0)


def test_of_no_time_at_all():
    empty, none = jnp.zeros((2, 0, 3)), jnp.zeros((2, 0), int)
    np.testing.assert_array_equal(ctc(empty, none), 0)
    np.testing.assert_array_equal(ctc(empty, jnp.ones((2, 1), int)), jnp.inf)
    np.testing.assert_array_equal(ctc(jnp.zeros((2, 4, 3)), none), np.float32(4 * np.log(3)))


def test_padding_may_hold_anything():
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS)
    time, place = jnp.arange(9)[None, :, None], jnp.arange(4)[None]
    spoilt = jnp.where(time < STEPS[:, None, None], logits, jnp.nan)
    padded = jnp.where(place < COUNT[:, None], labels, -100)
    np.testing.assert_array_equal(aligned(spoilt, padded), aligned(logits, labels))
    gradient = jax.grad(lambda x: aligned(x, padded).sum())(spoilt)
    assert jnp.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[time[..., 0] >= STEPS[:, None]], 0)


def test_impossible_classes_pass_no_nan():
    logits = jnp.asarray(LOGITS[:1], jnp.float32).at[:, :, 3].set(-jnp.inf)
    for labels, finite in ((jnp.array([[1, 2]]), True), (jnp.array([[1, 3]]), False)):
        assert jnp.isfinite(ctc(logits, labels)).all() == finite
        assert jnp.isfinite(jax.grad(lambda x: ctc(x, labels).sum())(logits)).all()  # noqa: B023


@pytest.mark.parametrize("bad", [0, -1, 5, 127])
def test_labels_that_are_none_make_the_loss_nan(bad):
    labels = LABELS.astype(np.int8)
    labels[0, 1] = bad
    np.testing.assert_array_equal(jnp.isnan(ctc(LOGITS, labels)), np.arange(6) == 0)
    lengths = np.array([9, 9, 9, 9, 10, -1])
    np.testing.assert_array_equal(jnp.isnan(ctc(LOGITS, LABELS, logit_lengths=lengths)), np.arange(6) > 3)
    np.testing.assert_array_equal(jnp.isnan(ctc(LOGITS, LABELS, label_lengths=lengths - 5)), np.arange(6) > 3)


def test_any_batch_axes():
    want = ctc(LOGITS, LABELS)
    many = ctc(LOGITS.reshape(2, 3, 9, 5), LABELS.reshape(2, 3, 4), label_lengths=np.full((2, 3), 4))
    np.testing.assert_allclose(many, want.reshape(2, 3), rtol=1e-6)
    np.testing.assert_allclose(ctc(LOGITS[0], LABELS[0]), want[0], rtol=1e-6)


def test_refusals():
    with pytest.raises(ShapeError, match="labels must have shape"):
        ctc(LOGITS, LABELS[:2])
    with pytest.raises(ShapeError, match="label_lengths must have shape"):
        ctc(LOGITS, LABELS, label_lengths=COUNT[:1])
    with pytest.raises(DtypeError, match="logit_lengths must be integers"):
        ctc(LOGITS, LABELS, logit_lengths=np.ones(6))
    with pytest.raises(DtypeError, match="labels must be integers"):
        ctc(LOGITS, LOGITS)
    with pytest.raises(ShapeError, match="2 classes or more"):
        ctc(LOGITS[..., :1], LABELS)
    with pytest.raises(ValueError, match="blank must be one of the 5 classes"):
        ctc(LOGITS, LABELS, blank=5)
