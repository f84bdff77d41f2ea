"""Metrics against sklearn and NumPy: exact for every split of the data, and nothing wrong counted as right."""

import math
import operator
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import metrics
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(103, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 103).astype(np.int32)
ALL = [
    metrics.mean(),
    metrics.perplexity(),
    metrics.accuracy(),
    metrics.correct(),
    metrics.top_k(3),
    metrics.confusion_matrix(5),
]
run = jax.jit(lambda metric, *args, **where: metric(*args, **where))
each_metric = pytest.mark.parametrize("metric", ALL, ids=repr)


def arguments(metric):
    return (LOGITS[:, 0],) if metric in ALL[:2] else (LOGITS, LABELS)


def assert_same(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@each_metric
def test_is_a_value_without_leaves(metric):
    again = pickle.loads(pickle.dumps(metric))
    assert again == metric
    assert hash(again) == hash(metric)
    assert jax.tree.leaves(metric) == []
    assert_same(run(metric, *arguments(metric)), metric(*arguments(metric)), rtol=1e-6)


def test_prints_as_its_call():
    assert repr(metrics.top_k(3)) == "top_k(k=3)"
    assert repr(metrics.accuracy()) == "accuracy()"
    assert metrics.top_k(3) != metrics.top_k(2)


@each_metric
@pytest.mark.parametrize("size", [1, 7, 103])
def test_any_batch_size_gives_the_same(metric, size):
    update = jax.jit(metric.update)
    sums, merged = metric.init(), metric.init()
    for start in range(0, 103, size):
        batch = [x[start : start + size] for x in arguments(metric)]
        padded = [np.concatenate([x, np.full((size - len(x), *x.shape[1:]), -3, x.dtype)]) for x in batch]
        where = np.arange(size) < len(batch[0])
        structure = jax.tree.structure(sums), jax.tree.map(lambda x: (x.shape, x.dtype), sums)
        sums = update(sums, *padded, where=where)
        assert structure == (jax.tree.structure(sums), jax.tree.map(lambda x: (x.shape, x.dtype), sums))
        merged = jax.tree.map(operator.add, merged, update(metric.init(), *padded, where=where))
    tolerance = {"rtol": 1e-6, "atol": 1e-5} if metric in ALL[:2] else {"rtol": 0}
    whole = update(metric.init(), *arguments(metric))
    assert_same(sums, whole, **tolerance)
    assert_same(merged, whole, **tolerance)


def test_equal_sklearn(agrees):
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted = LOGITS.argmax(-1)
    is_ = lambda metric, want: agrees.values(
        f"metrics.{repr(metric).partition('(')[0]}", "sklearn", run(metric, LOGITS, LABELS), want
    )
    is_(metrics.accuracy(), sklearn.accuracy_score(LABELS, predicted))
    is_(metrics.correct(), sklearn.accuracy_score(LABELS, predicted, normalize=False))
    is_(metrics.confusion_matrix(5), metrics.Confusion(sklearn.confusion_matrix(LABELS, predicted), 0))
    for k in (1, 2, 4):
        is_(metrics.top_k(k), sklearn.top_k_accuracy_score(LABELS, LOGITS, k=k, labels=np.arange(5)))
    assert run(metrics.top_k(5), LOGITS, LABELS) == 1


def test_means_equal_numpy(agrees):
    with jax.enable_x64(True):
        wide = LOGITS.astype(np.float64)
        agrees.values("metrics.mean", "numpy", run(metrics.mean(), wide), wide.mean())
        agrees.values("metrics.perplexity", "numpy", run(metrics.perplexity(), wide), np.exp(wide.mean()))
    assert run(metrics.mean(), LOGITS) == pytest.approx(LOGITS.astype(np.float64).mean(), abs=1e-7)
    assert run(metrics.perplexity(), jnp.full(7, jnp.log(50.0))) == pytest.approx(50, rel=1e-5)
    assert metrics.perplexity().compute(metrics.Average(np.float64(0.0), np.int64(3))) == 1


def test_sums_of_steps_added_up_as_python_numbers_are_exact():
    sums = metrics.Average(2**31 + 1, 2**33)
    assert metrics.accuracy().compute(sums) == (2**31 + 1) / 2**33
    assert metrics.mean().compute(metrics.Average(np.float64(1.5), np.int64(3))) == 0.5
    assert math.isnan(metrics.accuracy().compute(metrics.Average(0, 0)))


def test_without_examples_fractions_are_nan_and_counts_zero():
    nothing = np.zeros(103, bool)
    for metric in (metrics.accuracy(), metrics.top_k(2)):
        assert jnp.isnan(run(metric, LOGITS, LABELS, where=nothing))
        assert jnp.isnan(metric.compute(metric.init()))
    assert jnp.isnan(run(metrics.mean(), LOGITS[:0]))
    assert run(metrics.correct(), LOGITS, LABELS, where=nothing) == 0
    assert run(metrics.confusion_matrix(5), LOGITS, LABELS, where=nothing).counts.sum() == 0


def test_of_equal_logits_the_first_class_wins():
    level, labels = jnp.zeros((5, 5)), jnp.arange(5)
    for k in range(1, 6):
        assert run(metrics.top_k(k), level, labels) == pytest.approx(
            k / 5, rel=1e-7
        )  # not 1, as if all were among the largest
        chosen = jax.lax.top_k(jnp.array([1.0, 2.0, 2.0, 1.0, 2.0]), k)[1]
        for label in range(5):
            assert run(metrics.top_k(k), jnp.array([1.0, 2.0, 2.0, 1.0, 2.0]), label) == float(label in chosen)
    np.testing.assert_array_equal(run(metrics.confusion_matrix(5), level, labels).counts[:, 0], 1)


def test_nan_logits_are_never_right():
    logits = jnp.full((5, 5), jnp.nan)
    assert run(metrics.accuracy(), logits, jnp.arange(5)) == 0
    assert run(metrics.top_k(5), logits, jnp.arange(5)) == 0
    one = jnp.zeros((5, 5)).at[:, 0].set(jnp.nan) + 9 * jnp.eye(5)
    assert run(metrics.correct(), one, jnp.arange(5)) == 0
    counts, dropped = run(metrics.confusion_matrix(5), one, jnp.arange(5))
    assert (counts.sum(), dropped) == (0, 5)
    assert run(metrics.accuracy(), jnp.array([[-jnp.inf, jnp.inf]]), jnp.array([1])) == 1


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8"])
def test_labels_that_are_no_class_are_wrong_and_visible(dtype):
    labels = np.array([0, 5, 100, 255 if dtype == "uint8" else -1], dtype)
    logits = jnp.zeros((4, 5)).at[:, 0].set(1.0)
    assert run(metrics.accuracy(), logits, labels) == 0.25
    assert run(metrics.top_k(5), logits, labels) == 0.25
    assert run(metrics.correct(), logits, labels) == 1
    counts, dropped = run(metrics.confusion_matrix(5), logits, labels)
    assert (counts.sum(), counts[0, 0], dropped) == (1, 1, 3)
    assert run(metrics.confusion_matrix(5), logits, labels, where=labels < 5).dropped == int(dtype != "uint8")


def test_narrow_labels_reach_more_classes_than_their_type_has():
    logits = jax.nn.one_hot(jnp.array([100]), 200)
    assert run(metrics.accuracy(), logits, np.array([100], np.int8)) == 1
    assert run(metrics.top_k(3), logits, np.array([200], np.uint8)) == 0


def test_what_is_masked_may_be_anything():
    where = np.array([True, False])
    logits = jnp.array([[0.0, 1.0], [jnp.nan, jnp.nan]])
    labels = jnp.array([1, -100])
    assert run(metrics.mean(), jnp.array([2.0, jnp.nan]), where=where) == 2
    assert run(metrics.accuracy(), logits, labels, where=where) == 1
    counts, dropped = run(metrics.confusion_matrix(2), logits, labels, where=where)
    assert (counts.sum(), dropped) == (1, 0)
    assert jnp.isnan(run(metrics.mean(), jnp.array([2.0, jnp.nan])))


def test_types_of_sums_hold_under_scan_and_low_precision():
    values = jnp.ones((4, 10), jnp.bfloat16)
    metric = metrics.mean()
    sums, _ = jax.lax.scan(lambda sums, x: (metric.update(sums, x), None), metric.init(), values)
    assert (sums.total.dtype, sums.count.dtype) == (jnp.float32, jnp.int32)
    assert metric.compute(sums) == 1
    assert metric(jnp.array([True, False])) == 0.5
    assert run(metrics.mean(), jnp.ones(100_000, jnp.bfloat16)) == 1
    with jax.enable_x64(True):
        assert run(metrics.mean(), jnp.array([0.1, 0.2])).dtype == jnp.float64
        assert run(metrics.accuracy(), LOGITS.astype(np.float64), LABELS).dtype == jnp.float64


def test_batches_of_any_shape():
    logits, labels = LOGITS[:100].reshape(4, 25, 5), LABELS[:100].reshape(4, 25)
    for metric in ALL[2:]:
        assert_same(run(metric, logits, labels), run(metric, LOGITS[:100], LABELS[:100]), rtol=1e-6)
        sums = jax.jit(jax.vmap(metric.update, in_axes=(None, 0, 0)))(metric.init(), logits, labels)
        merged = jax.tree.map(lambda x: x.sum(0), sums)
        assert_same(metric.compute(merged), run(metric, logits, labels), rtol=1e-6)


X = jnp.zeros((6, 5))


@pytest.mark.parametrize("metric", ALL[2:], ids=repr)
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (X, jnp.zeros(6), DtypeError, r"labels must be integers, got float32\[6\]"),
        (X, jnp.zeros((6, 5)), DtypeError, "labels must be integers"),
        (X, jnp.zeros((6, 1), int), ShapeError, "labels must have shape"),
        (X, jnp.zeros((6, 5), int), ShapeError, r"one-hot rows become class numbers by labels.argmax\(-1\)"),
        (X.astype(int), jnp.zeros(6, int), DtypeError, "logits must be floating point"),
    ],
)
def test_refuse_what_does_not_fit(metric, logits, labels, error, message):
    with pytest.raises(error, match=message):
        jax.jit(lambda *args: metric(*args))(logits, labels)


def test_other_refusals():
    labels = jnp.zeros(6, int)
    with pytest.raises(DtypeError, match="where must be boolean"):
        run(metrics.accuracy(), X, labels, where=jnp.ones(6))
    with pytest.raises(ShapeError, match="where must have shape"):
        run(metrics.mean(), X, where=jnp.ones(6, bool))
    with pytest.raises(ShapeError, match="at least 6 classes for the top 6"):
        run(metrics.top_k(6), X, labels)
    with pytest.raises(ShapeError, match=r"logits must have shape \(..., 4\)"):
        run(metrics.confusion_matrix(4), X, labels)
    for make in (lambda: metrics.top_k(0), lambda: metrics.confusion_matrix(0)):
        with pytest.raises(ValueError, match="whole number of at least 1"):
            make()
