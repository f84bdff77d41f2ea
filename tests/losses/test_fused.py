"""The fused last layer: the same numbers as in two steps, in memory that does not grow with tokens times vocabulary."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import cross_entropy, fused_linear_cross_entropy

RNG = np.random.default_rng(0)
H, KERNEL, BIAS = RNG.normal(size=(7, 4)), RNG.normal(size=(4, 11)), RNG.normal(size=11)
LABELS = RNG.integers(0, 11, 7)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_equals_torch(agrees, chunk):
    torch = pytest.importorskip("torch")
    theirs = lambda h, kernel, y: torch.nn.functional.cross_entropy(h @ kernel, y, reduction="none")
    ours = partial(fused_linear_cross_entropy, chunk=chunk)
    agrees.torch("losses.fused_linear_cross_entropy", ours, theirs, H, KERNEL, LABELS)


def test_with_all_options_equals_torch(agrees):
    torch = pytest.importorskip("torch")

    def theirs(h, kernel, bias, y):
        logits = 2 * torch.tanh((h @ kernel + bias) / 2)
        return torch.nn.functional.cross_entropy(logits, y, label_smoothing=0.1, reduction="none")

    def ours(h, kernel, bias, y):
        return fused_linear_cross_entropy(h, kernel, y, bias=bias, chunk=2, smoothing=0.1, softcap=2.0)

    agrees.torch("losses.fused_linear_cross_entropy, bias and softcap", ours, theirs, H, KERNEL, BIAS, LABELS)


def compiled_bytes(loss, tokens, vocab, dim=16):
    h, kernel = jax.ShapeDtypeStruct((tokens, dim), jnp.float32), jax.ShapeDtypeStruct((dim, vocab), jnp.float32)
    labels = jax.ShapeDtypeStruct((tokens,), jnp.int32)
    mean = lambda h, kernel, labels: loss(h, kernel, labels).mean()
    both = mean, jax.value_and_grad(mean, (0, 1))
    return [jax.jit(f).lower(h, kernel, labels).compile().memory_analysis().temp_size_in_bytes for f in both]


def test_memory_is_that_of_a_chunk():
    fused = partial(fused_linear_cross_entropy, chunk=128)
    logits = 4 * 4096 * 8192
    value, gradient = compiled_bytes(fused, 4096, 8192)
    assert max(value, gradient) < logits / 10
    plain = compiled_bytes(lambda h, kernel, labels: cross_entropy(h @ kernel, labels), 4096, 8192)
    assert min(plain) > logits / 2  # what the fused loss saves is really there otherwise
    longer = compiled_bytes(fused, 16384, 8192)
    inputs = 4 * 16384 * 16
    assert longer[0] < value + 4 * inputs
    assert longer[1] < gradient + 8 * inputs


def test_any_batch_axes_and_none():
    want = fused_linear_cross_entropy(H, KERNEL, LABELS)
    got = fused_linear_cross_entropy(H[:6].reshape(2, 3, 4), KERNEL, LABELS[:6].reshape(2, 3), chunk=4)
    np.testing.assert_allclose(got, want[:6].reshape(2, 3), rtol=1e-6)
    np.testing.assert_allclose(fused_linear_cross_entropy(H[0], KERNEL, LABELS[0]), want[0], rtol=1e-6)
    assert fused_linear_cross_entropy(H[:0], KERNEL, LABELS[:0]).shape == (0,)


def test_labels_that_are_no_class_make_their_loss_alone_nan():
    labels = np.array([0, 11, -1, 10, 3, 255, 4])
    np.testing.assert_array_equal(
        jnp.isnan(fused_linear_cross_entropy(H, KERNEL, labels, chunk=2)), labels % 11 != labels
    )


def test_sixteen_bits_are_summed_in_float32():
    h, kernel = jnp.asarray(H, jnp.bfloat16), jnp.asarray(KERNEL, jnp.bfloat16)
    want = cross_entropy(h.astype(jnp.float32) @ kernel.astype(jnp.float32), LABELS)
    np.testing.assert_allclose(fused_linear_cross_entropy(h, kernel, LABELS), want, rtol=1e-5)
    np.testing.assert_allclose(fused_linear_cross_entropy(h, kernel.astype(jnp.float32), LABELS), want, rtol=1e-5)


def test_refusals():
    with pytest.raises(ShapeError, match="transpose a table of embeddings"):
        fused_linear_cross_entropy(H, KERNEL.T, LABELS)
    with pytest.raises(ShapeError, match="labels must have shape"):
        fused_linear_cross_entropy(H, KERNEL, LABELS[:3])
    with pytest.raises(ShapeError, match="bias must have shape"):
        fused_linear_cross_entropy(H, KERNEL, LABELS, bias=BIAS[:3])
    with pytest.raises(DtypeError, match="labels must be integers"):
        fused_linear_cross_entropy(H, KERNEL, BIAS[:7])
    with pytest.raises(ValueError, match="chunk must be"):
        fused_linear_cross_entropy(H, KERNEL, LABELS, chunk=0)
    with pytest.raises(ValueError, match="softcap must be positive"):
        fused_linear_cross_entropy(H, KERNEL, LABELS, softcap=0.0)
