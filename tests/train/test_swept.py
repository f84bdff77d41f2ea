"""A sweep is its runs, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from fdl.checks import ShapeError, TreeError
from fdl.compile import on_cpu

MODEL = nn.serial(nn.dense(3, 8), nn.batch_norm(8), nn.tanh, nn.dropout(0.2), nn.dense(8, 2))
RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 3)).astype("f")
BATCHES = data.shuffled({"x": X, "label": (X[:, 0] > X[:, 1]).astype(np.int32)}, batch=8, seed=3)
OPTIMIZER = optim.hyper(optim.sgd(0.1, 0.9), "learning_rate", "momentum")
SEEDS, RATES = [0, 7, 7], [0.1, 0.1, 0.4]


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {"seen": jnp.float32(len(batch["x"]))})


def swept(**how):
    state = train.init_sweep(MODEL.init, OPTIMIZER, SEEDS, learning_rate=RATES)
    return train.run(train.swept(train.make_train_step(loss_fn, OPTIMIZER), **how), state, BATCHES, 7)


@pytest.fixture(scope="module")
def done(compiled_as_for_users):
    return swept()


@pytest.fixture(scope="module")
def alone(compiled_as_for_users):
    step, found = train.make_train_step(loss_fn, OPTIMIZER), []
    for seed, rate in zip(SEEDS, RATES):
        start = optim.set_hyper(train.init_state(MODEL.init, OPTIMIZER, seed=seed), learning_rate=rate)
        found.append(train.run(step, start, BATCHES, 7))
    return found


@pytest.mark.parametrize("i", range(3))
def test_each_run_is_the_run_by_itself(done, alone, i):
    swept, own = done
    np.testing.assert_allclose(own["loss"][:, i], alone[i][1]["loss"], rtol=2e-6)
    found, one = train.run_of(swept, i), alone[i][0]
    assert jax.tree.structure(found) == jax.tree.structure(one)
    assert int(found.step) == 7
    np.testing.assert_array_equal(jax.random.key_data(found.key), jax.random.key_data(one.key))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    jax.tree.map(close, found._replace(key=0), one._replace(key=0))


@pytest.mark.parametrize("how", ["exact", "copies"] if on_cpu() and jax.__version_info__ < (0, 12) else ["exact"])
def test_a_sweep_has_the_bits_of_each_run_by_itself(compiled_as_for_users, alone, how):
    together, own = swept(**{how: True})
    for i, (one, log) in enumerate(alone):
        assert tree.digest(train.run_of(together, i)) == tree.digest(one)
        np.testing.assert_array_equal(own["loss"][:, i], log["loss"])


def test_seeds_and_rates_make_the_runs_differ(done):
    assert len(set(done[1]["loss"][-1].tolist())) == 3
    np.testing.assert_array_equal(done[1]["seen"], np.full((7, 3), 8.0))


def test_a_run_that_diverges_stops_no_other_but_all_together_do():
    step = train.swept(train.make_train_step(loss_fn, OPTIMIZER))
    _, log = train.run(step, train.init_sweep(MODEL.init, OPTIMIZER, [0, 0], learning_rate=[0.1, 1e38]), BATCHES, 5)
    assert np.isfinite(log["loss"]).all(0).tolist() == [True, False]
    with pytest.raises(train.NonFiniteError, match="not finite at step"):
        train.run(step, train.init_sweep(MODEL.init, OPTIMIZER, [0, 1], learning_rate=[1e38, 1e38]), BATCHES, 5)


def test_other_seeds_and_rates_of_the_same_model_compile_nothing(caplog):
    make = lambda seed, rate: train.init_sweep(MODEL.init, OPTIMIZER, [seed] * 2, learning_rate=[rate] * 2)
    make(0, 0.1), train.init_state(MODEL.init, OPTIMIZER, 0)
    with jax.log_compiles(True), caplog.at_level("WARNING", "jax"):
        make(8, 0.2), train.init_state(MODEL.init, OPTIMIZER, 9)
    assert [record for record in caplog.records if "ompilation" in record.message] == []


def test_wrong_values_are_refused():
    with pytest.raises(ShapeError, match="learning_rate must have a value for each of the 2 seeds, got 3"):
        train.init_sweep(MODEL.init, OPTIMIZER, [0, 1], learning_rate=RATES)
    with pytest.raises(TreeError, match="holds no 'b1'"):
        train.init_sweep(MODEL.init, OPTIMIZER, [0, 1], b1=[0.9, 0.9])
