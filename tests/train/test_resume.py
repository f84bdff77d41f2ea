"""Runs that are cut, stopped, poisoned or hung: they go on with the same bits, or end and say why."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, metrics, nn, optim, train, tree
from fdl.train.checkpoint import disk
from tests.quick import STRICT

ROOT = Path(__file__).parent.parent.parent
MODEL = nn.serial(nn.dense(4, 8), nn.relu, nn.dropout(0.1), nn.batch_norm(8), nn.dense(8, 3))
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
EXAMPLES = {"x": X, "label": (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0).astype(np.int32)}


def loss_fn(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


OPTIMIZER = optim.chain(optim.adam(optim.cosine(1e-2, 50)), optim.average_params(0.9))


def start():
    return train.init_state(MODEL.init, OPTIMIZER, seed=1)


@pytest.fixture(scope="module")
def step():
    return train.make_train_step(loss_fn, OPTIMIZER)


def quiet():
    return train.Progress(io.StringIO())


def batches(examples=EXAMPLES):
    return data.shuffled(examples, batch=8, seed=0)


def poisoned(at):
    """Examples with one NaN, in the batch of this step of the first epoch."""
    examples = EXAMPLES | {"x": X.copy()}
    examples["x"][np.flatnonzero((batches()(at)["x"][0] == X).all(1))[0]] = np.nan
    return batches(examples)


def test_restored_at_every_step_of_fifty_the_rest_is_equal_bit_for_bit(step, tmp_path):
    def marked(k):
        seen.append(k)
        return batches()(k)

    whole, state = [], start()
    for _ in range(50):
        train.checkpoint.save(tmp_path, state, keep=50)
        state, log = train.run(step, state, batches(), 1)
        whole.append(log["loss"][0])
    for k in range(50):
        seen = []
        tail, _ = train.checkpoint.restore(tmp_path, start(), step=k)
        tail, log = train.run(step, tail, batches() if k % 7 else marked, 50 - k)
        assert seen == ([] if k % 7 else list(range(k, 50)))  # the data, as well as the state
        assert log["loss"].tolist() == whole[k:]
        assert tree.digest(tail) == tree.digest(state)


def without_time(rows):
    return [{name: value for name, value in row.items() if name not in ("seconds", "examples/s")} for row in rows]


def test_a_cut_inside_a_period_changes_no_row(step, tmp_path):
    whole, rows = train.fit(step, start(), batches(), steps=23, every=7, progress=quiet())
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        killed_at(9, step, directory=cut, steps=23, every=7, saving=train.Saving(every=2))
    assert train.checkpoint.latest(cut) in (6, 8)  # the last one may not have been written when it was killed
    assert train.checkpoint.read_metadata(cut)["period"]["steps"] in (6, 1)
    resumed, history = train.fit(
        step, start(), batches(), steps=23, every=7, saving=train.Saving(every=2), directory=cut, progress=quiet()
    )
    assert tree.digest(resumed) == tree.digest(whole)
    assert without_time(history) == without_time(rows)
    assert [row["step"] for row in map(json.loads, (cut / "metrics.jsonl").read_text().splitlines())] == rows["step"]
    table = list(csv.DictReader((cut / "metrics.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in table] == rows["loss"]


def killed_at(last, step, **options):
    """Train, but fail when batch number `last` is asked for."""

    def dying(k):
        if k >= last:
            raise KeyboardInterrupt
        return batches()(k)

    train.fit(step, start(), dying, progress=quiet(), **options)


class Asking:
    """Batches that send this process a signal when a batch is asked for."""

    def __init__(self, number, at):
        self.number, self.at = number, at

    def __call__(self, k):
        if k == self.at:
            os.kill(os.getpid(), self.number)
        return batches()(k)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_finishes_the_step_saves_and_ends_with_its_code(step, tmp_path, number):
    before = signal.getsignal(number)
    whole, rows = train.fit(step, start(), batches(), steps=40, every=11, progress=quiet())
    out = io.StringIO()
    with pytest.raises(train.StoppedError, match=f"stopped by {number.name} after step") as caught:
        train.fit(
            step, start(), Asking(number, 17), steps=40, every=11, directory=tmp_path, progress=train.Progress(out)
        )
    assert caught.value.code == 75
    assert isinstance(caught.value, SystemExit)
    assert 0 < caught.value.step < 40
    assert train.checkpoint.latest(tmp_path) == caught.value.step
    assert f"after step {caught.value.step}, which is saved: run it again to go on" in out.getvalue()
    assert signal.getsignal(number) == before
    resumed, history = train.fit(step, start(), batches(), steps=40, every=11, directory=tmp_path, progress=quiet())
    assert tree.digest(resumed) == tree.digest(whole)
    assert without_time(history) == without_time(rows)


def test_without_a_directory_and_in_other_threads_signals_are_left_alone(step, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train.fit(step, start(), Asking(signal.SIGINT, 3), steps=10**9, every=10, progress=quiet())
    found = []

    def inside(state):
        found.append(signal.getsignal(signal.SIGTERM))
        return {}

    options = {"steps": 2, "evaluate": inside, "progress": quiet(), "directory": tmp_path}
    thread = threading.Thread(target=lambda: train.fit(step, start(), batches(), **options))
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_the_second_signal_acts_at_once():
    with pytest.raises(KeyboardInterrupt), train.signals.stop_signals() as asked:  # noqa: PT012
        assert asked() is None
        os.kill(os.getpid(), signal.SIGUSR1)
        assert asked() == signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGINT)
    program = "import os, signal; from fdl.train.signals import stop_signals\nwith stop_signals():\n"
    program += (
        "    os.kill(os.getpid(), 15); print('noted', flush=True); os.kill(os.getpid(), 15); print('not reached')"
    )
    done = run_program(program)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "noted\n")  # a shell shows 143


STOPPED = """
import os, signal, sys
import jax.numpy as jnp
from fdl import train
def move(state, batch):
    return state._replace(step=state.step + 1), {"loss": jnp.float32(1)}
