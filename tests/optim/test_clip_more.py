"""Clipping by root mean square and by the weights, standard forms of gradients, noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import TreeError

G = np.random.default_rng(0).standard_normal((3, 5, 4))
W = 0.1 * np.random.default_rng(1).standard_normal((3, 5, 4))
W[..., 1] = 0


def once(transform, updates, params=None):
    return transform.update(updates, transform.init(updates if params is None else params), params)[0]


def in_both_types(agrees, subject, transform, want, params=W):
    for dtype in ("float64", "float32"):
        with jax.enable_x64(dtype == "float64"):
            tree = lambda a, dtype=dtype: {"kernel": jnp.asarray(a, dtype)}
            agrees.values(subject, "closed form", once(transform, tree(G), tree(params))["kernel"], want)


def test_by_block_rms(agrees):
    rms = np.sqrt(np.mean(G**2))
    in_both_types(agrees, "optim.clip_by_block_rms", optim.clip_by_block_rms(0.5), G * 0.5 / rms)
    in_both_types(agrees, "optim.clip_by_block_rms, below", optim.clip_by_block_rms(10.0), G)


def test_adaptive_clipping_bounds_each_unit_by_its_weights(agrees):
    size = lambda x, axes: np.sqrt(np.sum(x**2, axes, keepdims=True))
    for axes, axis in (((0, 1), None), ((1,), 1)):
        limit = 5.0 * np.maximum(size(W, axes), 1e-3)
        want = G * np.minimum(1, limit / size(G, axes))
        name = f"optim.adaptive_clip, axis {axis}"
        in_both_types(agrees, name, optim.adaptive_clip(5.0, axis=axis), want)


def test_adaptive_clipping_takes_a_vector_whole_and_leaves_other_leaves_alone():
    params = {"kernel": jnp.asarray([3.0, 4.0]), "bias": jnp.asarray([1.0])}
    found = once(optim.adaptive_clip(0.1), {"kernel": jnp.asarray([0.0, 50.0]), "bias": jnp.asarray([9.0])}, params)
    np.testing.assert_allclose(found["kernel"], [0.0, 0.5], rtol=1e-6)
    assert float(found["bias"][0]) == 9.0


def test_centralizing_takes_the_mean_of_each_unit(agrees):
    in_both_types(agrees, "optim.centralize", optim.centralize(), G - G.mean((0, 1), keepdims=True))
    in_both_types(agrees, "optim.centralize, axis 1", optim.centralize(axis=1), G - G.mean(1, keepdims=True))
    assert float(once(optim.centralize(), {"kernel": jnp.asarray([3.0])})["kernel"][0]) == 3.0


def test_normalizing_by_the_norm(agrees):
    in_both_types(agrees, "optim.normalize_by_norm", optim.normalize_by_norm(), G / np.linalg.norm(G.ravel()))


ALL = [
    optim.clip_by_block_rms(1.0),
    optim.adaptive_clip(),
    optim.adaptive_clip(0.0, 0.0),
    optim.centralize(),
    optim.normalize_by_norm(),
    optim.zero_non_finite(),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_zeros_stay_zeros_and_arrays_of_no_entries_pass(transform):
    zeros = {"kernel": jnp.zeros((2, 3)), "empty": {"kernel": jnp.zeros((0, 3))}}
    found = once(transform, zeros, zeros)
    np.testing.assert_array_equal(found["kernel"], np.zeros((2, 3)))
    assert found["empty"]["kernel"].shape == (0, 3)


@pytest.mark.parametrize("transform", [ALL[0], ALL[1], ALL[4]], ids=repr)
def test_an_infinite_norm_stops_the_finite_entries_and_shows_the_infinite(transform):
    for bad, others in ((jnp.inf, 0.0), (jnp.nan, np.nan)):
        found = once(transform, {"kernel": jnp.asarray([bad, 1.0])}, {"kernel": jnp.ones(2)})
        np.testing.assert_array_equal(found["kernel"], [np.nan, others])


def test_what_is_not_finite_is_taken_away(agrees):
    found = once(optim.zero_non_finite(), {"kernel": jnp.asarray([jnp.nan, 2.0, -jnp.inf])})
    agrees.values("optim.zero_non_finite", "closed form", found["kernel"], np.asarray([0.0, 2.0, 0.0], "f"))


def test_noise_has_the_annealed_variance(agrees):
    noise = optim.add_noise(optim.inverse_time(0.3, power=0.55), seed=1)
    zeros = {"a": jnp.zeros(40_000), "b": jnp.zeros(40_000)}
    state = noise.init(zeros)
    for step in range(3):
        found, state = noise.update(zeros, state)
        variance = np.asarray([np.var(found["a"]), np.var(found["b"])], "f")
        agrees.values("optim.add_noise", "closed form", variance, np.full(2, 0.3 / (1 + step) ** 0.55, "f"), most=0.03)
        assert abs(np.corrcoef(found["a"], found["b"])[0, 1]) < 0.02


def test_noisy_descent_has_the_noise_of_its_rate(agrees):
    optimizer = optim.noisy_sgd(0.1, 4.0)
    still = {"w": jnp.zeros(100_000)}
    updates, _ = optimizer.update(still, optimizer.init(still), still)
    spread = np.std(np.asarray(updates["w"]), dtype="f")
    agrees.values("optim.noisy_sgd", "closed form", spread, np.asarray(0.1 * 2.0, "f"), most=0.01)


def test_noise_is_a_function_of_seed_step_and_path():
    draw = lambda seed, tree: once(optim.add_noise(1.0, seed), tree)
    one, more = {"a": jnp.zeros(3)}, {"0": jnp.zeros(2), "a": jnp.zeros(3)}
    np.testing.assert_array_equal(draw(1, one)["a"], draw(1, more)["a"])
    assert (draw(1, one)["a"] != draw(2, one)["a"]).all()
    noise = optim.add_noise(1.0)
    first, state = noise.update(one, noise.init(one))
    assert (first["a"] != noise.update(one, state)[0]["a"]).all()


def test_bad_arguments_are_refused():
    for make in (optim.clip_by_block_rms, optim.adaptive_clip, optim.add_noise):
        with pytest.raises(ValueError, match="must lie in"):
            make(-1.0)
        with pytest.raises(TypeError, match="must be a"):
            make("0.1")
    with pytest.raises(ValueError, match="seed must be a whole number"):
        optim.add_noise(1.0, seed=0.5)
    with pytest.raises(TreeError, match="matches nothing"):
        optim.adaptive_clip().init({"bias": jnp.ones(2)})
    with pytest.raises(TypeError, match="needs the parameters"):
        once(optim.adaptive_clip(), {"kernel": jnp.ones(2)})
    with pytest.raises(TreeError, match=r"kernel: expected float32\[2\], got float32\[3\]"):
        once(optim.adaptive_clip(), {"kernel": jnp.ones(3)}, {"kernel": jnp.ones(2)})
