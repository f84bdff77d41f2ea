"""Hooks: plain functions over the state and the rows; a run that was cut goes on as if it had not been."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from fdl.train import hooks

MODEL = nn.serial(nn.dense(4, 8), nn.relu, nn.dense(8, 3))
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
BATCHES = data.shuffled({"x": X, "label": (X[:, 0] > 0).astype(np.int32)}, batch=8, seed=0)
OPTIMIZER = optim.chain(optim.hyper(optim.adam(1e-2), "learning_rate"), optim.average_params(0.5))


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


STEP = train.make_train_step(loss_fn, OPTIMIZER)


def start():
    return train.init_state(MODEL.init, OPTIMIZER, seed=1)


def fit(epochs, *these, directory=None, evaluate=None):
    options = {"directory": directory, "evaluate": evaluate, "progress": train.Progress(io.StringIO())}
    return train.fit(STEP, start(), BATCHES, epochs=epochs, hooks=these, **options)


def scripted(values):
    """An evaluation that gives these values, one an epoch."""
    return lambda state: {"valid": values[int(state.step) // 5 - 1]}


def test_entries_of_one_hook_are_seen_by_the_next_and_the_state_is_handed_on():
    def first(state, history):
        return state, {"double": 2 * history[-1]["loss"]}

    def second(state, history):
        return state._replace(params=tree.zeros_like(state.params)), {"quadruple": 2 * history[-1]["double"]}

    state, history = fit(2, first, hooks.every(2, second))
    assert "quadruple" not in history[0]
    assert history[1]["quadruple"] == 4 * history[1]["loss"]
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(state.params))
    with pytest.raises(ValueError, match="every 1 or more reports, got 0"):
        hooks.every(0, first)


def test_a_stop_ends_the_run_and_a_run_that_ended_stays_ended(tmp_path):
    stop = lambda state, history: (state, {"stop": len(history) >= 2})
    state, history = fit(9, stop, directory=tmp_path)
    assert history["stop"] == [False, True]
    again, rows = fit(9, stop, directory=tmp_path)
    assert len(rows) == 2
    assert tree.digest(again) == tree.digest(state)


def test_measures_rates_and_throughput():
    size = lambda state: {"size": float(tree.norm(state.params))}
    rate = optim.cosine(1e-2, 10)
    state, history = fit(
        2,
        hooks.measured(size),
        hooks.measured(hooks.of_average(size)),
        hooks.learning_rate(),
        hooks.throughput(tokens=24),
    )
    assert history["size"][-1] == float(tree.norm(state.params))
    assert history["average size"][-1] == float(tree.norm(optim.averaged(state.opt_state, state.params)))
    assert history["average size"][-1] != history["size"][-1]
    assert history["learning_rate"] == [pytest.approx(1e-2)] * 2
    for row in history:
        assert row["tokens/s"] == pytest.approx(5 * 24 / row["seconds"])
    _, history = fit(2, hooks.learning_rate(rate))
    assert history["learning_rate"] == [float(rate(jnp.int32(5))), float(rate(jnp.int32(10)))]


def test_the_rate_falls_on_a_plateau_and_a_cut_changes_nothing(tmp_path):
    values = [3.0, 2.0, 2.5, float("nan"), 2.2, 2.1, 1.0, 1.1]
    hook = hooks.plateau("valid", patience=2, factor=0.5, low=3e-3)
    state, history = fit(8, hook, evaluate=scripted(values))
    # Two rows after the best (2.0), two after that cut, then a new best (1.0), and one row more.
    assert history["learning_rate"] == pytest.approx([1e-2, 1e-2, 1e-2, 5e-3, 5e-3, 3e-3, 3e-3, 3e-3])
    assert [row.get("rate cut", 0) for row in history] == [0, 0, 0, 1, 0, 1, 0, 0]
    assert float(optim.hyper_values(state.opt_state)["learning_rate"]) == pytest.approx(3e-3)
    fit(5, hook, evaluate=scripted(values), directory=tmp_path)
    again, rows = fit(8, hook, evaluate=scripted(values), directory=tmp_path)
    assert rows["learning_rate"] == history["learning_rate"]
    assert tree.digest(again) == tree.digest(state)


def test_a_value_is_set_at_the_first_report_from_its_step_on():
    _, history = fit(4, hooks.set_at(12, learning_rate=0.5), hooks.learning_rate())
    assert history["learning_rate"] == pytest.approx([1e-2, 1e-2, 0.5, 0.5])
    assert [row["step"] for row in history] == [5, 10, 15, 20]


def test_a_layer_is_frozen_until_its_step_without_a_hook():
    """What the docstring of the hooks says of unfreezing."""
    frozen = optim.when(optim.adam(1e-2), lambda step: step >= 7, stop=True)
    optimizer = optim.groups({"dense_0/**": frozen, "**": optim.adam(1e-2)})
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer, seed=1)
    before = tree.digest(state.params["dense_0"])
    state, _ = train.run(step, state, BATCHES, 7)
    assert tree.digest(state.params["dense_0"]) == before
    state, _ = train.run(step, state, BATCHES, 1)
    assert tree.digest(state.params["dense_0"]) != before


def test_a_spike_is_a_warning_and_an_entry_and_ordinary_noise_is_none():
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.2, 9.0, 1.0, float("nan")]
    hook = hooks.spikes("valid", window=8)
    with pytest.warns(UserWarning, match="valid is .* at step") as caught:
        _, history = fit(9, hook, evaluate=scripted(values))
    assert [row.get("spike", 0) for row in history] == [0, 0, 0, 0, 0, 0, 1, 0, 1]
    assert str(caught[0].message).startswith("valid is 9 at step 35, of 1.025 ± ")


@pytest.mark.parametrize(("mode", "steps"), [("min", [10, 25]), ("max", [5, 20])])
def test_the_best_few_states_are_kept_whatever_their_order(tmp_path, mode, steps):
    values = [5.0, 1.0, 3.0, 4.0, 2.0]
    fit(5, hooks.keep_best(tmp_path / "best", "valid", best=2, mode=mode), evaluate=scripted(values))
    assert sorted(int(path.name[-8:]) for path in (tmp_path / "best").iterdir()) == steps
    straight, _ = train.run(STEP, start(), BATCHES, steps[0])
    kept, metadata = train.checkpoint.restore(tmp_path / "best", start(), step=steps[0])
    assert tree.digest(kept) == tree.digest(straight)
    assert metadata["valid"] == values[steps[0] // 5 - 1]
    with pytest.raises(ValueError, match="best must be at least 1, got 0"):
        hooks.keep_best(tmp_path, "valid", best=0)


def test_samples_are_written_as_arrays(tmp_path):
    draw = lambda state: {"logits": MODEL.apply(state.params, state.state, X[:2])[0], "row": X[0]}
    state, _ = fit(3, hooks.every(3, hooks.samples(tmp_path / "samples", draw)))
    (path,) = (tmp_path / "samples").iterdir()
    assert path.name == "step_00000015.npz"
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["logits"], draw(state)["logits"])
        np.testing.assert_array_equal(arrays["row"], X[0])
