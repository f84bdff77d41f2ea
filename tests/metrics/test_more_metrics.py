"""Precision to calibration against sklearn and NumPy: exact for every split, the same on the host."""

import operator
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import metrics
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 103).astype(np.int32)
LOGITS = (RNG.normal(size=(103, 6)) + 1.5 * np.eye(6)[LABELS]).astype(np.float32)
LOGITS[:, 4] -= 99  # class 4 is there but never predicted; class 5 is neither
LOGITS[:, 5] -= 99
SCORES = RNG.beta(1 + LABELS / 4, 2).astype(np.float32)
BINARY = (LABELS > 1).astype(np.int32)
TARGET = RNG.normal(3.0, 2.0, 103).astype(np.float32)
OVERLAPS = [metrics.precision, metrics.recall, metrics.f_score, metrics.intersection_over_union]
CASES = [(make(6, average=a), (LOGITS, LABELS)) for make in OVERLAPS for a in ("macro", "micro", None)]
CASES += [
    (metrics.area_under_curve(100), (SCORES, BINARY)),
    (metrics.expected_calibration_error(), (LOGITS, LABELS)),
    (metrics.r_squared(center=3.0), (TARGET + SCORES, TARGET)),
]
each_case = pytest.mark.parametrize(("metric", "args"), CASES, ids=[repr(m) for m, _ in CASES])
run = jax.jit(lambda metric, *args, **where: metric(*args, **where))


@each_case
def test_sums_add_whatever_the_split_and_on_the_host(metric, args):
    whole = run(metric, *args)
    update = jax.jit(metric.update)
    parts = []
    for start in range(0, 103, 40):
        batch = [x[start : start + 40] for x in args]
        where = np.arange(40) < len(batch[0])
        fill = [np.full((40 - len(x), *x.shape[1:]), np.nan if x.dtype == np.float32 else -3, x.dtype) for x in batch]
        parts.append(update(metric.init(), *map(np.concatenate, zip(batch, fill)), where=where))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), parts[0]) == jax.tree.map(
        lambda x: (x.shape, x.dtype), metric.init()
    )
    merged = parts[0]
    for part in parts[1:]:
        merged = jax.tree.map(operator.add, merged, part)
    np.testing.assert_allclose(metric.compute(merged), whole, rtol=3e-6)
    host = jax.tree.map(lambda x: np.asarray(x).astype(np.int64 if x.dtype == np.int32 else np.float64), merged)
    value = metric.compute(host)
    assert not isinstance(value, jax.Array)
    np.testing.assert_allclose(value, whole, rtol=3e-6)
    big = jax.tree.map(lambda x: x * 2**40, host)  # far past int32: only host arithmetic can be right
    np.testing.assert_allclose(metric.compute(big), value, rtol=1e-12)


@each_case
def test_is_a_value_and_nan_without_examples(metric, args):
    assert pickle.loads(pickle.dumps(metric)) == metric
    assert jnp.isnan(run(metric, *args, where=np.zeros(103, bool))).all()
    assert jnp.isnan(metric.compute(metric.init())).all()
    with pytest.raises(ShapeError):
        run(metric, args[0], args[1][:, None])
    with pytest.raises(DtypeError):
        run(metric, args[0], args[1] > 0)


@pytest.mark.parametrize("average", ["macro", "micro", None])
def test_overlaps_equal_sklearn(average):
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted = LOGITS.argmax(-1)
    options = {"average": average, "zero_division": 0}
    pairs = [
        (metrics.precision, sklearn.precision_score(LABELS, predicted, **options)),
        (metrics.recall, sklearn.recall_score(LABELS, predicted, **options)),
        (metrics.f_score, sklearn.f1_score(LABELS, predicted, **options)),
        (metrics.intersection_over_union, sklearn.jaccard_score(LABELS, predicted, **options)),
    ]
    with jax.enable_x64(True):
        for make, want in pairs:
            value = make(6, average=average)(LOGITS, LABELS)
            np.testing.assert_allclose(value if average else value[:5], want, rtol=1e-14)
            if average is None:
                assert jnp.isnan(value[5])
        want = sklearn.fbeta_score(LABELS, predicted, beta=2.0, **options)
        value = metrics.f_score(6, beta=2.0, average=average)(LOGITS, LABELS)
        np.testing.assert_allclose(value if average else value[:5], want, rtol=1e-14)


