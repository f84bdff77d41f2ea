"""Sums a channel and their transpose, against NumPy, and as each other's derivatives."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from fdl import nn
from fdl.compile import compile
from fdl.nn.channels import channel_mean, channel_sum, per_channel

KEY = jax.random.key(0)


SHAPES = [(7,), (5, 3), (1, 3), (257, 2), (768, 3), (8, 650, 2), (6, 10, 4), (3, 4, 5, 2), (0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_equal_numpy(shape):
    x = jax.random.normal(KEY, shape)
    for call in (channel_sum, jax.jit(channel_sum)):
        np.testing.assert_allclose(
            call(x), np.asarray(x, np.float64).reshape(-1, shape[-1]).sum(0), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("shape", [(5, 3), (768, 3), (8, 650, 2), (3, 256, 4), (2, 2053, 2), (0, 3)])
def test_the_sum_of_a_shared_gradient_equals_numpy(shape):
    x, c = jax.random.normal(KEY, shape), jnp.ones(shape[-1])
    loss = lambda c: jnp.sum(x * per_channel(c, x, shared=True))
    np.testing.assert_allclose(
        jax.jit(jax.grad(loss))(c), np.asarray(x, np.float64).reshape(-1, shape[-1]).sum(0), rtol=1e-5, atol=1e-4
    )
    chex.assert_trees_all_close(jax.jvp(jax.grad(loss), (c,), (c,))[1], jnp.zeros_like(c))


@pytest.mark.parametrize("shape", [(50, 64), (256, 3), (515, 4), (1, 5)])
@pytest.mark.parametrize("shared", [True, False])
def test_each_of_a_batch_of_sums_has_the_bits_of_it_alone(compiled_as_for_users, shape, shared):
    of_bias = lambda x: jax.grad(lambda c: jnp.sum(jnp.sin(x) * per_channel(c, x, shared=shared)))(jnp.ones(shape[-1]))
    x = jax.random.normal(KEY, (3, *shape))
    alone = compile(of_bias)
    np.testing.assert_array_equal(compile(jax.vmap(of_bias))(x), jnp.stack([alone(each) for each in x]))


def test_a_shared_gradient_is_read_as_it_lies():
    x = jnp.ones((3, 256, 4))
    program = jax.jit(jax.grad(lambda c: jnp.sum(x * per_channel(c, x, shared=True)))).lower(jnp.ones(4)).as_text()
    assert "(tensor<3x768xf32>, tensor<768x4xf32>)" in program


def test_sixteen_bits_are_summed_in_thirty_two():
    assert (channel_sum(jnp.ones((4096, 2), jnp.bfloat16)) == 4096).all()
    assert channel_sum(jnp.ones((4, 2), jnp.bfloat16)).dtype == jnp.bfloat16


def test_each_is_the_transpose_of_the_other():
    x, c = jax.random.normal(KEY, (4, 5, 3)), jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(jnp.vdot(per_channel(c, x), x), jnp.vdot(c, channel_sum(x)), rtol=1e-5)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.vdot(channel_sum(x), c))(x), jnp.broadcast_to(c, x.shape))
    np.testing.assert_allclose(jax.grad(lambda c: jnp.vdot(per_channel(c, x), x))(c), channel_sum(x), rtol=1e-6)


def test_every_derivative_and_transform_works():
    x, c = jax.random.normal(KEY, (4, 5, 3)), jnp.array([1.0, 2.0, 3.0])
    ours = lambda c: jnp.sum(jnp.sin(channel_mean(jnp.square(x * per_channel(c, x)))))
    plain = lambda c: jnp.sum(jnp.sin(jnp.mean(jnp.square(x * c[None, None]), (0, 1))))
    for derive in (jax.grad, jax.jacfwd, jax.hessian, lambda f: jax.jacrev(jax.jacfwd(f))):
        chex.assert_trees_all_close(derive(ours)(c), derive(plain)(c), rtol=1e-4, atol=1e-5)
    cs, xs = jnp.stack([c, 2 * c]), jnp.stack([x, -x])
    np.testing.assert_allclose(jax.vmap(jax.grad(ours))(cs)[1], jax.grad(plain)(2 * c), rtol=1e-4)
    alone = jnp.stack([channel_sum(x[:, i]) for i in range(5)])
    np.testing.assert_allclose(jax.vmap(channel_sum, in_axes=1)(x), alone, rtol=1e-5)
    np.testing.assert_array_equal(jax.vmap(per_channel)(cs, xs)[1], per_channel(2 * c, x))
    assert jax.lax.scan(lambda c, _: (jax.checkpoint(jax.grad(ours))(c), None), c, None, length=2)[0].shape == (3,)


def test_a_shared_bias_gets_the_sum_over_all_shards():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    x, c = jax.random.normal(KEY, (4, 3)), jnp.ones(3)
    split = jax.shard_map(
        lambda x, c: jax.grad(lambda c: jnp.sum(x * per_channel(c, x)))(c),
        mesh=mesh,
        in_specs=(PartitionSpec("data"), PartitionSpec()),
        out_specs=PartitionSpec(),
    )
    np.testing.assert_allclose(jax.jit(split)(x, c), channel_sum(x), rtol=1e-6)


def test_second_derivatives_of_batch_norm_are_those_of_its_formula():
    layer = nn.batch_norm(3)
    with jax.enable_x64(True):
        x, w = jax.random.normal(KEY, (2, 5, 4, 3), jnp.float64)
        params = {"scale": jnp.array([0.5, 1.0, 2.0]), "bias": jnp.array([1.0, 0.0, -1.0])}
        state = {"mean": jnp.zeros(3), "var": jnp.ones(3)}

        def ours(free):
            y, _ = layer.apply(free["params"], state, free["x"], train=True)
            return jnp.sum(jnp.sin(y) * w)

        def formula(free):
            mean, var = free["x"].mean((0, 1), keepdims=True), free["x"].var((0, 1), keepdims=True)
            scale, bias = (free["params"][name][None, None] for name in ("scale", "bias"))
            return jnp.sum(jnp.sin((free["x"] - mean) / jnp.sqrt(var + 1e-5) * scale + bias) * w)

        free = {"params": params, "x": x}
        along = jax.tree.map(lambda leaf: jnp.cos(leaf), free)
        chex.assert_trees_all_close(jax.grad(ours)(free), jax.grad(formula)(free), rtol=1e-9, atol=1e-11)
        for f in (lambda f: jax.jvp(jax.grad(f), (free,), (along,)), lambda f: jax.jvp(f, (free,), (along,))):
            chex.assert_trees_all_close(f(ours), f(formula), rtol=1e-8, atol=1e-10)
        twice = lambda f: jax.grad(lambda free: sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(f)(free))))(free)
        chex.assert_trees_all_close(twice(ours), twice(formula), rtol=1e-7, atol=1e-9)


def test_no_gradient_flows_through_the_running_moments():
    layer = nn.batch_norm(2)
    params, state = layer.init(KEY)
    x = jax.random.normal(KEY, (6, 2))
    grads = jax.grad(lambda x: jnp.sum(layer.apply(params, state, x, train=True)[1]["var"]))(x)
    np.testing.assert_array_equal(grads, jnp.zeros_like(x))