def batches(k):
    if k == 40 and sys.argv[1:]: os.kill(os.getpid(), signal.SIGTERM)
    return jnp.zeros(1)
state = train.TrainState(jnp.int32(0), (), {"kernel": jnp.zeros(2)}, {}, ())
train.fit(train.Step(move), state, batches, steps=200, every=100, directory="run")
print("complete")
"""


def test_the_exit_code_tells_a_stopped_run_from_a_complete_one(tmp_path):
    """A program in a shell, as a scheduler sees it."""
    (tmp_path / "train.py").write_text(STOPPED)
    shell = 'python() { "%s" %s train.py "$@"; }; python stop; echo "code $?"; python; echo "code $?"'
    done = subprocess.run(
        ["sh", "-c", shell % (sys.executable, " ".join(f"'{word}'" for word in STRICT))],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    first, second = done.stdout.split("code 75\n")
    assert "stopped by SIGTERM after step" in first
    assert second.endswith("complete\ncode 0\n")
    assert "going on after step" in second
    assert "Traceback" not in done.stderr


def run_program(program, **options):
    return subprocess.run(
        [sys.executable, *STRICT, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_a_run_that_hangs_ends_and_shows_where():
    program = """
import threading, time
from fdl.train import watchdog
def stuck_in_here(): time.sleep(60)
with watchdog(0.5) as alive:
    for _ in range(3):
        time.sleep(0.3)
        alive()
    print("alive", flush=True)
    threading.Thread(target=stuck_in_here, daemon=True).start()
    stuck_in_here()
