"""The selective scan against the recurrence written out step by step, and what only it can do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError
from fdl.nn.recurrent.state_space import selective_scan

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
X, B, C = RNG.normal(size=(2, 7, 5)), RNG.normal(size=(2, 7, 3)), RNG.normal(size=(2, 7, 3))
SIZE, DECAY = RNG.uniform(0.1, 1.0, (2, 7, 5)), -RNG.uniform(0.1, 2.0, (5, 3))


def recurrence(x, size, decay, b, c):
    """Algorithm 2 of the paper, one step after another, in torch."""
    torch = pytest.importorskip("torch")
    h, read = torch.zeros(x.shape[0], *decay.shape, dtype=x.dtype), []
    for t in range(x.shape[1]):
        h = torch.exp(size[:, t, :, None] * decay) * h + (size[:, t] * x[:, t])[..., None] * b[:, t, None, :]
        read.append((h * c[:, t, None, :]).sum(-1))
    return torch.stack(read, 1)


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_the_scan_is_the_recurrence_with_its_gradients(agrees, chunk):
    ours = lambda *arrays: selective_scan(*arrays, chunk=chunk)
    agrees.torch("nn.state_space, selective scan", ours, recurrence, X, SIZE, DECAY, B, C, source="loop in torch")


def test_the_layer_is_the_paper_s(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.state_space(5, states=3, rank=2, chunk=4)
    params, _ = layer.init(KEY)
    paths, leaves = list(tree.flatten(params)), [np.asarray(leaf) for leaf in tree.flatten(params).values()]

    def ours(x, *leaves):
        return layer.apply(tree.unflatten(dict(zip(paths, leaves))), {}, x)[0]

    def theirs(x, *leaves):
        p = dict(zip(paths, leaves))
        low, b, c = torch.split(x @ p["choose/kernel"], [2, 3, 3], -1)
        size = torch.nn.functional.softplus(low @ p["step/kernel"] + p["step/bias"])
        return recurrence(x, size, -torch.exp(p["log_decay"]), b, c) + p["skip"] * x

    agrees.torch("nn.state_space", ours, theirs, X, *leaves, source="loop in torch")


def test_mamba_gates_a_causal_convolution_and_a_scan(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.mamba(3, states=2, window=2, chunk=3)
    params, _ = layer.init(KEY)
    paths, leaves = list(tree.flatten(params)), [np.asarray(leaf) for leaf in tree.flatten(params).values()]

    def ours(x, *leaves):
        return layer.apply(tree.unflatten(dict(zip(paths, leaves))), {}, x)[0]

    def theirs(x, *leaves):
        p, silu = dict(zip(paths, leaves)), torch.nn.functional.silu
        h, gate = torch.chunk(x @ p["enter/kernel"], 2, -1)
        before = torch.nn.functional.pad(h, (0, 0, 1, 0))[:, :-1]
        h = silu(before * p["convolve/kernel"][0, 0] + h * p["convolve/kernel"][1, 0] + p["convolve/bias"])
        low, b, c = torch.split(h @ p["scan/choose/kernel"], [1, 2, 2], -1)
        size = torch.nn.functional.softplus(low @ p["scan/step/kernel"] + p["scan/step/bias"])
        y = recurrence(h, size, -torch.exp(p["scan/log_decay"]), b, c) + p["scan/skip"] * h
        return (y * silu(gate)) @ p["leave/kernel"]

    agrees.torch("nn.mamba", ours, theirs, X[..., :3], *leaves, source="loop in torch")


def test_no_output_sees_what_comes_later():
    layer = nn.mamba(4, states=2, chunk=3)
    params, state = layer.init(KEY)
    x = jax.random.normal(KEY, (1, 8, 4))
    seen = jax.jacobian(lambda x: layer.apply(params, state, x)[0][0].sum(-1))(x)[:, 0]
    reach = jnp.abs(seen).sum(-1)
    assert not np.triu(reach, 1).any()
    assert (np.tril(reach)[np.tril_indices(8)] > 0).all()


def test_first_step_sizes_are_between_a_thousandth_and_a_tenth():
    params, _ = nn.state_space(200).init(KEY)
    steps = jax.nn.softplus(params["step"]["bias"])
    assert 0.00099 < steps.min() < 0.0015
    assert 0.07 < steps.max() < 0.101


def test_memory_of_the_gradient_grows_with_time_and_not_with_its_states():
    layer = nn.state_space(32, states=16, chunk=32)
    params, state = jax.eval_shape(layer.init, KEY)

    def bytes_of(time):
        loss = lambda params, x: layer.apply(params, state, x)[0].sum()
        x = jax.ShapeDtypeStruct((1, time, 32), jnp.float32)
        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(params, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = bytes_of(2048), bytes_of(8192)
    assert large < 8192 * 32 * 16 * 4  # less than all states of all steps
    assert large < 4.4 * small


def test_empty_sequences_and_bad_input():
    layer = nn.state_space(5)
    params, state = layer.init(KEY)
    assert layer.apply(params, state, jnp.ones((2, 0, 5)))[0].shape == (2, 0, 5)
    with pytest.raises(ShapeError, match="must have shape"):
        layer.apply(params, state, jnp.ones((2, 5)))
    with pytest.raises(ValueError, match="at least 1"):
        nn.state_space(5, states=0)
