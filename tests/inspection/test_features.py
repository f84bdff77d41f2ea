"""What a unit sees and likes: against torch's hooks, finite differences, closed forms and planted Gabor functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, optim
from fdl.checks import ShapeError, TreeError
from fdl.inspection import Gabor, extent, fit_gabor, gabor, preferred_input, receptive_field, saliency

NET = nn.serial(
    nn.conv(2, 3, 3, padding="valid"), nn.relu, nn.max_pool(2), nn.flatten, nn.dense(12, 6), nn.relu, nn.dense(6, 4)
)
TARGET = lambda y: jnp.sum(y[:, 1] - 2 * y[:, 2])


def made():
    params, _ = NET.init(jax.random.key(0))
    return params, jax.random.normal(jax.random.key(1), (3, 6, 6, 2))


def by_torch(params, x, rule):
    """The same net in torch, its ReLUs hooked as the papers say."""
    torch = pytest.importorskip("torch")
    tensor = lambda a: torch.tensor(np.asarray(a))
    hooks = {
        "gradient": lambda into, above: into,
        "deconvolution": lambda into, above: above.clamp(min=0),
        "guided": lambda into, above: into.clamp(min=0),
    }
    relus = [torch.nn.ReLU() for _ in range(2)]
    for relu in relus:
        relu.register_full_backward_hook(lambda module, into, above: (hooks[rule](into[0], above[0]),))
    image = tensor(x).requires_grad_()
    kernel, bias = tensor(params["conv_0"]["kernel"]).permute(3, 2, 0, 1), tensor(params["conv_0"]["bias"])
    h = relus[0](torch.nn.functional.conv2d(image.permute(0, 3, 1, 2), kernel, bias))
    h = torch.nn.functional.max_pool2d(h, 2).permute(0, 2, 3, 1).flatten(1)
    h = relus[1](h @ tensor(params["dense_0"]["kernel"]) + tensor(params["dense_0"]["bias"]))
    y = h @ tensor(params["dense_1"]["kernel"]) + tensor(params["dense_1"]["bias"])
    (y[:, 1] - 2 * y[:, 2]).sum().backward()
    return image.grad.numpy()


@pytest.mark.parametrize("rule", ["gradient", "deconvolution", "guided"])
def test_rules_are_those_of_hooks_in_torch(agrees, rule):
    params, x = made()
    found = saliency(NET, params, {}, x, TARGET, rule=rule)
    agrees.values(f"inspection.saliency, {rule}", "torch hooks", found, by_torch(params, x, rule))


def test_the_gradient_by_the_input_is_that_of_finite_differences(agrees):
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda leaf: leaf.astype(float), made())
        f = jax.jit(lambda x: TARGET(NET.apply(params, {}, x)[0]))
        steps = 1e-6 * np.eye(x.size).reshape(-1, *x.shape)[::7]
        want = np.array([float(f(x + step) - f(x - step)) / 2e-6 for step in steps])
        found = saliency(NET, params, {}, x, TARGET).ravel()[::7]
        agrees.values("inspection.saliency, gradient", "finite differences", found, want, most=1e-8)


def test_inner_parts_have_saliency_too_and_mistakes_are_named():
    params, x = made()
    found = saliency(NET, params, {}, x, lambda h: h[:, 0, 0].sum(), where="conv_0")
    kernel = params["conv_0"]["kernel"].sum(-1)
    np.testing.assert_allclose(found[0, :3, :3], kernel, rtol=1e-5, atol=1e-6)
    assert not found[:, 3:].any()
    with pytest.raises(ValueError, match="gradient, deconvolution, guided, got 'grad'"):
        saliency(NET, params, {}, x, TARGET, rule="grad")
    with pytest.raises(TreeError, match="matches nothing"):
        saliency(
            nn.serial(nn.dense(2, 2)),
            nn.serial(nn.dense(2, 2)).init(jax.random.key(0))[0],
            {},
            x,
            jnp.sum,
            rule="guided",
        )


def test_equal_kernels_see_by_repeated_convolution_of_a_box(agrees):
    layers = nn.serial(*[nn.conv(1, 1, 3, use_bias=False, kernel_init=nn.ones())] * 4)
    params, _ = layers.init(jax.random.key(0))
    field = receptive_field(lambda x: layers.apply(params, {}, x)[0], jnp.ones((2, 15, 15, 1)))
    box = np.ones(3)
    profile = np.convolve(np.convolve(box, box), np.convolve(box, box))
    agrees.values("inspection.receptive_field", "numpy.convolve", field[3:12, 3:12], np.outer(profile, profile))
    assert extent(field) == (9, 9)
    assert extent(field, share=0.5) == (5, 5)


def test_windows_and_strides_add_up_to_what_a_unit_sees():
    layers = nn.serial(
        nn.conv(3, 4, 5, stride=2, kernel_init=nn.ones()),
        nn.relu,
        nn.max_pool(2),
        nn.conv(4, 2, (3, 1), kernel_init=nn.ones()),
    )
    params, _ = layers.init(jax.random.key(0))
    f = lambda x: layers.apply(params, {}, x)[0]
    x = jax.random.uniform(jax.random.key(1), (100, 32, 32, 3))  # max-pooling looks at one of four: many images see all
    assert extent(receptive_field(f, x, (4, 4))) == (5 + 2 + 2 * 4, 5 + 2)
    with pytest.raises(ShapeError, match="within the map of 8 x 8 units"):
        receptive_field(f, x, (8, 0))


def test_the_input_that_a_linear_unit_likes_best_is_its_weights_over_the_penalty(agrees):
    w = jax.random.normal(jax.random.key(0), (2, 3))
    likes = lambda x: jnp.sum(w * x) - 0.25 * jnp.sum(x**2)
    found = preferred_input(likes, jnp.zeros((2, 3)), optim.sgd(0.5), steps=100)
    agrees.values("inspection.preferred_input", "closed form", found, w / 0.5)
    boxed = optim.chain(optim.sgd(0.5), optim.project(optim.box(0, 1), "**"))
    found = preferred_input(likes, jnp.full((2, 3), 0.5), boxed, steps=100)
    agrees.values("inspection.preferred_input, in a box", "closed form", found, np.clip(w / 0.5, 0, 1))


def planted(rng, n, size=10):
    between = lambda low, high: jnp.asarray(rng.uniform(low, high, n), jnp.float32)
    return Gabor(
        *(between(0.5, 1), between(-1, 1), between(-1.5, 1.5), between(-1.5, 1.5), between(0, 3.1)),
        *(between(0.3, 0.9), between(0.3, 0.9), between(0.12, 0.3)),
    )


def test_planted_gabor_functions_are_found_and_noise_is_none(agrees):
    rng = np.random.default_rng(0)
    shapes = planted(rng, 12)
    clean = jax.vmap(lambda shape: gabor(shape, 10, 10))(shapes)
    noise = jnp.asarray(rng.normal(size=clean.shape), jnp.float32)
    noisy = clean + 0.05 * noise
    found, r_squared = fit_gabor(jnp.concatenate([7 * noisy, noise]))
    of_truth = 1 - jnp.sum(jnp.square(noisy - clean), (1, 2)) / (100 * jnp.var(noisy, (1, 2)))
    assert (r_squared[:12] > of_truth - 1e-3).mean() > 0.9  # the nearest one is at least as near as the planted one
    assert (r_squared[12:] < 0.7).all()
    drawn = jax.vmap(lambda shape: gabor(shape, 10, 10))(found)[0]
    left = jnp.sum(jnp.square(drawn - 7 * noisy[0])) / (100 * jnp.var(7 * noisy[0]))
    np.testing.assert_allclose(1 - left, r_squared[0], rtol=1e-4)
    x, y = np.meshgrid(np.arange(10) - 4.5, np.arange(10) - 4.5)
    p = jax.tree.map(lambda leaf: float(leaf[0]), shapes)
    along = np.cos(p.angle) * (x - p.x) + np.sin(p.angle) * (y - p.y)
    across = -np.sin(p.angle) * (x - p.x) + np.cos(p.angle) * (y - p.y)
    window = np.exp(-0.5 * ((along / np.exp(p.log_across)) ** 2 + (across / np.exp(p.log_along)) ** 2))
    wave = p.even * np.cos(2 * np.pi * p.frequency * along) + p.odd * np.sin(2 * np.pi * p.frequency * along)
    agrees.values("inspection.gabor", "NumPy", clean[0], window * wave)
