"""The games of generators and discriminators against torch, and the slope of a critic against closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import gan_discriminator, gan_generator, gradient_penalty

REAL, FAKE = np.random.default_rng(0).normal(0, 2, (2, 6))
KEY = jax.random.key(0)


def games(torch):
    """For each game what the discriminator and the generator make small, as the papers write it."""
    log, p = torch.log, torch.sigmoid
    minimax = lambda r, f: -log(p(r)) - log(1 - p(f))
    return {
        "minimax": (minimax, lambda f: log(1 - p(f))),
        "non_saturating": (minimax, lambda f: -log(p(f))),
        "hinge": (lambda r, f: -torch.clamp(r - 1, max=0) - torch.clamp(-1 - f, max=0), lambda f: -f),
        "wasserstein": (lambda r, f: f - r, lambda f: -f),
        "least_squares": (lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2, lambda f: (f - 1) ** 2 / 2),
    }


@pytest.mark.parametrize("game", ["minimax", "non_saturating", "hinge", "wasserstein", "least_squares"])
def test_both_sides_equal_torch(agrees, game):
    torch = pytest.importorskip("torch")
    discriminator, generator = games(torch)[game]
    agrees.torch(f"losses.gan_discriminator, {game}", partial(gan_discriminator, game=game), discriminator, REAL, FAKE)
    agrees.torch(f"losses.gan_generator, {game}", partial(gan_generator, game=game), generator, FAKE)


def test_a_sure_discriminator_leaves_only_the_non_saturating_generator_a_gradient():
    slope = lambda game: jax.grad(partial(gan_generator, game=game))(-50.0)
    assert slope("non_saturating") == pytest.approx(-1)
    assert abs(slope("minimax")) < 1e-20


def test_penalty_of_a_linear_critic_is_known(agrees):
    direction = np.array([1.0, 2.0, -2.0])
    real, fake = np.random.default_rng(1).normal(size=(2, 4, 3))
    with jax.enable_x64(True):
        got = gradient_penalty(lambda x: x @ direction, real, fake, KEY)
        agrees.values("losses.gradient_penalty", "closed form", got, np.full(4, 4.0))
        # the slope of |x|^2 / 2 is x itself: it must lie between the real and the made example
        length = 1 + jnp.sqrt(gradient_penalty(lambda x: 4 + (x**2).sum(-1) / 2, 5 + 0 * real, 9 + 0 * fake, KEY))
        assert (length > 5 * 3**0.5).all()
        assert (length < 9 * 3**0.5).all()
    assert len(set(np.asarray(length))) == 4


def test_penalty_teaches_the_critic_a_slope_of_one():
    real, fake = jnp.ones((3, 2, 2)), jnp.zeros((3, 2, 2))
    loss = lambda w: gradient_penalty(lambda x: jnp.tanh(x * w).sum((1, 2)), real, fake, KEY).mean()
    assert jnp.isfinite(jax.jit(jax.grad(loss))(0.3))
    flat = lambda w: gradient_penalty(lambda x: 0 * x.sum((1, 2)) * w, real, fake, KEY).mean()
    value, slope = jax.value_and_grad(flat)(1.0)
    assert (value, slope) == (1, 0)


def test_refusals():
    x = jnp.zeros((3, 2))
    with pytest.raises(ValueError, match="game must be one of non_saturating, minimax"):
        gan_generator(x, game="relativistic")
    with pytest.raises(ShapeError, match="one score for each example"):
        gradient_penalty(lambda x: x, x, x, KEY)
    with pytest.raises(ShapeError, match="target must have shape"):
        gradient_penalty(lambda x: x.sum(-1), x, x[:2], KEY)
    with pytest.raises(DtypeError, match="key must be a typed random key"):
        gradient_penalty(lambda x: x.sum(-1), x, x, 0)
