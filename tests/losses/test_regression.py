"""Regression losses against torch; no broadcast, safe masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import absolute_error, huber, squared_error

LOSSES = [squared_error, absolute_error, huber]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
X = np.array([[-3.0, -1.0, -0.2], [0.0, 0.7, 1.0], [2.5, 1e3, -1e3]])


@pytest.mark.parametrize("delta", [1.0, 0.3])
def test_equal_torch_in_value_and_gradient(delta):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    target = np.full_like(X, 0.5)
    pairs = [
        (squared_error, lambda x, t: functional.mse_loss(x, t, reduction="none")),
        (absolute_error, lambda x, t: functional.l1_loss(x, t, reduction="none")),
        (
            lambda x, t: huber(x, t, delta=delta),
            lambda x, t: functional.huber_loss(x, t, reduction="none", delta=delta),
        ),
    ]
    with jax.enable_x64(True):
        for ours, theirs in pairs:
            leaf = torch.tensor(X, requires_grad=True)
            want = theirs(leaf, torch.tensor(target))
            want.sum().backward()
            np.testing.assert_allclose(jax.jit(ours)(X, target), want.detach(), rtol=1e-13)
            gradient = jax.grad(lambda x, f=ours: f(x, target).sum())(jnp.asarray(X))
            np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-13)


def test_gradients_where_pieces_meet():
    gradient = lambda loss, x: jax.grad(loss)(x, 0.0)
    assert gradient(squared_error, 3.0) == 6
    assert gradient(absolute_error, 0.0) == 0
    for error in (-1.0, 0.0, 1.0, 5.0, -5.0):
        assert gradient(huber, error) == np.clip(error, -1, 1)
    assert jnp.isfinite(gradient(huber, 1e30))


@each_loss
def test_elementwise_in_float32(loss):
    x = jnp.asarray(X, jnp.bfloat16)
    y = loss(x, jnp.zeros((3, 3), jnp.float32))
    assert (y.shape, y.dtype) == ((3, 3), jnp.float32)
    np.testing.assert_array_equal(y, loss(x.astype(jnp.float32), jnp.zeros((3, 3))))
    np.testing.assert_array_equal(jax.vmap(loss)(x, jnp.zeros((3, 3))), y)


@each_loss
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_where_leaves_out_whatever_is_there(loss, bad):
    keep = jnp.array([True, False, True])
    x = jnp.array([1.0, bad, 3.0])
    masked = lambda x: loss(x, jnp.array([0.0, bad, 0.0]), where=keep)
    np.testing.assert_allclose(masked(x), loss(jnp.array([1.0, 0.0, 3.0]), jnp.zeros(3)), rtol=1e-6)
    gradient = jax.grad(lambda x: masked(x).sum())(x)
    assert gradient[1] == 0
    assert jnp.isfinite(gradient).all()


@each_loss
def test_a_column_against_a_row_is_refused(loss):
    with pytest.raises(ShapeError, match=r"drop the last axis of length 1: prediction\[..., 0\]"):
        jax.jit(loss)(jnp.zeros((4, 1)), jnp.zeros(4))
    with pytest.raises(ShapeError, match=r"drop the last axis of length 1: target\[..., 0\]"):
        loss(jnp.zeros(4), jnp.zeros((4, 1)))
    with pytest.raises(ShapeError, match="it must be that of prediction"):
        loss(jnp.zeros((4, 2)), jnp.zeros((4, 3)))
    with pytest.raises(DtypeError, match="target must be floating point, got int32"):
        loss(jnp.zeros(4), jnp.zeros(4, int))
    with pytest.raises(DtypeError, match="where must be boolean"):
        loss(jnp.zeros(4), jnp.zeros(4), where=jnp.zeros(4))


@pytest.mark.parametrize("delta", [0.0, -1.0, float("inf")])
def test_huber_refuses_a_limit_that_is_none(delta):
    with pytest.raises(ValueError, match="delta must be positive and finite"):
        huber(jnp.zeros(2), jnp.zeros(2), delta=delta)
