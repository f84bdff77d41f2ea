"""New objectives need no new trainer: a loss is a pure function, loss_fn(params, state, batch, key) -> (loss, rest).

*A bound.*  A variational autoencoder makes an upper bound of -log p(x) small.  Here the model is linear, x = W z + b +
noise, so that -log p(x) is known exactly: the bound is never below it, and a trained encoder closes the gap.

*Two players.*  In a game each player has a loss of its own, and the gradient of one must not reach the other's
parameters.  Add the two losses and stop the gradient where the other player's parameters enter: the gradient of the
sum is then, part by part, that of each player alone.  Two optimizers, by pattern, let one be faster than the other.

Both go through the same `make_train_step` as a classifier.  The full systems are rows 76 and 78.
"""

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train

NOISE, STEPS = 0.5, 4000
ENCODER, DECODER = nn.dense(6, 4), nn.dense(2, 6)
GENERATOR = nn.dense(1, 1)
CRITIC = nn.serial(nn.dense(1, 32), nn.tanh, nn.dense(32, 1))


def joined(**models: nn.Layer):
    """One init for several models, each under its name."""

    def init(key):
        keys = jax.random.split(key, len(models))
        return {name: model.init(key)[0] for (name, model), key in zip(models.items(), keys)}, {}

    return init


def bound(params, state, batch, key):
    """The negative evidence lower bound of a linear Gaussian model, with one sample of z."""
    mean, log_var = jnp.split(ENCODER.apply(params["encoder"], {}, batch["x"])[0], 2, axis=-1)
    z = mean + jnp.exp(log_var / 2) * jax.random.normal(key, mean.shape)
    x = DECODER.apply(params["decoder"], {}, z)[0]
    reconstruction = losses.gaussian_nll(x, batch["x"], jnp.full_like(x, 2 * np.log(NOISE)), full=True).sum(-1)
    return losses.negative_elbo(reconstruction, mean, log_var).mean(), (state, {})


def exact(params, x) -> float:
    """-log p(x) of that model: x is normal with covariance W Wᵀ + noise²."""
    w, b = (np.asarray(params["decoder"][name], np.float64) for name in ("kernel", "bias"))
    covariance = w.T @ w + NOISE**2 * np.eye(6)
    square = np.einsum("ni,ij,nj->n", x - b, np.linalg.inv(covariance), x - b)
    return float((square + np.linalg.slogdet(2 * np.pi * covariance)[1]).mean() / 2)


def game(params, state, batch, key):
    """The losses of both players; each sees the other's parameters as constants."""
    fixed = jax.lax.stop_gradient(params)
    made = lambda params: GENERATOR.apply(params["generator"], {}, jax.random.normal(key, batch["x"].shape))[0]
    score = lambda params, x: CRITIC.apply(params["critic"], {}, x)[0]
    critic = losses.gan_discriminator(score(params, batch["x"]), score(params, made(fixed))).mean()
    generator = losses.gan_generator(score(fixed, made(params))).mean()
    return critic + generator, (state, {"critic": critic, "generator": generator})


def trained(loss_fn, init, optimizer, x, seed):
    """The state after so many steps, whatever the loss."""
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(init, optimizer, seed=seed)
    return train.run(step, state, data.shuffled({"x": x}, batch=200, seed=seed), STEPS)[0]


def of_the_bound(seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(2, 6))
    x = (rng.normal(size=(4000, 2)) @ w + NOISE * rng.normal(size=(4000, 6))).astype(np.float32)
    init = joined(encoder=ENCODER, decoder=DECODER)
    measured = lambda params, key: float(jax.jit(bound)(params, {}, {"x": jnp.asarray(np.tile(x, (25, 1)))}, key)[0])
    first = init(jax.random.key(seed))[0]
    last = trained(bound, init, optim.adam(optim.cosine(1e-2, STEPS)), x, seed).params
    gaps = [measured(params, jax.random.key(seed)) - exact(params, x) for params in (first, last)]
    truth = exact({"decoder": {"kernel": w, "bias": np.zeros(6)}}, x)
    return {"gap_before": gaps[0], "gap_after": gaps[1], "above_truth": exact(last, x) - truth}


def of_the_game(seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 0.5, (4000, 1)).astype(np.float32)
    init = joined(generator=GENERATOR, critic=CRITIC)
    params, batch, key = init(jax.random.key(seed))[0], {"x": jnp.asarray(x[:200])}, jax.random.key(seed)
    alone = lambda name: jax.grad(lambda p: game(params | {name: p[name]}, {}, batch, key)[1][1][name])(params)[name]
    both = jax.grad(lambda p: game(p, {}, batch, key)[0])(params)
    apart = lambda name: jax.tree.leaves(jax.tree.map(lambda a, b: jnp.abs(a - b).max(), both[name], alone(name)))
    optimizer = optim.groups({"critic/**": optim.adam(1e-2, b1=0.5), "generator/**": optim.adam(2e-3, b1=0.5)})
    last = trained(game, init, optimizer, x, seed).params["generator"]
    return {
        "players_apart": float(max(*apart("critic"), *apart("generator"))),
        "mean_error": abs(float(last["bias"][0]) - 3.0),
        "std_error": abs(abs(float(last["kernel"][0, 0])) - 0.5),
    }


def run(seed, folder):
    return Outcome(of_the_bound(seed) | of_the_game(seed), steps=2 * STEPS)


ROW = Row(
    rows=("54",),
    title="New objectives through the one train step",
    figures=(
        Figure("gap_before", "bound - exact -log p(x) before training, nats", "≥ 0", low=0),
        Figure("gap_after", "the same after training", "0 with the best encoder", low=-0.02, high=0.1),
        Figure("above_truth", "-log p(x) of the trained model above that of the true one, nats", "0", high=0.1),
        Figure("players_apart", "gradient of the sum against that of each player alone", "0", high=1e-6),
        Figure("mean_error", "error of the mean of what the generator makes, true 3", "0", high=0.2),
        Figure("std_error", "error of its standard deviation, true 0.5", "0", high=0.2),
    ),
    run=run,
    budget=20,
    seeds=(0, 1, 2),
    note="A demonstration of the interface on data whose answer is known; the systems themselves are rows 76 and 78.",
)
