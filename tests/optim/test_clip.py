import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

GRADIENTS = {"a": jnp.asarray([3.0, -4.0, 0.5]), "b": jnp.asarray([[12.0]])}
CLIPS = [optim.clip_by_value(2.0), optim.clip_by_norm(2.0), optim.clip_by_global_norm(2.0)]
NORMS = CLIPS[1:]


def clipped(clip, updates):
    return clip.update(updates, clip.init(updates))[0]


def arrays(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_by_value_cuts_every_entry():
    np.testing.assert_array_equal(arrays(clipped(optim.clip_by_value(), GRADIENTS)), [1.0, -1.0, 0.5, 1.0])


def test_by_norm_scales_each_array():
    found = clipped(optim.clip_by_norm(10.0), GRADIENTS)
    np.testing.assert_array_equal(found["a"], GRADIENTS["a"])
    np.testing.assert_allclose(found["b"], [[10.0]], rtol=1e-6)


@pytest.mark.parametrize("limit", [0.1, 5.0, 1e3])
def test_by_global_norm_is_torchs(limit):
    torch = pytest.importorskip("torch")
    with jax.enable_x64(True):
        gradients = jax.tree.map(lambda g: jnp.asarray(np.asarray(g), float), GRADIENTS)
        found = clipped(optim.clip_by_global_norm(limit), gradients)
    tensors = [torch.zeros(leaf.shape, dtype=torch.float64, requires_grad=True) for leaf in gradients.values()]
    for tensor, leaf in zip(tensors, gradients.values()):
        tensor.grad = torch.tensor(np.asarray(leaf))
    torch.nn.utils.clip_grad_norm_(tensors, limit)
    theirs = np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])
    np.testing.assert_allclose(arrays(found), theirs, rtol=1e-6)  # torch adds 1e-6 to the norm


@pytest.mark.parametrize("clip", CLIPS)
def test_clipping_twice_is_clipping_once(clip):
    once = clipped(clip, GRADIENTS)
    np.testing.assert_allclose(arrays(clipped(clip, once)), arrays(once), rtol=1e-6)


@pytest.mark.parametrize("clip", CLIPS)
def test_small_gradients_pass_bit_for_bit(clip):
    small = jax.tree.map(lambda g: g / 100, GRADIENTS)
    np.testing.assert_array_equal(arrays(clipped(clip, small)), arrays(small))


@pytest.mark.parametrize("clip", [*CLIPS, optim.clip_by_global_norm(0.0), optim.clip_by_norm(0.0)])
def test_zero_gradients_stay_zero(clip):
    zeros = jax.tree.map(jnp.zeros_like, GRADIENTS) | {"empty": jnp.zeros((0, 3))}
    np.testing.assert_array_equal(arrays(clipped(clip, zeros)), np.zeros(4))


def test_a_limit_of_zero_stops_everything():
    np.testing.assert_array_equal(arrays(clipped(optim.clip_by_global_norm(0.0), GRADIENTS)), np.zeros(4))


def test_the_norm_of_no_arrays_is_defined():
    assert clipped(optim.clip_by_global_norm(1.0), {}) == {}


def test_a_nan_is_shown_in_everything_that_is_measured_with_it():
    gradients = GRADIENTS | {"b": jnp.asarray([[jnp.nan]])}
    assert np.isnan(arrays(clipped(optim.clip_by_global_norm(2.0), gradients))).all()
    assert np.isnan(arrays(clipped(optim.clip_by_norm(2.0), gradients))).tolist() == [False, False, False, True]
    assert np.isnan(arrays(clipped(optim.clip_by_value(2.0), gradients))).tolist() == [False, False, False, True]


def test_an_infinite_entry_becomes_nan_by_norm_and_the_limit_by_value():
    gradients = {"a": jnp.asarray([jnp.inf, 1.0, -jnp.inf])}
    for clip in NORMS:
        np.testing.assert_array_equal(arrays(clipped(clip, gradients)), [np.nan, 0.0, np.nan])
    np.testing.assert_array_equal(arrays(clipped(optim.clip_by_value(2.0), gradients)), [2.0, 1.0, -2.0])


def test_a_norm_beyond_float32_skips_the_step():
    np.testing.assert_array_equal(arrays(clipped(NORMS[1], {"a": jnp.asarray([1e30, 1.0])})), [0.0, 0.0])


def test_bfloat16_gradients_are_measured_in_float32():
    ones = {"a": jnp.ones(4096, jnp.bfloat16)}
    found = clipped(optim.clip_by_global_norm(32.0), ones)["a"]
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(found, np.float32), np.full(4096, 0.5, np.float32))


@pytest.mark.parametrize("make", [optim.clip_by_value, optim.clip_by_norm, optim.clip_by_global_norm])
def test_limits_accept_schedules(make):
    clip, ones = make(optim.step_decay(1.0, 0.5, 1)), {"a": jnp.asarray([8.0])}
    first, state = clip.update(ones, clip.init(ones))
    second, _ = clip.update(ones, state)
    assert [float(first["a"][0]), float(second["a"][0])] == [1.0, 0.5]


def test_clipping_holds_at_a_cliff():
    """Below 0 the slope is 10^4: one plain step jumps out, a clipped one does not (Pascanu et al. 2013, figure 6)."""

    def end(optimizer):
        params = {"x": jnp.asarray([0.5])}
        state, far = optimizer.init(params), 0.0
        for _ in range(30):
            x = params["x"]
            updates, state = optimizer.update({"x": jnp.where(x < 0, -1e4, 1.0)}, state, params)
            params = optim.apply_updates(params, updates)
            far = max(far, float(jnp.abs(params["x"][0])))
        return far

    assert end(optim.sgd(0.2)) > 1e3
    assert end(optim.chain(optim.clip_by_global_norm(1.0), optim.sgd(0.2))) < 0.7
