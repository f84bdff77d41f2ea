"""Cross entropies against torch, their gradients p - t, and what must never be silent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import binary_cross_entropy, cross_entropy

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (6, 5))
LABELS = np.array([0, 4, 2, 1, 1, 3], np.int32)
PROBS = RNG.dirichlet(np.ones(5), 6)


def total(loss):
    """The sum of a loss as a function of logits and targets."""
    return lambda *args: loss(*args).sum()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_torch(agrees, smoothing):
    torch = pytest.importorskip("torch")
    options = {"label_smoothing": smoothing, "reduction": "none"}
    theirs = lambda x, y: torch.nn.functional.cross_entropy(x, y.long(), **options)
    ours = lambda x, y: cross_entropy(x, y, smoothing=smoothing)
    agrees.torch("losses.cross_entropy, class numbers", ours, theirs, LOGITS, LABELS)
    theirs = lambda x, t: torch.nn.functional.cross_entropy(x, t, **options)
    agrees.torch("losses.cross_entropy, probabilities", ours, theirs, LOGITS, PROBS)


def test_ignore_index_equals_torch_even_with_nan_logits():
    torch = pytest.importorskip("torch")
    labels, logits = LABELS.copy(), LOGITS.astype(np.float32)
    labels[[1, 3]] = -100
    want = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(labels).long(), ignore_index=-100, label_smoothing=0.1, reduction="none"
    )
    logits[1] = np.nan
    ours = lambda x: cross_entropy(x, labels, ignore_index=-100, smoothing=0.1)
    np.testing.assert_allclose(ours(logits), want, rtol=1e-6)
    gradient = jax.grad(total(ours))(jnp.asarray(logits))
    np.testing.assert_array_equal(gradient[jnp.array([1, 3])], 0)
    assert jnp.isfinite(gradient).all()
    assert jnp.isnan(cross_entropy(logits, labels)[3])  # without saying so, -100 is no class


def test_binary_cross_entropy_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    functional, targets = torch.nn.functional, RNG.uniform(size=LOGITS.shape)
    theirs = lambda x, t: functional.binary_cross_entropy_with_logits(x, t, reduction="none")
    agrees.torch("losses.binary_cross_entropy", binary_cross_entropy, theirs, LOGITS, targets)
    theirs = lambda x, t: functional.multilabel_soft_margin_loss(x, t, reduction="none")
    ours = lambda x, t: binary_cross_entropy(x, t).mean(-1)
    agrees.torch("losses.binary_cross_entropy, mean over labels", ours, theirs, LOGITS, targets)


def test_gradient_is_p_minus_t_in_float32():
    logits = jnp.asarray(LOGITS, jnp.float32)
    one_hot = np.eye(5)[LABELS]
    p = softmax(np.asarray(logits, np.float64))
    for target in (LABELS, one_hot.astype(np.float32)):
        gradient = jax.grad(total(cross_entropy))(logits, target)
        np.testing.assert_allclose(gradient, p - one_hot, atol=1e-7)
    sigmoid = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    gradient = jax.grad(total(binary_cross_entropy))(logits, one_hot.astype(np.float32))
    np.testing.assert_allclose(gradient, sigmoid - one_hot, atol=1e-7)


def test_it_is_the_divergence_plus_the_entropy_of_the_targets():
    special = pytest.importorskip("scipy.special")
    with jax.enable_x64(True):
        p = special.softmax(LOGITS, -1)
        want = special.rel_entr(PROBS, p).sum(-1) + special.entr(PROBS).sum(-1)
        np.testing.assert_allclose(cross_entropy(LOGITS, PROBS), want, rtol=1e-12)
        np.testing.assert_allclose(cross_entropy(LOGITS, LABELS), cross_entropy(LOGITS, np.eye(5)[LABELS]), rtol=1e-12)


def test_the_gradient_scatters_nothing():
    logits, labels = jnp.ones((4, 5)), jnp.array([0, 1, 2, 7])
    grad = jax.grad(lambda logits: cross_entropy(logits, labels)[:3].sum())
    assert "scatter" not in str(jax.make_jaxpr(grad)(logits))
    assert jnp.isfinite(grad(logits)).all()


def test_hessians_are_those_of_the_textbook():
    with jax.enable_x64(True):
        x = jnp.asarray(LOGITS[0])
        p = softmax(LOGITS[0])
        np.testing.assert_allclose(jax.jit(jax.hessian(cross_entropy))(x, 2), np.diag(p) - np.outer(p, p), atol=1e-14)
        curvature = jax.jit(jax.grad(jax.grad(binary_cross_entropy)))
        for t in (0.0, 0.3, 1.0):
            assert curvature(0.0, t) == pytest.approx(0.25, abs=1e-15)


def test_sigmoid_is_a_softmax_of_two():
    with jax.enable_x64(True):
        x = jnp.linspace(-30.0, 30.0, 61)
        two = jnp.stack([jnp.zeros_like(x), x], axis=-1)
        for label in (0, 1):
            want = cross_entropy(two, jnp.full(x.shape, label))
            np.testing.assert_allclose(binary_cross_entropy(x, jnp.full(x.shape, float(label))), want, atol=1e-13)


def test_smoothing_is_the_identity_of_the_lecture():
    # (1 - ε) CE + ε (KL(u‖p) + log K) for uniform u over K classes
    log_p = np.log(softmax(LOGITS))
    plain = -log_p[np.arange(6), LABELS]
    divergence = (0.2 * (np.log(0.2) - log_p)).sum(-1)
    want = 0.9 * plain + 0.1 * (divergence + np.log(5))
    np.testing.assert_allclose(cross_entropy(LOGITS.astype(np.float32), LABELS, smoothing=0.1), want, rtol=1e-5)


def test_extreme_logits_are_exact_and_their_gradients_finite():
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]])
    for labels in (np.array([1, 0]), np.eye(3, dtype=np.float32)[[1, 0]]):
        np.testing.assert_allclose(cross_entropy(logits, labels), [2e4, 2e4 + np.log(2)], rtol=1e-7)
        gradient = jax.jit(jax.grad(total(cross_entropy)))(logits, labels)
        np.testing.assert_allclose(gradient, [[1, -1, 0], [-1, 0.5, 0.5]], atol=1e-7)
    x, t = jnp.array([1e4, -1e4, 1e4, -1e4]), jnp.array([0.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(binary_cross_entropy(x, t), [1e4, 1e4, 0, 0])
    np.testing.assert_array_equal(jax.grad(total(binary_cross_entropy))(x, t), [1, -1, 0, 0])


def test_small_losses_keep_their_digits():
    np.testing.assert_allclose(
        binary_cross_entropy(jnp.array([20.0, -20.0]), jnp.array([1.0, 0.0])), np.exp(-20), rtol=1e-6
    )
    offset = jnp.array([8192.0, 8193.0])  # 1 apart, at an offset where float32 has steps of 0.001
    np.testing.assert_allclose(cross_entropy(offset, 0), np.log1p(np.e), rtol=1e-6)


def test_classes_ruled_out_by_minus_infinity():
    logits = jnp.array([1.0, -jnp.inf, 2.0])
    want = np.log1p(np.e)
    for target in (0, jnp.array([1.0, 0.0, 0.0])):
        assert cross_entropy(logits, target) == pytest.approx(want, rel=1e-6)
        gradient = jax.grad(cross_entropy)(logits, target)
        np.testing.assert_allclose(gradient, [-np.e / (1 + np.e), 0, np.e / (1 + np.e)], atol=1e-6)
    assert cross_entropy(logits, 1) == jnp.inf


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8", "uint32"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_that_are_no_class_make_the_loss_nan(dtype, smoothing):
    labels = np.array([0, 4, 5, 127 if dtype == "int8" else 255]).astype(dtype)
    loss = jax.jit(lambda x, y: cross_entropy(x, y, smoothing=smoothing))(jnp.zeros((4, 5)), labels)
    np.testing.assert_array_equal(jnp.isnan(loss), [False, False, True, True])
    if dtype in ("int32", "int8"):
        assert jnp.isnan(cross_entropy(jnp.zeros(5), labels.dtype.type(-1)))
        assert jnp.isnan(cross_entropy(jnp.zeros(200), labels.dtype.type(-1)))
    assert jnp.isfinite(jax.grad(total(cross_entropy))(jnp.zeros((4, 5)), labels)).all()


def test_narrow_labels_reach_more_classes_than_their_type_has():
    assert cross_entropy(jnp.zeros(200), np.int8(100)) == pytest.approx(np.log(200), rel=1e-6)
    assert cross_entropy(jnp.zeros(70_000), np.uint16(65_535)) == pytest.approx(np.log(70_000), rel=1e-6)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_where_leaves_out_whatever_is_there(bad):
    keep = np.array([True, False, True, True, False, True])
    logits = jnp.asarray(LOGITS, jnp.float32)
    spoilt = jnp.where(keep[:, None], logits, bad)
    labels = np.where(keep, LABELS, -7)
    for target in (labels, jnp.where(keep[:, None], jnp.asarray(PROBS, jnp.float32), bad)):
        loss = lambda x, t=target: cross_entropy(x, t, where=keep)
        full = cross_entropy(logits, LABELS if target is labels else jnp.asarray(PROBS, jnp.float32))
        np.testing.assert_allclose(loss(spoilt), np.where(keep, full, 0), rtol=1e-6)
        gradient = jax.grad(total(loss))(spoilt)
        assert jnp.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[~keep], 0)
    loss = lambda x: binary_cross_entropy(x, jnp.full((6, 5), 0.5), where=np.repeat(keep[:, None], 5, 1))
    assert jnp.isfinite(jax.grad(total(loss))(spoilt)).all()
    np.testing.assert_array_equal(loss(spoilt)[~keep], 0)


def test_per_example_values_of_any_batch_shape():
    logits = jnp.asarray(LOGITS, jnp.float32)
    flat = cross_entropy(logits, LABELS)
    assert flat.shape == (6,)
    np.testing.assert_allclose(
        cross_entropy(logits.reshape(2, 3, 5), LABELS.reshape(2, 3)), flat.reshape(2, 3), rtol=1e-6
    )
    np.testing.assert_allclose(jax.vmap(cross_entropy)(logits, LABELS), flat, rtol=1e-6)
    np.testing.assert_allclose(cross_entropy(logits[0], 0), flat[0], rtol=1e-6)
    assert cross_entropy(logits[:0], LABELS[:0]).shape == (0,)
    assert binary_cross_entropy(logits, jnp.zeros((6, 5))).shape == (6, 5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_computed_in_float32(dtype):
    logits = jnp.asarray(LOGITS, dtype)
    for loss, target in ((cross_entropy, LABELS), (cross_entropy, PROBS), (binary_cross_entropy, PROBS)):
        target = jnp.asarray(target) if target is LABELS else jnp.asarray(target, dtype)
        wide = target if target.dtype == jnp.int32 else target.astype(jnp.float32)
        np.testing.assert_array_equal(loss(logits, target), loss(logits.astype(jnp.float32), wide))
        assert loss(logits, target).dtype == jnp.float32
        assert jax.grad(total(loss))(logits, target).dtype == dtype


X = jnp.zeros((6, 5))


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (X, jnp.zeros((6, 1), int), ShapeError, r"got \(6, 1\); drop the last axis: labels\[..., 0\]"),
        (X, jnp.zeros((6, 1)), ShapeError, r"drop the last axis: labels\[..., 0\]"),
        (X, jnp.zeros(5, int), ShapeError, r"labels must have shape .* got \(5,\)"),
        (X, jnp.zeros((6, 4)), ShapeError, r"or that of logits, \(6, 5\), as probabilities"),
        (X, jnp.zeros((6, 5), int), DtypeError, r"got int32\[6,5\]; pass class numbers, labels.argmax\(-1\)"),
        (X, jnp.zeros((6, 5), bool), DtypeError, r"got bool\[6,5\]; pass class numbers"),
        (X, jnp.zeros(6), DtypeError, r"labels must be integers, got float32\[6\]; class numbers"),
        (X, jnp.zeros(6, bool), DtypeError, r"labels must be integers, got bool\[6\]"),
        (X[:, :1], jnp.zeros(6, int), ShapeError, "use binary_cross_entropy"),
        (X.astype(int), jnp.zeros(6, int), DtypeError, "logits must be floating point"),
        (jnp.zeros(()), jnp.zeros((), int), ShapeError, "logits must have shape"),
    ],
)
def test_cross_entropy_refuses_what_does_not_fit(logits, labels, error, message):
    with pytest.raises(error, match=message):
        jax.jit(cross_entropy)(logits, labels)


def test_other_refusals():
    labels = jnp.zeros(6, int)
    with pytest.raises(ValueError, match="smoothing must lie in"):
        cross_entropy(X, labels, smoothing=1.5)
    with pytest.raises(DtypeError, match="ignore_index needs class numbers"):
        cross_entropy(X, X, ignore_index=0)
    with pytest.raises(DtypeError, match="where must be boolean, got float32"):
        cross_entropy(X, labels, where=jnp.ones(6))
    with pytest.raises(ShapeError, match="where must have shape"):
        cross_entropy(X, labels, where=jnp.ones((6, 1), bool))
    with pytest.raises(ShapeError, match=r"drop the last axis of length 1: logits\[..., 0\]"):
        binary_cross_entropy(jnp.zeros((6, 1)), jnp.zeros(6))
    with pytest.raises(DtypeError, match="target must be floating point"):
        binary_cross_entropy(X, jnp.zeros((6, 5), int))
