"""Runs: the same bits wherever the data lies and wherever the run is cut."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, metrics, nn, optim, train, tree

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

EXAMPLES = {
    "x": np.random.default_rng(0).normal(size=(50, 6, 6, 1)).astype(np.float32),
    "label": np.random.default_rng(1).integers(0, 3, 50).astype(np.int32),
}
MODELS = {
    "mlp": nn.serial(nn.flatten, nn.dense(36, 16), nn.relu, nn.dropout(0.2), nn.dense(16, 3)),
    "cnn": nn.serial(nn.conv(1, 4, 3), nn.batch_norm(4), nn.relu, nn.max_pool(2), nn.flatten, nn.dense(36, 3)),
}


def make(model="mlp", learning_rate=1e-2):
    layer = MODELS[model]

    def loss_fn(params, state, batch, key):
        logits, state = layer.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adam(learning_rate)
    return train.make_train_step(loss_fn, optimizer), train.init_state(layer.init, optimizer, seed=0)


def batches(batch=8):
    return data.shuffled(EXAMPLES, batch=batch, seed=5)


@pytest.mark.parametrize("model", MODELS)
def test_same_bits_on_the_device_on_the_host_and_cut_anywhere(model):
    step, _ = make(model)
    fresh = lambda: make(model)[1]
    whole, log = train.run(step, fresh(), batches(), 21, resident=True)
    hosted, host_log = train.run(step, fresh(), batches(), 21, resident=False)
    state, parts = fresh(), []
    for count in (1, 7, 13):
        state, part = train.run(step, state, batches(), count, resident=True)
        parts.append(part["loss"])
    assert tree.digest(whole) == tree.digest(hosted) == tree.digest(state)
    np.testing.assert_array_equal(log["loss"], host_log["loss"])
    np.testing.assert_array_equal(log["loss"], np.concatenate(parts))
    assert log["loss"].shape == (21,)


def test_a_run_is_the_fold_of_single_steps():
    step, state = make()
    alone = make()[1]
    state, log = train.run(step, state, batches(), 9)
    for k in range(9):
        alone, metrics = step(alone, batches()(k))
        np.testing.assert_allclose(metrics["loss"], log["loss"][k], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.params, alone.params)


def test_any_function_of_the_step_gives_batches():
    step, state = make()

    def made(k):
        return {"x": np.full((4, 6, 6, 1), k, np.float32), "label": np.zeros(4, np.int32)}

    state, log = train.run(step, state, made, 11)
    assert int(state.step) == len(log["loss"]) == 11
    with pytest.raises(TypeError, match=r"only data\.Batches can be resident"):
        train.run(step, state, made, 1, resident=True)


def test_a_run_of_any_length_and_seed_compiles_once():
    traces = []
    model = MODELS["mlp"]

    def loss_fn(params, state, batch, key):
        traces.append(1)
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adam(1e-2)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(model.init, optimizer)
    state, _ = train.run(step, state, batches(), 5)
    compiled = len(traces)
    for count in (1, 30, 2, 300):
        state, _ = train.run(step, state, batches(), count)
    for seed in (1, 2**40):
        state, _ = train.run(step, state, dataclasses.replace(batches(), seed=seed), 2)
    assert len(traces) == compiled


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where():
    examples = EXAMPLES | {"x": EXAMPLES["x"].copy()}
    examples["x"][17] = np.nan
    step, _ = make()
    order = data.shuffled(examples, batch=8, seed=5)
    first = next(k for k in range(6) if np.isnan(order(k)["x"]).any())
    for resident in (True, False):
        with pytest.raises(train.NonFiniteError, match=f"not finite at step {first}: loss nan") as caught:
            train.run(step, make()[1], order, 12, resident=resident)
        assert caught.value.step == first


def test_no_thread_is_left_while_the_error_that_ended_a_run_is_held():
    examples = EXAMPLES | {"x": np.full_like(EXAMPLES["x"], np.nan)}
    step, state = make()
    before = set(threading.enumerate())
    with pytest.raises(train.NonFiniteError) as caught:
        train.run(step, state, data.shuffled(examples, batch=8, seed=5), 400, resident=False)
    assert caught.value.step == 0
    assert set(threading.enumerate()) == before


def test_no_steps_change_nothing():
    step, state = make()
    after, log = train.run(step, state, batches(), 0)
    assert after is state
    assert log == {}


def test_an_error_while_making_batches_reaches_the_caller():
    step, state = make()

    def broken(k):
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        train.run(step, state, broken, 3)


def test_a_counter_that_would_overflow_is_refused_before_the_first_step():
    step, state = make()
    late = state._replace(step=jnp.asarray(2**31 - 10, jnp.int32))
    late, log = train.run(step, late, batches(), 9)
    assert int(late.step) == 2**31 - 1
    assert np.isfinite(log["loss"]).all()
    with pytest.raises(ValueError, match="a run takes at most 2,147,483,647 steps in all, got 2,147,483,648"):
        train.run(step, late, batches(), 1)


def test_numbers_that_jax_would_cut_to_their_low_bits_are_refused_wherever_the_data_lies():
    step, state = make()
    large = data.shuffled(EXAMPLES | {"token": np.full(50, 2**33)}, batch=8)
    for resident in (True, False):
        with pytest.raises(ValueError, match=r"token must fit in int32, got int64 from 8589934592"):
            train.run(step, state, large, 1, resident=resident)
    with pytest.raises(ValueError, match="token must fit in int32"):
        step(state, large.examples)
    measure = train.make_evaluate(lambda params, state, batch: (batch["token"],), {"mean": metrics.mean()})
    with pytest.raises(ValueError, match="token must fit in int32"):
        measure(state, large.examples)


def test_tokens_are_counted_past_the_largest_number_of_the_device():
    update = lambda sums, lengths, where: sums + jnp.sum(jnp.where(where, lengths, 0))
    tokens = metrics.Metric(lambda: jnp.zeros((), jnp.int32), update, lambda sums: sums)
    measure = train.make_evaluate(lambda params, state, batch: (batch["length"],), {"tokens": tokens})
    assert measure(make()[1], {"length": np.full(12, 2**29, np.int32)}, batch=3) == {"tokens": 12 * 2**29}


class Watched(train.Step):
    """A step whose dispatches are counted, and each look at what they measured."""

    def many(self, state, source, count):
        state, log = super().many(state, source, count)
        self.dispatched.append(count)
        return state, {name: Read(rows, self.read) for name, rows in log.items()}


class Read:
    def __init__(self, rows, read):
        self.rows, self.read = rows, read

    def __array__(self, *args, **kwargs):
        self.read.append(self.rows)
        return np.asarray(self.rows)


def test_looking_for_nan_costs_no_look_at_the_device_of_its_own():
    """What is measured is read once a dispatch, finite or not, and the program calls back nobody."""
    step, state = make()
    watched = Watched(step.pure)
    watched.dispatched, watched.read = [], []
    train.run(watched, state, batches(), 40)
    assert len(watched.read) == len(watched.dispatched) < 40
    assert "callback" not in str(jax.make_jaxpr(step.pure)(make()[1], batches()(0)))
