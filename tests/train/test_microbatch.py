"""The gradient of a batch from its parts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdl import losses, nn, optim, train
from fdl.checks import ShapeError

MLP = nn.serial(nn.dense(3, 4), nn.tanh, nn.dense(4, 2))
NORMED = nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dense(4, 2))


def loss_of(model):
    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        values = losses.cross_entropy(logits, batch["label"])
        hits = jnp.mean((jnp.argmax(logits, -1) == batch["label"]).astype(jnp.float32))
        return values.mean(), (state, {"hits": hits, "first": batch["label"][0]})

    return loss_fn


PLAIN = loss_of(MLP)


def masked_loss(params, state, batch, key):
    logits, state = MLP.apply(params, state, batch["x"], key=key, train=True)
    weight = jnp.sum(batch["mask"])
    values = losses.cross_entropy(logits, batch["label"])
    return jnp.sum(values * batch["mask"]) / weight, (state, {"weight": weight})


def batch_of(count, seed=0):
    draw = np.random.default_rng(seed)
    return {"x": draw.standard_normal((count, 3)).astype("f"), "label": draw.integers(0, 2, count).astype(np.int32)}


def taken(model, loss_fn, batch, microbatches, optimizer=None, steps=2):
    optimizer = optimizer or optim.adam(0.05)
    step = train.make_train_step(loss_fn, optimizer, microbatches=microbatches)
    state = train.init_state(model.init, optimizer, seed=1)
    for _ in range(steps):
        state, metrics = step(state, batch)
    return state, metrics


@functools.cache
def measured(loss_fn, count):
    return jax.jit(train.in_microbatches(jax.value_and_grad(loss_fn, has_aux=True), count))


def gradient(model, loss_fn, batch, count):
    params, state = model.init(jax.random.key(1))
    return measured(loss_fn, count)(params, state, batch, jax.random.key(2))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.sampled_from([2, 3]), st.integers(0, 99))
def test_the_parts_make_the_gradient_of_the_whole(count, seed):
    batch = batch_of(6, seed)
    (loss, (_, metrics)), grads = gradient(MLP, PLAIN, batch, count)
    (whole_loss, (_, whole)), whole_grads = gradient(MLP, PLAIN, batch, 1)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    jax.tree.map(close, (loss, metrics["hits"], grads), (whole_loss, whole["hits"], whole_grads))


def test_a_loss_in_two_parts_is_not_cut():
    loss_fn = train.TwoPartLoss(lambda *given: PLAIN(*given), lambda outputs, batch: outputs)
    with pytest.raises(ValueError, match="needs its whole batch at once, got microbatches=2"):
        train.make_train_step(loss_fn, optim.hessian_free(), microbatches=2)
    train.make_train_step(loss_fn.__call__, optim.adam(0.1), microbatches=2)


def test_steps_in_parts_are_steps_on_the_whole(agrees):
    batch = batch_of(12)
    whole, metrics = taken(MLP, PLAIN, batch, 1)
    for count in (3, 12):
        parts, means = taken(MLP, PLAIN, batch, count)
        agrees.values(f"train.in_microbatches, {count}", "the whole batch", parts.params, whole.params)
        agrees.values("train.make_train_step, microbatches", "the whole batch", means["loss"], metrics["loss"])
    assert int(parts.opt_state[0].step) == 2
    assert float(means["first"]) == pytest.approx(batch["label"].mean())


def test_masks_may_differ_between_parts(agrees):
    batch = batch_of(12) | {"mask": np.asarray([1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0], "f")}
    (loss, (_, metrics)), grads = gradient(MLP, masked_loss, batch, 3)  # parts of 4, 1 and no examples
    (whole_loss, _), whole_grads = gradient(MLP, masked_loss, batch, 1)
    agrees.values("train.in_microbatches, masked", "the whole batch", (loss, grads), (whole_loss, whole_grads))
    assert float(metrics["weight"]) == 5.0


def test_nothing_but_padding_moves_nothing():
    batch = batch_of(4) | {"mask": np.zeros(4, "f")}
    (loss, _), grads = gradient(MLP, masked_loss, batch, 2)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves((loss, grads)))


def test_batch_norm_sees_one_part_after_the_other():
    batch = batch_of(8)
    (_, (state, _)), _ = gradient(NORMED, loss_of(NORMED), batch, 2)
    params, wanted = NORMED.init(jax.random.key(1))
    for part in (slice(0, 4), slice(4, 8)):
        _, wanted = NORMED.apply(params, wanted, batch["x"][part], train=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, wanted)


def test_every_part_draws_noise_of_its_own():
    def noisy(params, state, batch, key):
        return jnp.sum(params["kernel"]) * 0, (
            state,
            {"drawn": jax.random.normal(key), "square": jax.random.normal(key) ** 2},
        )

    params, key, batch = {"kernel": jnp.ones(1)}, jax.random.key(5), np.zeros((4, 1), "f")
    measure = lambda *given: jax.value_and_grad(noisy, has_aux=True)(*given)
    (_, (_, metrics)), _ = train.in_microbatches(measure, 2)(params, {}, batch, key)
    drawn = [float(jax.random.normal(jax.random.fold_in(key, i))) for i in range(2)]
    assert float(metrics["drawn"]) == pytest.approx(np.mean(drawn), rel=1e-5)
    assert float(metrics["square"]) > float(metrics["drawn"]) ** 2 + 1e-3


def test_gradients_of_bfloat16_are_summed_in_float32():
    """1 + 2^-9 + ... + 2^-9 is 1 in bfloat16 at every step; the mean of the parts is not."""

    def linear(params, state, batch, key):
        return jnp.sum(params["kernel"] * batch[0]).astype(jnp.float32), (state, {})

    batch = np.asarray([1.0] + [2**-9] * 127, "f")[:, None]
    params = {"kernel": jnp.ones(1, jnp.bfloat16)}
    measure = lambda *given: jax.value_and_grad(linear, has_aux=True)(*given)
    grads = train.in_microbatches(measure, 128)(params, {}, jnp.asarray(batch, jnp.bfloat16), jax.random.key(0))[1]
    assert grads["kernel"].dtype == jnp.bfloat16
    assert float(grads["kernel"][0]) == pytest.approx((1 + 127 * 2**-9) / 128, rel=2**-8)


def test_the_loss_that_the_optimizer_may_take_is_that_of_all_parts():
    seen = {}

    def update(updates, state, params=None, *, value, grad, value_fn, **extras):
        slope = jax.grad(value_fn)(params)
        seen["gap"] = jnp.abs(value_fn(params) - value) + sum(
            jnp.abs(a - b).max() for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(grad))
        )
        return jax.tree.map(lambda u: jnp.zeros_like(u) + seen["gap"], updates), state

    optimizer = optim.Transform(lambda params: (), update)
    before = train.init_state(MLP.init, optimizer, seed=1).params
    after = taken(MLP, PLAIN, batch_of(6), 3, optimizer, steps=1)[0].params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), before, after)


def test_the_scale_of_the_loss_goes_with_the_parts():
    scaled = optim.scale_loss(optim.sgd(0.1))
    found = taken(MLP, PLAIN, batch_of(6), 3, scaled)[0].params
    wanted = taken(MLP, PLAIN, batch_of(6), 3, optim.sgd(0.1))[0].params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, wanted)


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match=r"label is int32\[5\]: its leading axis cannot be cut into 2 equal parts"):
        taken(MLP, PLAIN, batch_of(5), 2)
    with pytest.raises(ShapeError, match="cannot be cut"):
        gradient(MLP, PLAIN, batch_of(4) | {"weight": np.float32(1)}, 2)
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="microbatches must be a whole number"):
            train.in_microbatches(PLAIN, bad)
