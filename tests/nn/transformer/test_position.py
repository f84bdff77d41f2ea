"""Positions added to the input: rows of a table, and the sines of the published formula."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError

KEY = jax.random.key(0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sines_and_cosines_are_those_of_the_paper(agrees, dtype):
    dim, places = 6, [0, 1, 2, 50]
    want = np.zeros((4, dim))
    for row, place in enumerate(places):
        for i in range(dim // 2):
            want[row, 2 * i] = math.sin(place / 10000 ** (2 * i / dim))
            want[row, 2 * i + 1] = math.cos(place / 10000 ** (2 * i / dim))
    with jax.enable_x64(dtype == "float64"):
        agrees.values("nn.sinusoids", "closed form", nn.sinusoids(jnp.array(places), dim), want)
        x = jnp.zeros((1, 3, dim))
        layer = nn.sinusoidal_position(dim)
        y, _ = layer.apply({}, {}, x)
        agrees.values("nn.sinusoidal_position", "closed form", y[0], want[:3])
        y, _ = layer.apply({}, {}, x, jnp.array([[50, 0, 1]]))
        agrees.values("nn.sinusoidal_position", "closed form", y[0], want[[3, 0, 1]])
    with pytest.raises(ValueError, match="dim must be even, got 5"):
        nn.sinusoids(0, 5)
    with pytest.raises(ValueError, match="dim must be even, got 5"):
        nn.sinusoidal_position(5)


def test_sines_of_times_are_those_of_real_numbers():
    got = nn.sinusoids(jnp.array([[0.5], [0.25]]), 2)
    np.testing.assert_allclose(got[:, 0], [[math.sin(0.5), math.cos(0.5)], [math.sin(0.25), math.cos(0.25)]], rtol=1e-6)


def test_learned_positions_are_rows_of_the_table(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.learned_position(5, 3)
    table, x = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=(2, 4, 3))

    def theirs(table, x):
        return x + torch.nn.functional.embedding(torch.arange(4), table)

    agrees.torch("nn.learned_position", lambda table, x: layer.apply({"table": table}, {}, x)[0], theirs, table, x)


def test_packed_sequences_bring_their_own_positions():
    layer = nn.learned_position(3, 2)
    params, _ = layer.init(KEY)
    y, _ = layer.apply(params, {}, jnp.zeros((1, 5, 2)), jnp.array([[0, 1, 0, 1, 3]]))
    np.testing.assert_array_equal(y[0, :4], params["table"][jnp.array([0, 1, 0, 1])])
    assert jnp.isnan(y[0, 4]).all()


def test_bad_inputs_say_so():
    layer = nn.learned_position(3, 2)
    params, _ = layer.init(KEY)
    with pytest.raises(ShapeError, match="the context is 3 positions, the input has 4"):
        layer.apply(params, {}, jnp.ones((1, 4, 2)))
    with pytest.raises(DtypeError, match="positions must be integers"):
        layer.apply(params, {}, jnp.ones((1, 2, 2)), jnp.ones((1, 2)))
    with pytest.raises(ShapeError, match=r"positions must have shape \(1, 2\), got \(2,\)"):
        layer.apply(params, {}, jnp.ones((1, 2, 2)), jnp.array([0, 1]))
    with pytest.raises(ValueError, match="a cache of 4 positions is longer than the context of 3"):
        nn.cached(layer, 1, 4)
