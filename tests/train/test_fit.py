"""The helper: reports, early stopping, resuming."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, metrics, nn, optim, train, tree
from fdl.train.checkpoint import disk

MODEL = nn.serial(nn.dense(4, 8), nn.relu, nn.dropout(0.1), nn.dense(8, 3))
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
EXAMPLES = {"x": X, "label": (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0).astype(np.int32)}


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    accuracy = metrics.accuracy()(logits, batch["label"])
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {"accuracy": accuracy})


def predict(params, state, batch):
    return MODEL.apply(params, state, batch["x"])[0], batch["label"]


def make():
    optimizer = optim.adam(1e-2)
    return train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer, seed=1)


@pytest.fixture(scope="module")
def step():
    return make()[0]


def quiet():
    return train.Progress(io.StringIO())


def batches():
    return data.shuffled(EXAMPLES, batch=8, seed=0)


def test_history_has_a_row_an_epoch(step):
    measure = train.make_evaluate(predict, {"correct": metrics.correct()})
    state, history = train.fit(
        step, make()[1], batches(), epochs=4, evaluate=lambda s: measure(s, EXAMPLES), progress=quiet()
    )
    assert history["step"] == [5, 10, 15, 20]
    assert all(set(row) == {"step", "loss", "accuracy", "seconds", "examples/s", "correct"} for row in history)
    _, log = train.run(step, make()[1], batches(), 20)
    np.testing.assert_allclose(history["loss"], log["loss"].reshape(4, 5).mean(1), rtol=1e-6)
    assert history["correct"][-1] == measure(state, EXAMPLES)["correct"]


def test_lengths_in_steps_and_reports_in_between(step):
    _, history = train.fit(step, make()[1], batches(), steps=13, every=4, progress=quiet())
    assert history["step"] == [4, 8, 12, 13]
    for wrong in ({}, {"steps": 3, "epochs": 1}):
        with pytest.raises(ValueError, match="either steps= or epochs="):
            train.fit(step, make()[1], batches(), **wrong)
    with pytest.raises(ValueError, match="a run is saved every 1 or more steps, got 0"):
        train.fit(step, make()[1], batches(), steps=3, saving=train.Saving(every=0))
    with pytest.raises(ValueError, match="give the length of the run as steps="):
        train.fit(step, make()[1], lambda k: None, epochs=3)


def test_a_cut_run_ends_with_the_same_bits_and_history(step, tmp_path):
    whole, rows = train.fit(step, make()[1], batches(), epochs=6, progress=quiet())
    train.fit(step, make()[1], batches(), epochs=2, directory=tmp_path, progress=quiet())
    resumed, history = train.fit(
        step, make()[1], batches(), epochs=6, directory=tmp_path, resume=True, progress=quiet()
    )
    assert tree.digest(resumed) == tree.digest(whole)
    assert history["step"] == rows["step"]
    assert history["loss"] == rows["loss"]


def test_early_stopping_gives_back_the_best_state_also_after_a_cut(step, tmp_path):
    values = [3.0, 2.0, 1.0, 2.0, float("nan"), 2.0, 0.0, 0.0]
    stopping = train.EarlyStopping("valid", patience=3)

    def score(state):
        return {"valid": values[int(state.step) // 5 - 1]}

    options = {"evaluate": score, "early_stopping": stopping, "progress": quiet()}
    best, history = train.fit(step, make()[1], batches(), epochs=8, **options)
    assert int(best.step) == 15
    assert len(history) == 6
    train.fit(step, make()[1], batches(), epochs=5, directory=tmp_path, **options)
    again, rows = train.fit(step, make()[1], batches(), epochs=8, directory=tmp_path, resume=True, **options)
    assert tree.digest(again) == tree.digest(best)
    assert len(rows) == 6
    straight, _ = train.fit(step, make()[1], batches(), epochs=3, progress=quiet())
    assert tree.digest(best) == tree.digest(straight)


def test_history_decides_by_rows_alone():
    history = train.History([{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 2.0}])
    assert history.best("loss")["step"] == 1
    assert history.rows_since_best("loss") == 2
    assert history.best("loss", "max")["step"] == 1
    assert history["step"] == [1, 2, 3]
    assert history[0]["step"] == 1
    with pytest.raises(ValueError, match=r"no row has 'acc'; the columns are \['loss', 'step'\]"):
        history.best("acc")
    with pytest.raises(ValueError, match="'min' or 'max'"):
        history.best("loss", "least")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_renews_one_line_on_a_terminal_and_writes_plain_lines_in_a_log():
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        progress = train.Progress(stream)
        progress.live({"step": 123456, "loss": 0.123456})
        progress.final({"step": 2, "loss": 12345.6})
    assert log.getvalue() == "step 2  loss 12,346\n"
    assert terminal.getvalue().startswith("\rstep 123,456  loss 0.1235\rstep 2  loss 12,346")
    assert terminal.getvalue().endswith(" \n")
    assert terminal.getvalue().count("\n") == 1


def test_evaluation_is_exact_for_every_batch_size(step):
    state = make()[1]
    measure = train.make_evaluate(
        predict, {"correct": metrics.correct(), "accuracy": metrics.accuracy(), "table": metrics.confusion_matrix(3)}
    )
    logits, labels = predict(state.params, state.state, EXAMPLES)
    expected = int((np.argmax(logits, -1) == labels).sum())
    results = [measure(state, EXAMPLES, batch=size) for size in (1, 7, 40, 1000)]
    for result in results:
        assert result["correct"] == expected
        assert isinstance(result["correct"], int)
        assert result["accuracy"] == pytest.approx(expected / 40, abs=1e-7)
    one = {name: leaf[:1] for name, leaf in EXAMPLES.items()}
    assert measure(state, one)["correct"] in (0, 1)
    with pytest.raises(ValueError, match="at least one example, got 0"):
        measure(state, {name: leaf[:0] for name, leaf in EXAMPLES.items()})


def test_every_shape_of_evaluation_compiles_once():
    traces = []

    def counted(params, state, batch):
        traces.append(1)
        return predict(params, state, batch)

    measure = train.make_evaluate(counted, {"correct": metrics.correct()})
    state = make()[1]
    for _ in range(3):
        measure(state, EXAMPLES, batch=16)
    assert len(traces) == 1
    assert jax.tree.all(jax.tree.map(lambda leaf: not jnp.isnan(leaf).any(), state.params))


def test_a_cut_between_the_two_saves_loses_no_best_state(step, tmp_path, monkeypatch):
    """Whichever save is the last before a kill, going on ends with the best state of the whole run."""
    values = [3.0, 2.0, 1.0, 2.0, 2.0]
    stopping = train.EarlyStopping("valid", patience=5)
    score = lambda state: {"valid": values[int(state.step) // 5 - 1]}
    options = {"evaluate": score, "early_stopping": stopping, "epochs": 5, "progress": quiet()}
    best, _ = train.fit(step, make()[1], batches(), **options)
    commit = disk.commit
    for cut in range(1, 9):
        saves = 0

        def killing(*args, cut=cut):
            nonlocal saves
            saves += 1
            if saves >= cut:  # what is killed commits nothing more
                raise KeyboardInterrupt
            commit(*args)

        directory = tmp_path / str(cut)
        monkeypatch.setattr(disk, "commit", killing)
        with pytest.raises(KeyboardInterrupt):
            train.fit(step, make()[1], batches(), directory=directory, **options)
        monkeypatch.setattr(disk, "commit", commit)
        again, _ = train.fit(step, make()[1], batches(), directory=directory, resume=True, **options)
        assert tree.digest(again) == tree.digest(best)
