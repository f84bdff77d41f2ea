"""Both forms of the gated recurrent unit, and the minimal one."""

import pytest

from fdl import nn
from tests.nn.recurrent.by_torch import call, flat, loop, normal, runs, weights


def test_gru_with_reset_after_the_product_is_that_of_torch(agrees):
    pytest.importorskip("torch")
    layer = nn.unroll(nn.gru(3, 4), carried=True)
    arrays, params_of = flat(layer)
    x, h = normal(8, 2, 5, 3), normal(9, 2, 4)

    def ours(*arrays):
        *arrays, x, h = arrays
        return runs(layer, params_of, 4)(*arrays, x, {"h": h})

    def theirs(*arrays):
        *arrays, x, h = arrays
        y, last = call("GRU", weights("GRU", params_of(list(arrays))), x, h[None])
        return y, last[0]

    agrees.torch("nn.gru", ours, theirs, *arrays, x, h)


def test_gru_with_reset_before_the_product_is_that_of_the_paper(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.unroll(nn.gru(3, 4, reset_after=False))
    arrays, params_of = flat(layer)

    def theirs(*arrays):
        *arrays, x = arrays
        params = params_of(list(arrays))
        wr, wz, w = params["input"]["kernel"].split(4, 1)
        br, bz, b = params["input"]["bias"].split(4)
        ur, uz, u = params["recurrent"]["kernel"].split(4, 1)

        def step(h, x):
            r = torch.sigmoid(x @ wr + h @ ur + br)
            z = torch.sigmoid(x @ wz + h @ uz + bz)
            candidate = torch.tanh(x @ w + (r * h) @ u + b)
            h = z * h + (1 - z) * candidate
            return h, h

        return loop(step, torch.zeros(2, 4, dtype=x.dtype), x)[0]

    source = "equations 5 to 8 of the paper"
    agrees.torch("nn.gru, reset before", runs(layer, params_of, 3), theirs, *arrays, normal(8, 2, 5, 3), source=source)


def test_minimal_gated_unit_is_that_of_the_paper(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.unroll(nn.minimal_gated_unit(3, 4))
    arrays, params_of = flat(layer)

    def theirs(*arrays):
        *arrays, x = arrays
        params = params_of(list(arrays))
        kernel, bias = torch.cat([params["recurrent"]["kernel"], params["input"]["kernel"]]), params["input"]["bias"]

        def step(h, x):
            f = torch.sigmoid(torch.cat([h, x], 1) @ kernel[:, :4] + bias[:4])
            candidate = torch.tanh(torch.cat([f * h, x], 1) @ kernel[:, 4:] + bias[4:])
            h = (1 - f) * h + f * candidate
            return h, h

        return loop(step, torch.zeros(2, 4, dtype=x.dtype), x)[0]

    source = "algorithm 1 of the paper"
    args = runs(layer, params_of, 3), theirs, *arrays, normal(8, 2, 5, 3)
    agrees.torch("nn.minimal_gated_unit", *args, source=source)
