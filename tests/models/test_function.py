"""A net is a function: the same again under every transformation, with no trace left; each weight has a path."""

import pickle
import random

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses, models, nn, tree

NET = nn.serial(nn.dense(3, 4), nn.tanh, out=nn.dense(4, 2))
SPIKING = models.spiking_net(3, 4, 2, steps=3)
X = jax.random.normal(jax.random.key(1), (5, 3))


@pytest.mark.parametrize("net", [NET, SPIKING], ids=["dense", "spiking"])
def test_the_same_again_under_every_transformation(net):
    params, state = net.init(jax.random.key(0))
    chex.assert_trees_all_equal((params, state), net.init(jax.random.key(0)))
    say = lambda x: net.apply(params, {}, x)[0]
    first = say(X)
    net.apply(net.init(jax.random.key(9))[0], {}, X + 1)  # another call between
    chex.assert_trees_all_equal(say(X), first)
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(net)).apply(params, {}, X)[0], first)
    one = lambda x: say(x[None])[..., 0, :]
    scanned = jnp.moveaxis(jax.lax.scan(lambda _, x: (None, one(x)), None, X)[1], 0, -2)
    for other in (jax.jit(say)(X), jax.vmap(one, out_axes=-2)(X), scanned):
        chex.assert_trees_all_close(other, first, atol=1e-6)


def test_a_call_leaves_nothing_behind():
    params, _ = NET.init(jax.random.key(0))
    before = tree.digest(params), random.getstate(), pickle.dumps(np.random.get_state()), dict(jax.config.values)
    jax.grad(lambda params: NET.apply(params, {}, X, train=True)[0].sum())(params)
    assert (
        tree.digest(params),
        random.getstate(),
        pickle.dumps(np.random.get_state()),
        dict(jax.config.values),
    ) == before


def test_the_derivative_by_any_one_weight_is_its_difference_quotient():
    with jax.enable_x64(True):
        params = tree.cast(NET.init(jax.random.key(0))[0], jnp.float64)
        x, label = X.astype(jnp.float64), jnp.array([0, 1, 0, 1, 1])
        loss = jax.jit(lambda params: losses.cross_entropy(NET.apply(params, {}, x)[0], label).mean())
        for path, grad in tree.flatten(jax.grad(loss)(params)).items():
            for at in np.ndindex(grad.shape):
                moved = lambda h, path=path, at=at: tree.map_with_path(
                    lambda p, leaf: leaf.at[at].add(h) if p == path else leaf, params
                )
                quotient = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5
                assert abs(grad[at] - quotient) < 1e-8, (path, at)
