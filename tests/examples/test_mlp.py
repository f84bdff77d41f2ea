"""The perceptron of row 5, at its full size: loss and gradient against NumPy by hand and against torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.history.mlp import MODEL, loss_fn
from fdl import losses
from fdl.tree import flatten

RNG = np.random.default_rng(0)
IMAGE, LABEL = RNG.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8), np.array([3, 1, 9, 3], np.int32)


def params_of(dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64), dtype), MODEL.init(jax.random.key(0))[0])


def by_numpy(params):
    """Loss and gradient, the derivatives written out."""
    (w1, b1), (w2, b2) = ((params[name]["kernel"], params[name]["bias"]) for name in ("dense_0", "dense_1"))
    x, rows = IMAGE.reshape(4, -1) / 255, np.arange(4)
    net = x @ w1 + b1
    h = np.maximum(net, 0)
    y = h @ w2 + b2
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    by_y = (p - np.eye(10)[LABEL]) / 4
    by_net = by_y @ w2.T * (net > 0)
    gradient = {
        "dense_0": {"kernel": x.T @ by_net, "bias": by_net.sum(0)},
        "dense_1": {"kernel": h.T @ by_y, "bias": by_y.sum(0)},
    }
    return -np.log(p[rows, LABEL]).mean(), gradient


def test_loss_and_gradient_are_those_of_numpy(agrees):
    with jax.enable_x64(True):
        params = params_of(jnp.float64)
        image = jnp.asarray(IMAGE, jnp.float64) / 255
        loss = lambda params: losses.cross_entropy(MODEL.apply(params, {}, image)[0], jnp.asarray(LABEL)).mean()
        want = by_numpy(jax.tree.map(np.asarray, params))
        got = jax.jit(jax.value_and_grad(loss))(params)
        agrees.values("nn.dense, 784-800-10 and its gradient", "numpy, by hand", got, want, most=1e-12)


def test_loss_and_gradient_are_those_of_torch(agrees):
    torch = pytest.importorskip("torch")
    params = params_of(jnp.float32)
    batch = {"image": jnp.asarray(IMAGE), "label": jnp.asarray(LABEL)}
    got = jax.jit(jax.value_and_grad(lambda params: loss_fn(params, {}, batch, None)[0]))(params)
    theirs = {path: torch.tensor(np.asarray(leaf), requires_grad=True) for path, leaf in flatten(params).items()}
    x = torch.tensor(IMAGE.reshape(4, -1).astype(np.float32) / 255)
    h = torch.relu(x @ theirs["dense_0/kernel"] + theirs["dense_0/bias"])
    y = h @ theirs["dense_1/kernel"] + theirs["dense_1/bias"]
    loss = torch.nn.functional.cross_entropy(y, torch.tensor(LABEL).long())
    loss.backward()
    want = loss.detach().numpy(), [leaf.grad.numpy() for leaf in theirs.values()]
    agrees.values("nn.dense, 784-800-10 and its gradient", "torch", got, want, most=1e-6)
