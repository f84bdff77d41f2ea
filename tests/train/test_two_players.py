"""Objectives that are no plain loss go through the same step: two players, each with its own gradient and optimizer."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import losses, nn, optim, train

GENERATOR, CRITIC = nn.dense(2, 3), nn.serial(nn.dense(3, 4), nn.tanh, nn.dense(4, 1))
X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)


def init(key):
    one, other = jax.random.split(key)
    return {"generator": GENERATOR.init(one)[0], "critic": CRITIC.init(other)[0]}, {}


def of_critic(critic, generator, key):
    made = GENERATOR.apply(generator, {}, jax.random.normal(key, (8, 2)))[0]
    score = lambda x: CRITIC.apply(critic, {}, x)[0]
    return losses.gan_discriminator(score(X), score(made)).mean()


def of_generator(generator, critic, key):
    made = GENERATOR.apply(generator, {}, jax.random.normal(key, (8, 2)))[0]
    return losses.gan_generator(CRITIC.apply(critic, {}, made)[0]).mean()


def both(params, state, batch, key):
    fixed = jax.lax.stop_gradient(params)
    critic = of_critic(params["critic"], fixed["generator"], key)
    return critic + of_generator(params["generator"], fixed["critic"], key), (state, {"critic": critic})


def test_a_sum_of_losses_moves_each_player_as_its_own_loss_would():
    optimizer = optim.groups({"critic/**": optim.sgd(0.5), "generator/**": optim.sgd(0.1)})
    step, state = train.make_train_step(both, optimizer), train.init_state(init, optimizer, seed=0)
    # Copies: the step reuses the memory of what it is given.
    players, key = (
        jax.tree.map(np.array, state.params),
        jax.random.wrap_key_data(np.array(jax.random.key_data(state.key))),
    )
    for i in range(3):
        noise = jax.random.fold_in(key, i)
        by_critic = jax.grad(of_critic)(players["critic"], players["generator"], noise)
        by_generator = jax.grad(of_generator)(players["generator"], players["critic"], noise)
        players = {
            "critic": jax.tree.map(lambda p, g: p - 0.5 * g, players["critic"], by_critic),
            "generator": jax.tree.map(lambda p, g: p - 0.1 * g, players["generator"], by_generator),
        }
        state, metrics = step(state, X)
        assert set(metrics) == {"loss", "critic"}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.params, players)
