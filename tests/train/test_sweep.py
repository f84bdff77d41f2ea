"""A sweep is its trials, each as it would be by itself, however they were put together, cut or given up."""

import io
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from tests.distributed.child import report, start

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 3)).astype("f")
EXAMPLES = {"x": X, "label": (X[:, 0] > X[:, 1]).astype(np.int32)}
BATCHES = data.shuffled({name: leaf[:32] for name, leaf in EXAMPLES.items()}, batch=8, seed=3)
VALID = {name: jnp.asarray(leaf[32:]) for name, leaf in EXAMPLES.items()}


def experiment(hidden=4, peak=0.1, decay=0.0, seed=0, scale=1):
    """One run, as anyone would write it."""
    model = nn.serial(nn.dense(3, hidden), nn.tanh, nn.dropout(0.2), nn.dense(hidden, 2))
    optimizer = optim.sgdw(optim.warmup_cosine(peak, 40, 4), weight_decay=decay)

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        return scale * losses.cross_entropy(logits, batch["label"]).mean(), (state, {"largest": jnp.abs(logits).max()})

    def measure(state):
        logits, _ = model.apply(state.params, state.state, VALID["x"])
        return {"error": jnp.mean((logits.argmax(-1) != VALID["label"]).astype(float))}

    return train.make_train_step(loss_fn, optimizer), train.init_state(model.init, optimizer, seed), measure


def swept(trials, batches=BATCHES, steps=10, experiment=experiment, **how):
    return train.sweep(experiment, trials, batches, steps, progress=train.Progress(how.pop("to", io.StringIO())), **how)


TRIALS = train.grid(hidden=[4, 6], peak=[0.1, 0.4], seed=[0, 7])


@pytest.fixture(scope="module")
def done():
    said = io.StringIO()
    return *swept(TRIALS, to=said), said.getvalue()


@pytest.mark.parametrize("i", [0, 3, 6])
def test_a_trial_is_the_run_by_itself(done, i):
    states, rows, _ = done
    step, state, measure = experiment(**TRIALS[i])
    alone, log = train.run(step, state, BATCHES, 10)
    assert jax.tree.structure(states[i]) == jax.tree.structure(alone)
    assert int(states[i].step) == 10
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    numbers = lambda state: state._replace(key=jax.random.key_data(state.key))
    jax.tree.map(close, numbers(states[i]), numbers(alone))
    assert {name: rows[i][name] for name in TRIALS[i]} == TRIALS[i]
    assert rows[i]["step"] == 10
    assert rows[i]["error"] == pytest.approx(float(measure(alone)["error"]))
    for name in ("loss", "largest"):  # the mean over the last tenth
        assert rows[i][name] == pytest.approx(log[name][-1], rel=1e-5)


def test_what_differs_in_numbers_alone_is_one_program(done):
    assert done[2].startswith("to step 10: trials 8, programs 2\n")
    said = io.StringIO()
    swept(TRIALS[:4], steps=1, apart=["peak"], to=said)
    assert said.getvalue().startswith("to step 1: trials 4, programs 2\n")


def test_metrics_are_means_since_the_last_report():
    _, rows = swept([TRIALS[0]], steps=10, every=4)
    step, state, _ = experiment(**TRIALS[0])
    _, log = train.run(step, state, BATCHES, 10)
    assert rows[0]["loss"] == pytest.approx(log["loss"][8:].mean(), rel=1e-5)


def test_exact_trials_have_the_bits_of_a_sweep_of_each_alone():
    states, rows = swept(TRIALS[:4], exact=True)
    for i in (0, 3):
        alone, row = swept([TRIALS[i]], exact=True)
        assert row == [rows[i]]
        assert tree.digest(alone[0]) == tree.digest(states[i])


def test_halving_goes_on_with_the_best_and_changes_none_of_their_bits():
    trials = train.grid(hidden=[4, 6], peak=[0.1, 0.2, 0.4, 1e38])
    first, whole = swept(trials, steps=4, exact=True, every=2)[1], swept(trials, steps=12, exact=True, every=2)
    states, rows = swept(trials, steps=[4, 12], eta=4, by="loss", exact=True, every=2)
    assert not any(row["loss"] < 1e30 for row in first if row["peak"] == 1e38)
    best = sorted(np.argsort([row["loss"] for row in first], kind="stable")[:2].tolist())
    assert [i for i, row in enumerate(rows) if row["step"] == 12] == best
    for i, row in enumerate(rows):
        assert json.dumps(row) == json.dumps((whole[1] if i in best else first)[i])
    assert [tree.digest(states[i]) for i in best] == [tree.digest(whole[0][i]) for i in best]
    _, most = swept(trials[:4], steps=[4, 12], eta=4, by="largest", mode="max", exact=True, every=2)
    top = max((i for i in range(4) if np.isfinite(first[i]["largest"])), key=lambda i: first[i]["largest"])
    assert [row["step"] == 12 for row in most] == [i == top for i in range(4)]


