"""The cells of winners and the way back: each the transpose of the other, whatever window and stride."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.nn.pooling.cells import interleave, take

CASES = [((9,), (3,), (2,)), ((8,), (2,), (3,)), ((7, 6), (3, 2), (1, 2)), ((5, 4, 6), (2, 3, 2), (2, 1, 3))]


def drawn(space, window, stride):
    counts = [(n - w) // s + 1 for n, w, s in zip(space, window, stride)]
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = (jax.random.normal(key, (2, *size, 3)) for key, size in zip(keys, (space, counts)))
    return x, y, jax.random.randint(keys[2], y.shape, 0, np.prod(window), jnp.int8)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_winners_are_taken_and_put_back(case):
    (_, window, stride), (x, y, winner) = case, drawn(*case)
    found, back = jax.vjp(lambda x: take(x, winner, window, stride), x)
    wanted, put = np.zeros(y.shape), np.zeros(x.shape)
    for n, *at, channel in np.ndindex(y.shape):
        cell = np.unravel_index(int(winner[(n, *at, channel)]), window)
        place = (n, *(a * s + c for a, s, c in zip(at, stride, cell)), channel)
        wanted[(n, *at, channel)] = x[place]
        put[place] += y[(n, *at, channel)]
    np.testing.assert_array_equal(found, np.float32(wanted))
    np.testing.assert_allclose(back(y)[0], put, rtol=1e-6, atol=1e-6)


def test_derivatives_of_every_order_and_vmap_are_of_the_same_two_maps():
    (_, window, stride), (x, y, winner) = CASES[2], drawn(*CASES[2])
    f = lambda x: jnp.vdot(jnp.sin(take(x, winner, window, stride)), y)
    seen = take(x, winner, window, stride)
    curved = jax.jvp(jax.grad(f), (x,), (x,))[1]
    closed = jax.vjp(lambda x: take(x, winner, window, stride), x)[1](-jnp.sin(seen) * y * seen)[0]
    np.testing.assert_allclose(curved, closed, rtol=1e-5, atol=1e-6)
    xs, winners = jnp.stack([x, 2 * x]), jnp.stack([winner, winner[::-1]])
    both = jax.vmap(lambda x, winner: jax.grad(lambda x: jnp.vdot(take(x, winner, window, stride) ** 2, y))(x))
    alone = jax.grad(lambda x: jnp.vdot(take(x, winners[1], window, stride) ** 2, y))(xs[1])
    np.testing.assert_allclose(both(xs, winners)[1], alone, rtol=1e-6)
    shared = jax.vmap(lambda x: take(x, winner, window, stride))(xs)
    np.testing.assert_array_equal(shared[1], 2 * seen)


def test_phases_are_interleaved_rows_first():
    grid = jnp.arange(30.0).reshape(1, 5, 6, 1)
    padded = jnp.pad(grid, ((0, 0), (0, 1), (0, 0), (0, 0)))
    phases = [padded[:, i::2, j::3] for i in range(2) for j in range(3)]
    np.testing.assert_array_equal(interleave(phases, (2, 3), (5, 6)), grid)
