"""Games of two networks: the losses of either side, from the discriminator's scores (logits, not probabilities)."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_key, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair
from fdl.nn.activations.softplus import softplus

Game = Literal["non_saturating", "minimax", "hinge", "wasserstein", "least_squares"]

# For scores r of real and f of made examples: the terms of the discriminator for r and f, and that of the generator.
_GAMES = {
    "non_saturating": (lambda r: softplus(-r), softplus, lambda f: softplus(-f)),
    "minimax": (lambda r: softplus(-r), softplus, lambda f: -softplus(f)),
    "hinge": (lambda r: jax.nn.relu(1 - r), lambda f: jax.nn.relu(1 + f), lambda f: -f),
    "wasserstein": (lambda r: -r, lambda f: f, lambda f: -f),
    "least_squares": (lambda r: jnp.square(r - 1) / 2, lambda f: jnp.square(f) / 2, lambda f: jnp.square(f - 1) / 2),
}


def gan_discriminator(
    real: ArrayLike, fake: ArrayLike, *, game: Game = "non_saturating", where: ArrayLike | None = None
) -> jax.Array:
    """What the discriminator makes small, from its scores of real and of made examples.  (shape), (shape) -> (shape)

    non_saturating, minimax  -log p(real) - log(1 - p(fake)), p = sigmoid    https://arxiv.org/abs/1406.2661
    hinge                    max(0, 1 - real) + max(0, 1 + fake)             https://arxiv.org/abs/1705.02894
    wasserstein              fake - real                                     https://arxiv.org/abs/1701.07875
    least_squares            ½ (real - 1)² + ½ fake²                         https://arxiv.org/abs/1611.04076
    """
    of_real, of_fake, _ = _game(game)
    require_pair(real, fake, "real")
    keep = require_mask(where, jnp.shape(real))
    real, fake = keep_only(keep, *promote(real, fake))
    return masked(keep, of_real(real) + of_fake(fake))


def gan_generator(fake: ArrayLike, *, game: Game = "non_saturating", where: ArrayLike | None = None) -> jax.Array:
    """What the generator makes small, from the discriminator's scores of its examples.  (shape) -> (shape)

    non_saturating      -log p(fake), whose gradient does not vanish where the discriminator is sure
    minimax             log(1 - p(fake))
    hinge, wasserstein  -fake
    least_squares       ½ (fake - 1)²
    """
    _, _, of_generator = _game(game)
    require_float(fake, "fake")
    keep = require_mask(where, jnp.shape(fake))
    (fake,) = keep_only(keep, *promote(fake))
    return masked(keep, of_generator(fake))


def gradient_penalty(
    critic: Callable[[jax.Array], jax.Array], real: ArrayLike, fake: ArrayLike, key: jax.Array
) -> jax.Array:
    """(|∇ critic(x)| - 1)² at a random point x between each real and its made example.  (batch, ...) x 2 -> (batch,)

    critic gives one score for each example, (batch, ...) -> (batch,), each from its own example alone: no batch norm.
    The paper adds 10 times its mean to the loss of the critic.  https://arxiv.org/abs/1704.00028
    """
    require_key(key)
    require_pair(real, fake, "real")
    require_shape(real, None, ..., name="real", hint="the first axis is the batch")
    real, fake = promote(real, fake)
    batch = real.shape[0]
    part = jax.random.uniform(key, (batch,) + (1,) * (real.ndim - 1), real.dtype)

    def total(x):
        scores = critic(x)
        require_shape(scores, batch, name="what critic returns", hint="one score for each example")
        return jnp.sum(scores)

    slope = jax.grad(total)(fake + part * (real - fake)).reshape(batch, -1)
    square = jnp.sum(jnp.square(slope), axis=-1)
    flat = square == 0  # where the length has no gradient of its own
    return jnp.square(jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, square))) - 1)


def _game(name: str) -> tuple[Callable, Callable, Callable]:
    if name not in _GAMES:
        raise ValueError(f"game must be one of {', '.join(_GAMES)}, got {name!r}")
    return _GAMES[name]
