"""One step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses, nn, optim, train, tree
from fdl.checks import DtypeError, ShapeError, TreeError

MODEL = nn.serial(nn.dense(3, 8), nn.batch_norm(8), nn.relu, nn.dropout(0.3), nn.dense(8, 2))
BATCH = {"x": np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3), "label": np.arange(10, dtype=np.int32) % 2}


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {"largest": jnp.max(logits)})


def make(loss_fn=loss_fn, optimizer=None):
    optimizer = optimizer or optim.adam(1e-2)
    return train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer, seed=3)


def test_the_state_before_the_first_step_is_a_function_of_the_seed():
    one, same = make()[1], make()[1]
    assert tree.digest(one) == tree.digest(same)
    other = train.init_state(MODEL.init, optim.adam(1e-2), seed=4)
    assert tree.digest(one.params) != tree.digest(other.params)
    assert int(one.step) == 0


def test_a_step_is_the_gradient_step_written_out():
    step, state = make(optimizer=optim.sgd(0.5))
    before = jax.tree.map(jnp.copy, state)
    after, metrics = step(state, BATCH)
    key = jax.random.fold_in(before.key, 0)
    (loss, (carried, _)), grads = jax.value_and_grad(loss_fn, has_aux=True)(before.params, before.state, BATCH, key)
    jax.tree.map(
        lambda p, g, q: np.testing.assert_allclose(p - 0.5 * g, q, rtol=2e-5, atol=1e-6),
        before.params,
        grads,
        after.params,
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), carried, after.state)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    assert set(metrics) == {"loss", "largest"}
    assert int(after.step) == 1


def test_every_step_draws_fresh_noise_and_the_same_step_the_same():
    step, state = make(optimizer=optim.sgd(0.0))
    copy = jax.tree.map(jnp.copy, state)
    state, first = step(state, BATCH)
    _, second = step(state, BATCH)
    _, again = step(copy, BATCH)
    assert first["loss"] != second["loss"]
    assert first["loss"] == again["loss"]


def test_the_step_compiles_once_and_keeps_every_type():
    step, state = make(chex.assert_max_traces(loss_fn, n=1))
    shapes = jax.tree.map(lambda a: (a.shape, a.dtype), state)
    for _ in range(4):
        state, _ = step(state, BATCH)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == shapes


@pytest.mark.filterwarnings("ignore:.* is bfloat16. steps that are small")
@pytest.mark.parametrize("promotion", ["strict", "standard"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_leaf_changes_its_type_whatever_promotion_allows(dtype, promotion):
    """Users promote: there bfloat16 times np.float32(1) is float32, without a word."""

    def half(params, state, batch, key):
        return loss_fn(params, state, batch | {"x": batch["x"].astype(dtype)}, key)

    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(1e-2))
    with jax.numpy_dtype_promotion(promotion):
        step, state = make(half, optimizer)
        params = tree.cast(state.params, dtype)
        state = state._replace(params=params, opt_state=optimizer.init(params))
        kinds = jax.tree.map(lambda a: (a.shape, a.dtype), state)
        for _ in range(2):
            state, _ = step(state, BATCH)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == kinds


def test_a_state_given_twice_is_explained():
    step, state = make()
    step(state, BATCH)
    with pytest.raises(ValueError, match="keep the state that the step returns"):
        step(state, BATCH)


def test_extras_reach_the_optimizer():
    seen = {}

    def update(updates, state, params=None, **extras):
        seen.update(extras)
        return updates, state

    step, state = make(optimizer=optim.chain(optim.Transform(lambda params: (), update), optim.sgd(0.1)))
    step(state, BATCH)
    assert set(seen) == {"value", "grad", "value_fn"}


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (lambda loss, state: loss, TreeError, r"must return \(loss, \(new_state, metrics\)\)"),
        (lambda loss, state: (loss, state), TreeError, "must return"),
        (lambda loss, state: (loss[None], (state, {})), ShapeError, r"must be one number, got float32\[1\]"),
        (lambda loss, state: (jnp.int32(1), (state, {})), DtypeError, "must be floating point, got int32"),
        (lambda loss, state: (loss, ({}, {})), TreeError, r"batch_norm_0/mean: missing, expected float32\[8\]"),
    ],
)
def test_a_loss_function_of_the_wrong_form_is_refused(result, error, message):
    def wrong(params, state, batch, key):
        loss, (state, _) = loss_fn(params, state, batch, key)
        return result(loss, state)

    step, state = make(wrong)
    with pytest.raises(error, match=message):
        step(state, BATCH)


def test_parameters_of_16_bits_under_a_plain_optimizer_are_a_warning():
    params = {"kernel": jnp.ones(2, jnp.bfloat16), "bias": jnp.ones(2)}
    loss_fn = lambda params, state, batch, key: (jnp.sum(params["kernel"]).astype(jnp.float32), (state, {}))

    def traced(optimizer):
        step, init = train.make_train_step(loss_fn, optimizer), lambda key: (params, {})
        jax.eval_shape(step.pure, train.init_state(init, optimizer), None)

    for wrap in (optim.master_weights, optim.kahan, optim.stochastic_rounding):
        traced(optim.chain(optim.clip_by_global_norm(1.0), wrap(optim.adam(1e-2))))
    with pytest.warns(UserWarning, match=r"kernel is bfloat16: .* wrap the optimizer in optim\.master_weights"):
        traced(optim.adam(1e-2))
