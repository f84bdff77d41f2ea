"""Precision to calibration against sklearn and NumPy: exact for every split, the same on the host."""

import operator
import pickle
from functools import partial

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
    (metrics.average_precision(100), (SCORES, BINARY)),
    (metrics.precision_at_recall(0.7, 100), (SCORES, BINARY)),
    (metrics.recall_at_precision(0.8, 100), (SCORES, BINARY)),
    (metrics.sensitivity_at_specificity(0.7, 100), (SCORES, BINARY)),
    (metrics.pearson_correlation(center=3.0), (TARGET + SCORES, TARGET)),
    (metrics.concordance_correlation(center=3.0), (TARGET + SCORES, TARGET)),
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
def test_overlaps_equal_sklearn(agrees, average):
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted = LOGITS.argmax(-1)
    options = {"average": average, "zero_division": 0}
    pairs = [
        (metrics.precision, sklearn.precision_score(LABELS, predicted, **options)),
        (metrics.recall, sklearn.recall_score(LABELS, predicted, **options)),
        (metrics.f_score, sklearn.f1_score(LABELS, predicted, **options)),
        (metrics.intersection_over_union, sklearn.jaccard_score(LABELS, predicted, **options)),
    ]
    want = sklearn.fbeta_score(LABELS, predicted, beta=2.0, **options)
    pairs.append((partial(metrics.f_score, beta=2.0), want))
    with jax.enable_x64(True):
        for make, want in pairs:
            value = make(6, average=average)(LOGITS, LABELS)
            name = f"metrics.{getattr(make, '__name__', 'f_score')}, {average}"
            agrees.values(name, "sklearn", value if average else value[:5], want)
            if average is None:
                assert jnp.isnan(value[5])


def test_nan_logits_cost_recall_and_labels_that_are_no_class_cost_precision():
    logits = jnp.array([[1.0, 0.0], [jnp.nan, 0.0], [1.0, 0.0]])
    labels = np.array([0, 0, 7])
    assert run(metrics.precision(2, average=None), logits, labels)[0] == 0.5
    assert run(metrics.recall(2, average=None), logits, labels)[0] == 0.5


def test_area_equals_sklearn_within_its_bound(agrees):
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
        agrees.values("metrics.area_under_curve", "sklearn", value, sklearn.roc_auc_score(BINARY, binned))


def test_curves_equal_sklearn(agrees):
    sklearn = pytest.importorskip("sklearn.metrics")
    binned = np.floor(SCORES.astype(np.float64) * 20)
    precision, recall, _ = sklearn.precision_recall_curve(BINARY, binned)
    alarms, hits, _ = sklearn.roc_curve(BINARY, binned, drop_intermediate=False)
    with jax.enable_x64(True):
        is_ = lambda make, *args, want: agrees.values(
            f"metrics.{make.__name__}", "sklearn", make(*args, bins=20)(SCORES, BINARY), want
        )
        is_(metrics.average_precision, want=sklearn.average_precision_score(BINARY, binned))
        for least in (0.0, 0.3, 0.62, 0.8, 0.95, 1.0):
            is_(metrics.precision_at_recall, least, want=precision[:-1][recall[:-1] >= least].max())
            is_(metrics.recall_at_precision, least, want=recall[:-1][precision[:-1] >= least].max(initial=0))
            is_(metrics.sensitivity_at_specificity, least, want=hits[1 - alarms >= least].max())


def test_a_share_that_is_reached_exactly_counts():
    scores, labels = jnp.array([0.9, 0.7, 0.5, 0.3, 0.1, 0.2]), jnp.array([1, 1, 1, 0, 0, 1])
    assert metrics.precision_at_recall(0.75)(scores, labels) == 1
    assert metrics.recall_at_precision(0.8)(jnp.arange(10) / 10, (jnp.arange(10) % 5 > 0).astype(int)) == 1
    # 3 of 10 zeros pass: the share 7 / 10 is not the float32 nearest to 0.7 by every way to compute it
    metric = metrics.sensitivity_at_specificity(0.7)
    zeros = [*3 * [0.8], *7 * [0.2]]
    assert metric(jnp.array([0.1, *zeros]), jnp.array([1, *10 * [0]])) == 0
    assert metric(jnp.array([0.8, *zeros]), jnp.array([1, *10 * [0]])) == 1