"""
    start = time.monotonic()
    done = run_program(program)
    assert time.monotonic() - start < 40
    assert done.returncode == 1
    assert done.stdout == "alive\n"
    assert "Timeout (0:00:00.500000)!" in done.stderr
    assert len(re.findall("in stuck_in_here", done.stderr)) == 2
    with pytest.raises(ValueError, match="more than 0 seconds, got 0"), train.watchdog(0):
        pass
    with train.watchdog(None) as alive:
        alive()


def test_a_run_that_is_watched_and_moves_is_left_alone(step):
    state, _ = train.fit(step, start(), batches(), steps=20, every=5, timeout=60, progress=quiet())
    assert int(state.step) == 20


def test_a_loss_that_is_not_finite_names_gradients_and_the_last_good_checkpoint(tmp_path):
    told = train.make_train_step(loss_fn, OPTIMIZER, gradient_norms=True)
    with pytest.raises(train.NonFiniteError, match=r"not finite at step 8: loss nan, gradient/\w+/\w+ nan") as caught:
        train.fit(told, start(), lambda k: poisoned_at_8(k), steps=30, every=3, directory=tmp_path, progress=quiet())
    assert caught.value.step == 8
    assert set(caught.value.metrics) == {"loss", *(f"gradient/{path}" for path in tree.flatten(start().params))}
    assert caught.value.__notes__ == ["the last good checkpoint is of step 6"]
    assert train.checkpoint.latest(tmp_path) == 6


def poisoned_at_8(k):
    batch = batches()(k)
    return batch | {"x": np.full_like(batch["x"], np.nan)} if k == 8 else batch


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
    """The loss of a step can be finite and its gradient not: the square root at zero."""

    def steep(params, state, batch, key):
        loss, rest = loss_fn(params, state, batch, key)
        at_zero = jnp.sum(params["dense_0"]["kernel"]) * jnp.where(jnp.mean(batch["x"]) > 5, 0.0, 1.0)
        return loss + 1e-3 * jnp.sqrt(jnp.square(at_zero)), rest

    def far_at_7(k):
        return batches()(k) | ({"x": np.full((8, 4), 9, np.float32)} if k == 7 else {})

    step = train.make_train_step(steep, OPTIMIZER)
    with pytest.raises(
        train.NonFiniteError, match=r"parameters are not finite at step 7: loss 1\.\d+, parameters nan"
    ) as caught:
        train.fit(step, start(), far_at_7, steps=30, every=4, directory=tmp_path, progress=quiet())
    assert caught.value.__notes__ == ["the last good checkpoint is of step 4"]
    state, _ = train.checkpoint.restore(tmp_path, start())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_skipping_leaves_out_the_batch_and_nothing_else(step):
    careful = train.skipping(step)
    state, log = train.run(careful, start(), poisoned(3), 5)
    assert log["skipped"].tolist() == [0, 0, 0, 1, 0]
    clean, _ = train.run(careful, start(), batches(), 3)
    clean = clean._replace(step=clean.step + 1)
    clean, _ = train.run(careful, clean, batches(), 1)
    assert tree.digest(clean) == tree.digest(state)
    _, history = train.fit(careful, start(), poisoned(3), epochs=2, progress=quiet())
    assert history["skipped"] == [1, 1]  # once an epoch it comes up
    assert history["loss"][0] == pytest.approx(float(np.delete(log["loss"], 3).mean()), rel=1e-6)
    alike, plain = train.run(careful, start(), batches(), 5), train.run(step, start(), batches(), 5)
    np.testing.assert_allclose(alike[1]["loss"], plain[1]["loss"], rtol=1e-6)


def test_skipping_everything_stops(step):
    careful, all_bad = train.skipping(step), batches(EXAMPLES | {"x": np.full_like(X, np.nan)})
    for run in (
        lambda: train.run(careful, start(), all_bad, 4),
        lambda: train.fit(careful, start(), all_bad, epochs=2, progress=quiet()),
    ):
        with pytest.raises(train.NonFiniteError, match="skipped"):
            run()


def test_rolling_back_goes_on_from_the_last_checkpoint_with_other_data(step, tmp_path):
    asked = []

    def bad_once(k):
        asked.append(k)
        return poisoned_at_8(k)

    out = io.StringIO()
    options = {"steps": 20, "every": 3, "progress": train.Progress(out)}
    state, history = train.fit(step, start(), bad_once, directory=tmp_path / "run", rollbacks=1, **options)
    assert int(state.step) == 20
    assert "not finite at step 8: back to step 6, on with other data" in out.getvalue()
    assert history["step"] == [3, 6, 9, 12, 15, 18, 20]
    assert all(np.isfinite(history["loss"]))
    assert max(asked) == 22  # the data of steps 6 to 8 were left behind
    assert train.checkpoint.read_metadata(tmp_path / "run")["shift"] == 3
    straight, _ = train.run(step, start(), batches(), 6)
    straight, _ = train.run(step, straight, lambda k: batches()(k + 3), 14)
    assert tree.digest(straight) == tree.digest(state)
    with pytest.raises(train.NonFiniteError):
        train.fit(step, start(), bad_once, directory=tmp_path / "other", **options)
    with pytest.raises(ValueError, match="to roll back a run needs a directory"):
        train.fit(step, start(), bad_once, rollbacks=1, **options)


def test_rolling_back_works_with_shuffled_batches_before_the_first_report_and_not_for_ever(step, tmp_path):
    bad = poisoned(3)  # in every order of the data
    with pytest.raises(train.NonFiniteError) as caught:
        train.fit(step, start(), bad, epochs=3, directory=tmp_path, rollbacks=2, progress=quiet())
    assert caught.value.__notes__ == ["the last good checkpoint is of step 0"]


def test_a_new_run_in_an_old_directory_is_refused_and_a_damaged_one_is_not_begun_anew(step, tmp_path):
    options = {"every": 2, "directory": tmp_path, "progress": quiet()}
    train.fit(step, start(), batches(), steps=4, **options)
    with pytest.raises(train.checkpoint.CheckpointError, match="holds a run; leave resume=True"):
        train.fit(step, start(), batches(), steps=4, resume=False, **options)
    for folder in tmp_path.glob("step_*"):
        (folder / "manifest.json").write_text("")
    with (
        pytest.warns(UserWarning, match="trying the checkpoint before it"),
        pytest.raises(train.checkpoint.CheckpointError, match="no whole checkpoint in"),
    ):
        train.fit(step, start(), batches(), steps=6, **options)


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before_and_no_bit(step, tmp_path):
    options = {"every": 2, "progress": quiet()}
    whole, rows = train.fit(step, start(), batches(), steps=9, **options)
    train.fit(step, start(), batches(), steps=6, directory=tmp_path, **options)
    arrays = tmp_path / "step_00000006" / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step_00000006.*trying the checkpoint before it"):
        again, history = train.fit(
            step, start(), batches(), steps=9, saving=train.Saving(every=1), directory=tmp_path, **options
        )
    assert tree.digest(again) == tree.digest(whole)
    assert without_time(history) == without_time(rows)
    assert (tmp_path / "damaged_step_00000006").exists()


def test_a_full_disk_ends_the_run_or_is_a_warning(step, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "commit", full)
    options = {"steps": 6, "every": 2, "directory": tmp_path, "progress": quiet()}
    with pytest.raises(OSError, match="step 2 was not saved: No space left on device"):
        train.fit(step, start(), batches(), **options)
    with pytest.warns(UserWarning, match="step [246] was not saved") as caught:
        state, _ = train.fit(step, start(), batches(), saving=train.Saving(strict=False), **options)
    assert len(caught) == 3
    assert int(state.step) == 6
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_two_runs_do_not_share_a_directory(step, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock = train.checkpoint.lock
    holder = lock._holder() | {"pid": other.pid, "started": lock._started(other.pid)}
    (tmp_path / ".lock").write_text(json.dumps(holder))
    with pytest.raises(train.checkpoint.LockedError, match=f"process {other.pid} on"):
        train.fit(step, start(), batches(), steps=6, directory=tmp_path, progress=quiet())
    other.communicate()
    train.fit(step, start(), batches(), steps=6, directory=tmp_path, progress=quiet())


@contextmanager
def compilations():
    """What JAX compiles inside, big or small."""
    found = []

    def listen(event, seconds, **told):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(told)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_compiled_once_through_a_ragged_evaluation_a_save_and_a_resume_and_warned_of_otherwise(tmp_path):
    """The run, its evaluation over 40 examples by 16, saves between reports, and the run that goes on."""
    step = train.make_train_step(loss_fn, OPTIMIZER)
    predict = lambda params, state, batch: (MODEL.apply(params, state, batch["x"])[0], batch["label"])
    measure = train.make_evaluate(predict, {"correct": metrics.correct()})
    options = {
        "directory": tmp_path,
        "saving": train.Saving(every=3),
        "evaluate": lambda s: measure(s, EXAMPLES, batch=16),
    }
    for epochs in (1, 2):
        train.fit(step, start(), batches(), epochs=epochs, progress=quiet(), **options)
    with compilations() as later:
        train.fit(step, start(), batches(), epochs=3, progress=quiet(), **options)
    assert later == []
    assert step._many.programs() == 1
    ragged = lambda k: {name: rows[: 8 - k] for name, rows in batches()(k).items()}
    state, _ = step(start(), ragged(0))
    state, _ = step(state, ragged(1))
    with pytest.warns(UserWarning, match="the train step was compiled for the 3rd time") as caught:
        state, _ = step(state, ragged(2))
    message = str(caught[0].message)
    assert "argument 1/label is int32[6], was int32[7]; argument 1/x is float32[6,4], was float32[7,4]" in message
    assert "drop or pad a last batch" in message
    step(state, ragged(2))
