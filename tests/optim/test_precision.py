"""Sums of small steps in 16 bits: plain ones stand still, ours arrive; loss scaling is torch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim, train
from fdl.checks import TreeError
from fdl.optim.wrappers.precision import round_by_chance
from tests.laws.test_transform_laws import CURVATURE, fresh, loss, step

WRAPPERS = [optim.master_weights, optim.kahan, optim.stochastic_rounding]


def descend(optimizer, dtype, steps, shape=(64,)):
    """Parameters from 1 under a gradient of 1."""
    params = {"kernel": jnp.ones(shape, dtype)}

    def body(carry, _):
        params, state = carry
        updates, state = optimizer.update({"kernel": jnp.ones(shape, dtype)}, state, params)
        return (optim.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(body, carry, None, steps)[0])
    return run((params, optimizer.init(params)))


def values(params):
    return np.asarray(params["kernel"].astype(jnp.float32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_small_steps_are_not_lost(agrees, dtype):
    rate, ulp = {"bfloat16": (1e-3, 2**-8), "float16": (1e-4, 2**-11)}[dtype]
    want = np.full(64, 1 - 100 * rate, "f")
    assert (values(descend(optim.sgd(rate), dtype, 100)[0]) == 1).all()
    for wrapper in WRAPPERS[:2]:
        params, _ = descend(wrapper(optim.sgd(rate)), dtype, 100)
        assert params["kernel"].dtype == dtype
        agrees.values(f"optim.{wrapper.__name__}, {dtype}", "closed form", values(params), want, most=ulp / 1.8)
    mean = values(descend(optim.stochastic_rounding(optim.sgd(rate)), dtype, 100, (4096,))[0]).mean()
    agrees.values(f"optim.stochastic_rounding, {dtype}, mean", "closed form", mean, want[0], most=10 * ulp / 64)


def test_the_parameter_is_the_rounded_master_while_it_changes_by_less_than_a_factor_of_two():
    """Sterbenz: then the difference of the two is no longer than either."""
    draw = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(draw.standard_normal(20_000) * 2.0 ** draw.integers(-20, 20, 20_000), jnp.bfloat16)}
    change = params["kernel"].astype(jnp.float32) * jnp.asarray(draw.uniform(-0.5, 0.95, 20_000), jnp.float32)
    optimizer = optim.master_weights(optim.scale_by_learning_rate(1.0))
    updates, state = optimizer.update({"kernel": -change}, optimizer.init(params), params)
    master = state.master["kernel"]
    np.testing.assert_allclose(master, params["kernel"].astype(jnp.float32) + change, rtol=1e-6)
    moved = optim.apply_updates(params, updates)["kernel"]
    np.testing.assert_array_equal(moved, master.astype(jnp.bfloat16))


def test_beyond_it_is_off_by_a_rounding_that_is_taken_back():
    draw = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(draw.standard_normal(20_000), jnp.bfloat16)}
    target = jnp.asarray(draw.standard_normal(20_000) * 2.0 ** draw.integers(-30, 10, 20_000), jnp.float32)
    optimizer = optim.master_weights(optim.scale_by_learning_rate(1.0))
    gradient, state = {"kernel": params["kernel"].astype(jnp.float32) - target}, optimizer.init(params)
    for times in range(4):
        updates, state = optimizer.update(gradient, state, params)
        params = optim.apply_updates(params, updates)
        gradient = jax.tree.map(jnp.zeros_like, gradient)
        wrong = np.asarray(params["kernel"] != state.master["kernel"].astype(jnp.bfloat16)).sum()
        assert (wrong > 0) == (times == 0) or times in (1, 2)
    assert wrong == 0


def test_rounding_by_chance_is_right_on_average():
    x = jnp.asarray(np.random.default_rng(0).standard_normal(64), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4096)
    drawn = jax.vmap(lambda key: round_by_chance(key, x, jnp.bfloat16))(keys).astype(jnp.float32)
    low, high = np.asarray(drawn.min(0)), np.asarray(drawn.max(0))
    assert ((low <= x) & (x <= high)).all()
    gap = high - low
    assert (gap <= np.abs(x) * 2**-7 * 1.01).all()
    np.testing.assert_array_less(np.abs(np.asarray(drawn, np.float64).mean(0) - np.asarray(x)), 4 * gap / 2 / 64 + 1e-9)


def test_rounding_by_chance_leaves_what_needs_none():
    exact = jnp.asarray([1.0, 0.0, -3.0, jnp.inf, jnp.nan, 2.0**127], jnp.float32)
    found = round_by_chance(jax.random.key(0), exact, jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_array_equal(found, exact)


def test_the_chance_is_a_function_of_seed_and_step():
    run = lambda seed: values(descend(optim.stochastic_rounding(optim.sgd(1e-3), seed), "bfloat16", 5)[0])
    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_kahan_solves_a_quadratic_in_bfloat16_and_keeps_its_types():
    optimizer = optim.kahan(optim.sgd(0.02))
    params = fresh(jnp.bfloat16)
    state = optimizer.init(params)
    kinds = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    before = kinds(state)
    move = jax.jit(lambda carry: jax.lax.fori_loop(0, 2000, lambda i, c: step(optimizer, *c), carry))
    params, state = move((params, state))
    assert kinds(state) == before
    assert loss(params) < 1e-3 * loss(fresh())
    assert CURVATURE.keys() == state.lost.keys()


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wide_parameters_move_as_without(wrapper):
    params, _ = descend(wrapper(optim.adam(1e-2)), "float32", 10)
    np.testing.assert_allclose(values(params), values(descend(optim.adam(1e-2), "float32", 10)[0]), rtol=1e-6)


@pytest.mark.parametrize("wrapper", [*WRAPPERS, optim.scale_loss])
def test_bad_input_is_refused(wrapper):
    params = {"kernel": jnp.ones(2, jnp.bfloat16)}
    optimizer = wrapper(optim.sgd(0.1))
    state = optimizer.init(params)
    with pytest.raises(TypeError, match="State that init makes, got dict"):
        optimizer.update(state, params, params)
    if wrapper is not optim.scale_loss:
        with pytest.raises(TypeError, match="need the parameters"):
            optimizer.update(params, state)
        with pytest.raises(TreeError, match=r"kernel: expected bfloat16\[2\], got bfloat16\[3\]"):
            optimizer.update({"kernel": jnp.ones(3, jnp.bfloat16)}, state, params)
    nan = {"kernel": jnp.asarray([jnp.nan, 1.0], jnp.bfloat16)}
    updates, _ = optimizer.update(nan, state, params)
    assert np.isnan(updates["kernel"].astype(jnp.float32)).tolist() == [wrapper is not optim.scale_loss, False]
    empty = {"kernel": jnp.zeros((0, 3), jnp.bfloat16)}
    assert optimizer.update(empty, optimizer.init(empty), empty)[0]["kernel"].shape == (0, 3)


def test_the_scale_follows_torch(agrees):
    torch = pytest.importorskip("torch")
    overflows = np.random.default_rng(0).random(200) < 0.15
    optimizer = optim.scale_loss(optim.sgd(optim.constant(0.1)), 2.0**120, grow=3.0, shrink=0.25, every=4)
    params = {"kernel": jnp.ones(1)}
    state, ours, theirs = optimizer.init(params), [], []
    scale, tracker = torch.tensor(2.0**120), torch.tensor(0, dtype=torch.int32)
    update = jax.jit(optimizer.update)
    for overflow in overflows:
        _, state = update({"kernel": jnp.full(1, jnp.inf if overflow else 1.0)}, state, params)
        torch._amp_update_scale_(scale, tracker, torch.tensor(float(overflow)), 3.0, 0.25, 4)
        ours.append([float(state.scale), int(state.good)])
        theirs.append([scale.item(), tracker.item()])
    agrees.values("optim.scale_loss", "torch.amp", np.asarray(ours, "f"), np.asarray(theirs, "f"))
    assert int(state.inner[0].step) == 200 - overflows.sum()


def half_loss(params, state, batch, key):
    """Its gradient passes through float16, where 2^-30 is 0."""
    y = params["kernel"].astype(jnp.float16) * batch.astype(jnp.float16)
    return jnp.mean(y.astype(jnp.float32)) * 2.0**-30, (state, {})


def trained(optimizer, steps):
    step = train.make_train_step(half_loss, optimizer)
    state = train.init_state(lambda key: ({"kernel": jnp.ones(1, jnp.float32)}, {}), optimizer)
    for _ in range(steps):
        state, metrics = step(state, np.ones(1, "f"))
    return state, metrics


def test_the_step_scales_the_loss_and_reports_it_unscaled(agrees):
    assert float(trained(optim.sgd(2.0**26), 1)[0].params["kernel"][0]) == 1.0
    state, metrics = trained(optim.scale_loss(optim.sgd(2.0**26), 2.0**14, every=2), 2)
    agrees.values("optim.scale_loss, step", "closed form", state.params["kernel"], np.full(1, 1 - 2 * 2.0**-4, "f"))
    agrees.values("optim.loss_scale", "closed form", optim.loss_scale(state.opt_state), np.float32(2.0**15))
    assert float(metrics["loss"]) == pytest.approx((1 - 2.0**-4) * 2.0**-30)
    assert optim.loss_scale(optim.sgd(0.1).init(state.params)) is None


def test_an_overflow_skips_the_step_and_halves_the_scale():
    state, metrics = trained(optim.scale_loss(optim.momentum(0.1), 2.0**60), 1)
    assert float(state.params["kernel"][0]) == 1.0
    assert float(state.opt_state.scale) == 2.0**59
    assert np.isfinite(metrics["loss"])
    assert int(state.opt_state.inner[1].step) == 0


def test_the_inner_transform_sees_the_gradient_without_the_scale():
    seen = {}

    def update(updates, state, params=None, *, grad, **extras):
        seen.update(updates=updates, grad=grad)
        return updates, state

    optimizer = optim.scale_loss(optim.Transform(lambda params: (), update), 4.0)
    params = {"kernel": jnp.ones(2)}
    grads = {"kernel": jnp.full(2, 8.0)}
    optimizer.update(grads, optimizer.init(params), params, grad=grads)
    assert [seen["updates"]["kernel"].tolist(), seen["grad"]["kernel"].tolist()] == [[2.0, 2.0]] * 2


def test_a_scale_that_is_not_outermost_is_refused():
    optimizer = optim.chain(optim.clip_by_norm(1.0), optim.scale_loss(optim.sgd(0.1)))
    with pytest.raises(TreeError, match="must be the outermost"):
        trained(optimizer, 1)
    for bad in ({"initial": 0.0}, {"grow": 0.5}, {"shrink": 0.0}, {"every": 0}):
        with pytest.raises(ValueError, match=r"must (lie in|be a whole number)"):
            optim.scale_loss(optim.sgd(0.1), **bad)
