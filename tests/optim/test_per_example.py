"""Gradients per example, noisy functions, and a gradient that is scaled on its way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
GRADS = {
    "kernel": RNG.standard_normal((20, 3, 2)) * RNG.uniform(0.1, 3, (20, 1, 1)),
    "bias": RNG.standard_normal((20, 4)),
}


def wide(grads):
    return jax.tree.map(lambda g: jnp.asarray(g, "float64" if jax.config.jax_enable_x64 else "float32"), grads)


@pytest.mark.parametrize("by_array", [False, True])
@pytest.mark.parametrize("limit", [0.5, 2.5, 1e3])
def test_clipping_each_example_is_optaxs(agrees, by_array, limit):
    optax = pytest.importorskip("optax")
    clip = optax.per_example_layer_norm_clip if by_array else optax.per_example_global_norm_clip
    with jax.enable_x64(True):
        found, share = optim.clip_per_example(wide(GRADS), limit, by_array=by_array)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            total, count = clip(wide(GRADS), limit)
    agrees.values(
        "optim.clip_per_example", f"optax.{clip.__name__}", found, jax.tree.map(lambda g: np.asarray(g) / 20, total)
    )
    assert float(share) == pytest.approx(np.mean(jax.tree.leaves(count)) / 20)


def test_an_example_counts_with_the_limit_at_most():
    """However large one gradient is, it moves the mean by limit / n; this is what privacy rests on."""
    huge = {name: g.copy() for name, g in GRADS.items()}
    huge["kernel"][7] *= 1e6
    without = {name: np.delete(g, 7, 0) for name, g in GRADS.items()}
    with jax.enable_x64(True):
        a, b = (optim.clip_per_example(wide(g), 0.3)[0] for g in (huge, without))
    moved = np.sqrt(sum(np.sum((20 * np.asarray(a[n]) - 19 * np.asarray(b[n])) ** 2) for n in a))
    assert moved == pytest.approx(0.3, rel=1e-9)


def test_private_means_have_the_noise_that_was_asked_for(agrees):
    draw = jax.jit(jax.vmap(lambda key: optim.private_mean(wide(GRADS), key, 0.5, 1.5)))
    found = draw(jax.random.split(jax.random.key(0), 4_000))
    mean, _ = optim.clip_per_example(wide(GRADS), 0.5)
    spread = 1.5 * 0.5 / 20
    for name in GRADS:
        assert np.abs(np.mean(found[name], 0) - mean[name]).max() < 5 * spread / np.sqrt(4_000)
        stds = np.std(np.asarray(found[name], "float64"), 0)
        agrees.values(
            "optim.private_mean, standard deviation", "closed form", stds, np.full_like(stds, spread), most=0.06
        )
    a, b = found["kernel"].reshape(4_000, -1)[:, 0], found["bias"][:, 0]
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.06
    exact = optim.private_mean(wide(GRADS), jax.random.key(0), 0.5, 0.0)
    jax.tree.map(np.testing.assert_array_equal, exact, mean)


def test_the_fisher_matrix_of_logistic_regression(agrees):
    """In the mean over labels of the model it is p (1 - p) x^2: both labels, each as often as the model says."""
    x, w = RNG.standard_normal((30, 5)), RNG.standard_normal(5)
    p = 1 / (1 + np.exp(-x @ w))
    loss = lambda w, x, y: jax.nn.softplus(x @ w) - y * (x @ w)
    with jax.enable_x64(True):
        of = lambda y: optim.fisher_diagonal(
            jax.vmap(jax.grad(loss), (None, 0, None))(jnp.asarray(w), jnp.asarray(x), y)
        )
        each = [np.asarray(of(y)) for y in (0.0, 1.0)]
        grads = jax.vmap(jax.grad(loss), (None, 0, 0))
        labels = jnp.concatenate([jnp.zeros(30), jnp.ones(30)])
        twice = grads(jnp.asarray(w), jnp.asarray(np.tile(x, (2, 1))), labels)
        weighted = twice * jnp.sqrt(2 * jnp.asarray(np.concatenate([1 - p, p])))[:, None]
        agrees.values(
            "optim.fisher_diagonal",
            "closed form",
            optim.fisher_diagonal(weighted),
            np.mean((p * (1 - p))[:, None] * x**2, 0),
        )
    agrees.values("optim.fisher_diagonal", "closed form", each[1], np.mean((1 - p)[:, None] ** 2 * x**2, 0))


def hard(x):
    return jax.nn.one_hot(jnp.argmax(x), x.shape[0])


def test_the_gumbel_mean_of_the_largest_is_softmax():
    x = jnp.asarray([0.3, -0.5, 1.0])
    soft = jax.jit(optim.perturbed(hard, samples=50_000, sigma=1.0))
    np.testing.assert_allclose(soft(x, jax.random.key(0)), jax.nn.softmax(x), atol=1e-2)
    np.testing.assert_allclose(jax.jacobian(soft)(x, jax.random.key(1)), jax.jacobian(jax.nn.softmax)(x), atol=2e-2)
    forward = jax.jacfwd(soft)(x, jax.random.key(1))
    np.testing.assert_allclose(forward, jax.jacobian(soft)(x, jax.random.key(1)), atol=1e-5)


def test_the_normal_mean_of_a_step_is_the_distribution_function():
    scipy = pytest.importorskip("scipy.stats")
    step = lambda x: {"up": (x > 0).astype(x.dtype)}
    soft = optim.perturbed(step, samples=100_000, sigma=0.5, noise="normal")
    x, v = jnp.asarray([0.3, -0.2]), jnp.asarray([1.0, 0.0])
    value, slope = jax.jvp(lambda x: soft(x, jax.random.key(0)), (x,), (v,))
    np.testing.assert_allclose(value["up"], scipy.norm.cdf(np.asarray(x) / 0.5), atol=1e-2)
    np.testing.assert_allclose(slope["up"], [scipy.norm.pdf(0.3 / 0.5) / 0.5, 0.0], atol=2e-2)


def test_scale_gradient_is_the_identity_with_another_slope():
    x = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(3.0, jnp.bfloat16)}
    jax.tree.map(np.testing.assert_array_equal, optim.scale_gradient(x, -0.5), x)
    f = lambda x: jnp.sum(x["a"] ** 2) + x["b"].astype("float32") ** 2
    plain, turned = jax.grad(f)(x), jax.grad(lambda x: f(optim.scale_gradient(x, -0.5)))(x)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(-0.5 * a.astype("float32"), b.astype("float32")), plain, turned
    )
    assert jax.jvp(lambda x: optim.scale_gradient(x, 2.0), (1.0,), (1.0,)) == (1.0, 2.0)


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="one axis of examples in front"):
        optim.clip_per_example({"a": jnp.ones((3, 2)), "b": jnp.ones((4, 2))}, 1.0)
    with pytest.raises(ShapeError, match="one axis of examples in front"):
        optim.fisher_diagonal({"a": jnp.ones(())})
    with pytest.raises(ValueError, match="limit must lie in"):
        optim.clip_per_example({"a": jnp.ones((3, 2))}, -1.0)
    with pytest.raises(ValueError, match="noise must be 'gumbel' or 'normal'"):
        optim.perturbed(hard, noise="uniform")
