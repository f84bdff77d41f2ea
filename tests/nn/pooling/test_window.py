"""Pools against XLA's own reduce_window, at ties, at the edges and in every derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fdl.checks import DtypeError, ShapeError
from fdl.nn.pooling.window import average_pool, max_pool

CASES = [  # space, window, stride, padding
    ((9,), 3, 2, 1),
    ((6, 4), 2, None, 0),
    ((7, 5), 2, None, 0),
    ((7, 6), 3, 2, 1),
    ((6, 5), (3, 2), (1, 2), 1),
    ((9, 8), (7, 5), (1, 2), 2),  # large: one axis after another
    ((4, 5, 6), 2, (2, 1, 2), 0),
]
every_case = pytest.mark.parametrize(("space", "window", "stride", "padding"), CASES, ids=str)


def by_reduce_window(x, window, stride, padding, kind):
    rank = x.ndim - 2
    each = lambda n: (n,) * rank if isinstance(n, int) else n
    window, stride = each(window), each(window if stride is None else stride)
    pads = [(0, 0), *[(padding, padding)] * rank, (0, 0)] if isinstance(padding, int) else padding.upper()
    run = lambda x, start, op: lax.reduce_window(x, start, op, (1, *window, 1), (1, *stride, 1), pads)
    if kind == "max":
        return run(x, -jnp.inf, lax.max)
    return run(x, 0.0, lax.add) / run(jnp.ones_like(x), 0.0, lax.add)


def image(space, dtype=jnp.float64):
    return jax.random.normal(jax.random.key(1), (2, *space, 3), dtype)


@every_case
@pytest.mark.parametrize("kind", ["max", "average"])
def test_values_and_gradients_are_those_of_reduce_window(space, window, stride, padding, kind):
    with jax.enable_x64(True):
        x, pool = image(space), max_pool if kind == "max" else average_pool
        run = lambda f: jax.jit(lambda x: (f(x), jax.grad(lambda x: jnp.sum(jnp.sin(f(x))))(x)))(x)
        ours = run(lambda x: pool(x, window, stride=stride, padding=padding))
        theirs = run(lambda x: by_reduce_window(x, window, stride, padding, kind))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "window", "stride"), [(7, 3, 2), (8, 3, 2), (5, 2, 1), (6, 4, 3), (5, 2, 3)])
def test_same_padding_is_that_of_xla(size, window, stride):
    x = image((size, size), jnp.float32)
    for kind, pool in {"max": max_pool, "average": average_pool}.items():
        ours = jax.jit(partial(pool, window=window, stride=stride, padding="same"))(x)
        np.testing.assert_allclose(ours, by_reduce_window(x, window, stride, "same", kind), rtol=1e-5, atol=1e-6)


def test_first_of_equal_cells_takes_the_gradient():
    grad = jax.grad(lambda x: jnp.sum(max_pool(x, 2)))(jnp.ones((1, 2, 4, 1)))
    np.testing.assert_array_equal(grad[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])


def test_forward_mode_and_second_derivatives():
    with jax.enable_x64(True):
        x = image((5, 6))
        direction = jnp.cos(x)
        for kind, pool in {"max": max_pool, "average": average_pool}.items():
            ours = lambda x, pool=pool: jnp.sum(jnp.sin(pool(x, 3, stride=2, padding=1)))
            theirs = lambda x, kind=kind: jnp.sum(jnp.sin(by_reduce_window(x, 3, 2, 1, kind)))
            slope = lambda x, f=ours: jax.jvp(f, (x,), (direction,))[1]
            forward = jax.jit(lambda x, f=ours: jax.jvp(jax.grad(f), (x,), (direction,))[1])(x)
            reverse = jax.jit(jax.grad(lambda x, f=ours: jnp.vdot(jax.grad(f)(x), direction)))(x)
            oracle = jax.jit(jax.grad(theirs))
            numeric = (oracle(x + 1e-6 * direction) - oracle(x - 1e-6 * direction)) / 2e-6
            np.testing.assert_allclose(jax.jit(slope)(x), np.vdot(oracle(x), direction), rtol=1e-10)
            np.testing.assert_allclose(forward, numeric, atol=1e-8)
            np.testing.assert_allclose(reverse, numeric, atol=1e-8)


def test_vmap_and_scan():
    x = image((6, 6), jnp.float32)
    grad = jax.jit(jax.grad(lambda x: jnp.sum(max_pool(x, 3, stride=2) ** 2)))
    np.testing.assert_array_equal(jax.vmap(lambda one: grad(one[None])[0])(x), grad(x))
    np.testing.assert_array_equal(lax.scan(lambda c, one: (c, grad(one[None])[0]), 0, x)[1], grad(x))


@pytest.mark.parametrize("where", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_is_not_hidden(where):
    x = jnp.zeros((1, 2, 2, 1)).at[0, *where, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x, 2)).all()


def test_padding_never_wins():
    x = jnp.full((1, 2, 2, 1), -jnp.finfo(jnp.float32).max)
    np.testing.assert_array_equal(max_pool(x, 2, stride=1, padding=1), x[0, 0, 0, 0])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_short_floats_stay_short_and_are_summed_long(dtype):
    x = jnp.ones((1, 64, 64, 1), dtype)
    assert max_pool(x, 2).dtype == dtype
    mean = jax.jit(lambda x: average_pool(x, 64))(x)
    assert mean.dtype == dtype
    assert mean.item() == 1.0


@pytest.mark.parametrize(
    ("shape", "window", "options", "words"),
    [
        ((1, 3, 3, 1), 4, {}, "must fit"),
        ((1, 3, 3, 1), 2, {"padding": 2}, "smaller than the window"),
        ((1, 3, 3, 1), (2, 2, 2), {}, "window must be"),
        ((1, 3, 3, 1), 2, {"stride": 0}, "stride must be"),
        ((3, 3), 2, {}, "x\\[None\\]"),
    ],
)
def test_wrong_shapes_say_what_to_do(shape, window, options, words):
    for pool in (max_pool, average_pool):
        with pytest.raises(ShapeError, match=words):
            pool(jnp.zeros(shape), window, **options)


def test_integers_are_refused():
    with pytest.raises(DtypeError, match="floating"):
        max_pool(jnp.zeros((1, 4, 4, 1), jnp.uint8), 2)
