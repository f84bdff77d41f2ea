"""Every form of long short-term memory against torch or the equations of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from tests.nn.recurrent.by_torch import call, flat, loop, normal, runs, weights


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("out_dim", [None, 3], ids=["plain", "projected"])
def test_lstm_is_that_of_torch(agrees, out_dim):
    pytest.importorskip("torch")
    layer = nn.unroll(nn.lstm(5, 4, out_dim=out_dim), carried=True)
    arrays, params_of = flat(layer)
    x, h, c = normal(8, 2, 6, 5), normal(9, 2, out_dim or 4), normal(10, 2, 4)

    def ours(*arrays):
        *arrays, x, h, c = arrays
        (y, last), _ = layer.apply(params_of(arrays), {}, x, {"h": h, "c": c})
        return y, last["h"], last["c"]

    def theirs(*arrays):
        *arrays, x, h, c = arrays
        named = weights("LSTM", params_of(list(arrays)))
        y, (h, c) = call("LSTM", named, x, (h[None], c[None]), proj_size=out_dim or 0)
        return y, h[0], c[0]

    agrees.torch(f"nn.lstm{', projected' * bool(out_dim)}", ours, theirs, *arrays, x, h, c)


@pytest.mark.parametrize("peepholes", [False, True], ids=["", "with peepholes"])
@pytest.mark.parametrize("forget_gate", [False, True], ids=["1997", "2000"])
def test_lstm_is_that_of_its_papers(agrees, forget_gate, peepholes):
    torch = pytest.importorskip("torch")
    layer = nn.unroll(nn.lstm(3, 4, forget_gate=forget_gate, peepholes=peepholes))
    arrays, params_of = flat(layer)
    gates = ["input", "forget", "candidate", "output"] if forget_gate else ["input", "candidate", "output"]

    def theirs(*arrays):
        *arrays, x = arrays
        params = params_of(list(arrays))
        split = lambda array: dict(zip(gates, array.split(4, -1)))
        w, b, u = (split(params[k][v]) for k, v in [("input", "kernel"), ("input", "bias"), ("recurrent", "kernel")])
        see = lambda gate, c: params["peephole"][gate] * c if peepholes else 0

        def step(carry, x):
            h, c = carry
            net = {gate: x @ w[gate] + h @ u[gate] + b[gate] for gate in gates}
            kept = torch.sigmoid(net["forget"] + see("forget", c)) * c if forget_gate else c
            c = kept + torch.sigmoid(net["input"] + see("input", c)) * torch.tanh(net["candidate"])
            h = torch.sigmoid(net["output"] + see("output", c)) * torch.tanh(c)
            return (h, c), h

        start = torch.zeros(2, 4, dtype=x.dtype)
        return loop(step, (start, start), x)[0]

    subject = f"nn.lstm, {'with' if forget_gate else 'without'} forget gate{', peepholes' * peepholes}"
    args = runs(layer, params_of, len(arrays)), theirs, *arrays, normal(20, 2, 5, 3)
    agrees.torch(subject, *args, source="the equations of the papers")


@pytest.mark.parametrize("peepholes", [False, True, (3, 4)], ids=["", "a channel", "a cell"])
def test_conv_lstm_is_that_of_its_paper(agrees, peepholes):
    torch = pytest.importorskip("torch")
    layer = nn.unroll(nn.conv_lstm(2, 3, 3, peepholes=peepholes))
    arrays, params_of = flat(layer)

    def theirs(*arrays):
        *arrays, x = arrays
        params = params_of(list(arrays))
        channels_first = lambda a: a.movedim(-1, -3)

        def product(a, kernel, bias=None):
            return torch.nn.functional.conv2d(a, kernel.permute(3, 2, 0, 1), bias, padding=1)

        def see(gate, c):
            if not peepholes:
                return 0
            weight = params["peephole"][gate]
            return (channels_first(weight) if weight.ndim == 3 else weight[:, None, None]) * c

        def step(carry, x):
            h, c = carry
            net = product(channels_first(x), params["input"]["kernel"], params["input"]["bias"])
            i, f, g, o = (net + product(h, params["recurrent"]["kernel"])).split(3, 1)
            c = torch.sigmoid(f + see("forget", c)) * c + torch.sigmoid(i + see("input", c)) * torch.tanh(g)
            h = torch.sigmoid(o + see("output", c)) * torch.tanh(c)
            return (h, c), h.movedim(1, -1)

        start = torch.zeros(2, 3, 3, 4, dtype=x.dtype)
        return loop(step, (start, start), x)[0]

    what = {False: "", True: ", peepholes a channel"}.get(peepholes, ", peepholes a cell")
    args = runs(layer, params_of, len(arrays)), theirs, *arrays, normal(20, 2, 3, 3, 4, 2)
    agrees.torch(f"nn.conv_lstm{what}", *args, source="equation 3 of the paper by torch's convolution")


def test_the_error_carousel_of_1997_passes_gradients_on_unchanged():
    cell = nn.lstm(2, 3, forget_gate=False)
    params, _ = cell.init(jax.random.key(0))
    # With no recurrent kernel the only way from the first carry to the last is the sum in c.
    params["recurrent"]["kernel"] = jnp.zeros((3, 9))
    run = nn.unroll(cell, carried=True)
    x = jax.random.normal(jax.random.key(1), (1, 50, 2))
    last = lambda c: run.apply(params, {}, x, {"h": jnp.zeros((1, 3)), "c": c})[0][1]["c"]
    np.testing.assert_array_equal(jax.jacobian(last)(jnp.ones((1, 3)))[0, :, 0], jnp.eye(3))


def test_the_forget_gate_starts_open():
    params, _ = nn.lstm(2, 3).init(jax.random.key(0))
    np.testing.assert_array_equal(params["input"]["bias"], [0] * 3 + [1] * 3 + [0] * 6)
    params, _ = nn.conv_lstm(2, 1, 3, forget_bias=0.5).init(jax.random.key(0))
    np.testing.assert_array_equal(params["input"]["bias"], [0, 0.5, 0, 0])


def test_cells_print_their_call():
    assert repr(nn.lstm(2, 3, peepholes=True)) == "lstm(in_dim=2, dim=3, peepholes=True)"
    assert nn.lstm(2, 3) == nn.lstm(2, 3, forget_gate=True) != nn.lstm(2, 3, forget_gate=False)
    assert nn.unroll(nn.lstm(2, 3)) == nn.unroll(nn.lstm(2, 3))