def test_a_precision_never_reached_gives_recall_zero():
    scores, labels = jnp.array([0.1, 0.9]), jnp.array([1, 0])
    assert metrics.recall_at_precision(0.9)(scores, labels) == 0
    assert metrics.sensitivity_at_specificity(1.0)(scores, labels) == 0


def test_area_of_scores_and_labels_that_do_not_fit():
    metric = metrics.area_under_curve()
    assert metric(jnp.array([-3.0, 0.5, 7.0]), jnp.array([0, 0, 1])) == 1
    assert metric(jnp.array([jnp.nan, jnp.nan]), jnp.array([0, 1])) == 0
    assert jnp.isnan(metric(jnp.array([0.1, 0.5, 0.7]), jnp.array([0, 1, 2])))
    assert jnp.isnan(metric(jnp.array([0.1, 0.5]), jnp.array([1, 1])))


def test_calibration_error_is_that_of_the_paper(agrees):
    x = LOGITS.astype(np.float64)
    probs = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    confidence, right = probs.max(-1), probs.argmax(-1) == LABELS
    want = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            want += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    with jax.enable_x64(True):
        agrees.values(
            "metrics.expected_calibration_error", "definition", metrics.expected_calibration_error()(x, LABELS), want
        )
    assert jnp.isnan(metrics.expected_calibration_error()(jnp.full((1, 3), jnp.nan), jnp.array([0])))
    assert metrics.expected_calibration_error()(jnp.array([[99.0, 0.0]]), jnp.array([5])) == 1


def test_r_squared_equals_sklearn_and_a_center_saves_digits(agrees):
    sklearn = pytest.importorskip("sklearn.metrics")
    prediction = TARGET + SCORES
    want = sklearn.r2_score(TARGET.astype(np.float64), prediction.astype(np.float64))
    with jax.enable_x64(True):
        for center in (0.0, 3.0):
            value = metrics.r_squared(center=center)(prediction.astype(np.float64), TARGET.astype(np.float64))
            agrees.values("metrics.r_squared", "sklearn", value, want)
    far = (prediction + 1000, TARGET + 1000)
    want = sklearn.r2_score(far[1].astype(np.float64), far[0].astype(np.float64))
    assert metrics.r_squared(center=1000.0)(*far) == pytest.approx(want, rel=1e-5)
    assert jnp.isnan(metrics.r_squared()(jnp.zeros(3), jnp.ones(3)))


def test_correlations_equal_numpy_and_a_center_saves_digits(agrees):
    x, y = (TARGET + SCORES).astype(np.float64), 2 * TARGET.astype(np.float64) + 1
    want = np.corrcoef(x, y)[0, 1]
    agreement = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    with jax.enable_x64(True):
        for center in (0.0, 3.0):
            correlation = metrics.pearson_correlation(center=center)(x, y)
            agrees.values("metrics.pearson_correlation", "numpy", correlation, want)
            concordance = metrics.concordance_correlation(center=center)(x, y)
            agrees.values("metrics.concordance_correlation", "numpy", concordance, agreement)
    far = (x + 1000).astype(np.float32), (y + 1000).astype(np.float32)
    assert metrics.pearson_correlation(center=1000.0)(*far) == pytest.approx(want, rel=1e-4)
    assert metrics.concordance_correlation(center=1000.0)(*far) == pytest.approx(agreement, rel=1e-4)
    assert metrics.pearson_correlation()(SCORES, -SCORES) == pytest.approx(-1, rel=1e-4)
    assert jnp.isnan(metrics.pearson_correlation()(jnp.zeros(3), jnp.arange(3.0)))
    assert metrics.concordance_correlation()(jnp.zeros(3), jnp.arange(3.0)) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.precision(1),
        lambda: metrics.recall(3, average="mean"),
        lambda: metrics.f_score(3, beta=0.0),
        lambda: metrics.area_under_curve(0),
        lambda: metrics.expected_calibration_error(0),
        lambda: metrics.precision_at_recall(1.5),
        lambda: metrics.recall_at_precision(-0.5),
        lambda: metrics.sensitivity_at_specificity(90),
        lambda: metrics.bleu(smoothing="floor"),
    ],
)
def test_refuse_what_makes_no_metric(make):
    with pytest.raises(ValueError, match="must be"):
        make()