def test_trials_that_diverge_stop_no_other_in_their_program_or_another():
    _, rows = swept(train.grid(hidden=[4], peak=[0.1, 1e38]) + train.grid(hidden=[6], peak=[1e38]))
    assert np.isfinite(rows["loss"]).tolist() == [True, False, False]


def test_a_directory_holds_the_table_and_is_gone_on_with(tmp_path, done):
    def counted(k):
        seen.append(k)
        return BATCHES(k)

    seen = []
    states, rows = swept(TRIALS, counted, directory=tmp_path)
    assert rows == done[1]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == rows
    assert max(seen) >= 9
    seen.clear()
    again, same = swept(TRIALS, counted, directory=tmp_path)
    assert set(seen) == {0}  # to see what a batch is
    assert same == rows
    assert [tree.digest(state) for state in again] == [tree.digest(state) for state in states]


def test_what_has_changed_is_trained_anew(tmp_path):
    shift, scale = jnp.zeros((1, 3)), 1

    def shifted(peak):
        step, state, _ = experiment(peak=peak, scale=scale)
        return train.Step(lambda state, batch: step.pure(state, batch | {"x": batch["x"] + shift})), state

    def row(trials=({"peak": 0.1},), batches=BATCHES, steps=6):
        return swept(trials, batches, steps, shifted, directory=tmp_path)[1][0]

    rows = [row(), row([{"peak": 0.3}]), row(steps=4), row(batches=data.shuffled(BATCHES.examples, 8, seed=4))]
    scale = 2
    rows.append(row())
    assert rows[-1]["loss"] > 1.2 * rows[0]["loss"]
    shift = shift + 1
    rows.append(row())
    assert len({each["loss"] for each in rows}) == len(list(tmp_path.glob("00*"))) == 6


def test_killed_twice_and_on_eight_devices_the_table_is_the_same():
    """A child, as those of this process have one device: see programs/sweeps.py."""
    found = report(start(Path(__file__).parent / "programs" / "sweeps"))
    assert found["devices"] == 8
    assert found["exact"] == found["exact on one"]
    assert found["cut"] == found["whole"]
    assert found["kills"] == 2
    assert found["held"][0] > 0


def test_the_table_and_the_picture_show_the_best(done):
    rows = [*done[1], done[1][0] | {"error": float("nan"), "hidden": 99, "step": 5}]
    head, first, *_, last = train.sweep_table(rows, by="error").splitlines()
    assert head.split() == ["hidden", "peak", "seed", "step", "error", "largest", "loss"]
    assert first.split()[4] == f"{min(done[1]['error']):.4g}"
    assert last.split()[0] == "99"
    assert last.split()[4] == "nan"
    pytest.importorskip("matplotlib")
    figure = train.draw_sweep(rows, by="error")
    assert [axes.get_xlabel() for axes in figure.axes] == ["hidden", "peak"]
    points = figure.axes[1].collections
    assert sum(len(each.get_offsets()) for each in points[:2]) == 8  # the one without a number is left out
    best = min(done[1], key=lambda row: row["error"])
    assert points[-1].get_offsets().tolist() == [[best["peak"], best["error"]]]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["4", "6"]
    with pytest.raises(ValueError, match="nothing to draw: 0 rows have a finite 'wrong', over hidden, peak"):
        train.draw_sweep(rows, by="wrong")


def test_bad_input_is_refused_before_anything_is_trained():
    never = lambda k: BATCHES(k) if k == 0 else pytest.fail("it was trained")
    with pytest.raises(
        ValueError, match=r"no number 'wrong' in the rows .*; they hold error, largest, loss: let measure"
    ):
        swept(TRIALS, never, by="wrong")
    with pytest.raises(ValueError, match="is there more than once"):
        swept([TRIALS[0], TRIALS[0]], never)
    for steps in ([4, 2], [], 0):
        with pytest.raises(ValueError, match=r"steps >= 1 that rise, got 8 trials"):
            swept(TRIALS, never, steps)
    with pytest.raises(ValueError, match="got 0 trials"):
        swept([], never)
    with pytest.raises(ValueError, match="mode must be 'min' or 'max' and eta at least 2, got 'least' and 3"):
        swept(TRIALS, never, mode="least")
    with pytest.raises(TypeError, match=r"returns \(step, state\) or \(step, state, measure\), got TrainState"):
        swept([{"seed": 0}], never, experiment=lambda **trial: experiment(**trial)[1])
    with pytest.raises(TypeError) as caught:
        swept([{"rate": 0.1}], never, experiment=lambda rate: nn.dropout(rate))
    assert any("was given rate as arrays" in note and "apart=(...)" in note for note in caught.value.__notes__)