def test_nan_logits_cost_recall_and_labels_that_are_no_class_cost_precision():
    logits = jnp.array([[1.0, 0.0], [jnp.nan, 0.0], [1.0, 0.0]])
    labels = np.array([0, 0, 7])
    assert run(metrics.precision(2, average=None), logits, labels)[0] == 0.5
    assert run(metrics.recall(2, average=None), logits, labels)[0] == 0.5


def test_area_equals_sklearn_within_its_bound():
    sklearn = pytest.importorskip("sklearn.metrics")
    exact = sklearn.roc_auc_score(BINARY, SCORES)
    for bins in (10, 100, 1000):
        metric = metrics.area_under_curve(bins)
        sums = metric.update(metric.init(), SCORES, BINARY)
        bound = (np.asarray(sums.positive) / BINARY.sum() * np.asarray(sums.negative) / (1 - BINARY).sum()).sum() / 2
        assert abs(float(metric.compute(sums)) - exact) <= bound + 1e-6
    with jax.enable_x64(True):
        binned = np.clip(np.floor(SCORES.astype(np.float64) * 10), 0, 9)
        value = metrics.area_under_curve(10)(SCORES, BINARY)
        assert value == pytest.approx(sklearn.roc_auc_score(BINARY, binned), rel=1e-14)


def test_area_of_scores_and_labels_that_do_not_fit():
    metric = metrics.area_under_curve()
    assert metric(jnp.array([-3.0, 0.5, 7.0]), jnp.array([0, 0, 1])) == 1
    assert metric(jnp.array([jnp.nan, jnp.nan]), jnp.array([0, 1])) == 0
    assert jnp.isnan(metric(jnp.array([0.1, 0.5, 0.7]), jnp.array([0, 1, 2])))
    assert jnp.isnan(metric(jnp.array([0.1, 0.5]), jnp.array([1, 1])))


def test_calibration_error_is_that_of_the_paper():
    x = LOGITS.astype(np.float64)
    probs = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    confidence, right = probs.max(-1), probs.argmax(-1) == LABELS
    want = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            want += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    with jax.enable_x64(True):
        assert metrics.expected_calibration_error()(x, LABELS) == pytest.approx(want, rel=1e-12)
    assert jnp.isnan(metrics.expected_calibration_error()(jnp.full((1, 3), jnp.nan), jnp.array([0])))
    assert metrics.expected_calibration_error()(jnp.array([[99.0, 0.0]]), jnp.array([5])) == 1


def test_r_squared_equals_sklearn_and_a_center_saves_digits():
    sklearn = pytest.importorskip("sklearn.metrics")
    prediction = TARGET + SCORES
    want = sklearn.r2_score(TARGET.astype(np.float64), prediction.astype(np.float64))
    with jax.enable_x64(True):
        for center in (0.0, 3.0):
            value = metrics.r_squared(center=center)(prediction.astype(np.float64), TARGET.astype(np.float64))
            assert value == pytest.approx(want, rel=1e-12)
    far = (prediction + 1000, TARGET + 1000)
    want = sklearn.r2_score(far[1].astype(np.float64), far[0].astype(np.float64))
    assert metrics.r_squared(center=1000.0)(*far) == pytest.approx(want, rel=1e-5)
    assert jnp.isnan(metrics.r_squared()(jnp.zeros(3), jnp.ones(3)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.precision(1),
        lambda: metrics.recall(3, average="mean"),
        lambda: metrics.f_score(3, beta=0.0),
        lambda: metrics.area_under_curve(0),
        lambda: metrics.expected_calibration_error(0),
    ],
)
def test_refuse_what_makes_no_metric(make):
    with pytest.raises(ValueError, match="must be"):
        make()
