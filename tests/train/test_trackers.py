"""Trackers hold every row of a run once, also where the run was killed, as their own readers see it."""

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from fdl import train
from fdl.train import trackers

ROOT = Path(__file__).parent.parent.parent
STEPS = [10, 20, 30, 40]
KILLED_AT = 30
ALONE = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "DO_NOT_TRACK": "true"}  # none calls home
ANY_WARNING = pytest.mark.filterwarnings("ignore")  # of theirs, which come and go with their versions

LIFE = """
import os, signal, sys
import jax.numpy as jnp
from fdl import train
from fdl.train import trackers
def move(state, batch):
    return state._replace(step=state.step + 1), {"loss": 1 / (state.step + 1)}
def killed(state, history):
    if history[-1]["step"] == int(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)
    return state, {}
state = train.TrainState(jnp.int32(0), (), {"kernel": jnp.zeros(2)}, {}, ())
hooks = [lambda state, history: (state, {"rate": 0.5, "note": "text"}), TRACKER, killed]
train.fit(train.Step(move), state, lambda k: jnp.zeros(1), steps=40, every=10, directory="run", hooks=hooks)
"""


def lives(tracker, folder):
    """A run killed when the tracker has its third row and no checkpoint does; the same again, to its end."""
    for killed_at, code in ((KILLED_AT, -signal.SIGKILL), (0, 0)):
        done = subprocess.run(
            [sys.executable, "-c", LIFE.replace("TRACKER", tracker), str(killed_at)],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | ALONE,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, done.stderr[-3000:]
    assert "going on after step 20 of run" in done.stdout
    return [np.mean(1 / np.arange(step - 9, step + 1)) for step in STEPS]


@ANY_WARNING
def test_tensorboard_reads_every_row_once(tmp_path):
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    loss = lives("trackers.tensorboard('board')", tmp_path)
    assert len(list((tmp_path / "board").iterdir())) == 2
    board = reader.EventAccumulator(str(tmp_path / "board")).Reload()
    assert set(board.Tags()["scalars"]) == {"loss", "rate", "seconds"}
    for name, values in {"loss": loss, "rate": [0.5] * 4}.items():
        assert [event.step for event in board.Scalars(name)] == STEPS
        assert [event.value for event in board.Scalars(name)] == pytest.approx(values)


@ANY_WARNING
def test_mlflow_reads_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    mlflow = pytest.importorskip("mlflow")
    loss = lives("trackers.mlflow('a run', experiment='fdl', uri='sqlite:///runs.db')", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    (run,) = client.search_runs([client.get_experiment_by_name("fdl").experiment_id])
    assert run.info.run_name == "a run"
    assert run.data.metrics.keys() == {"loss", "rate", "seconds", "step"}
    for name, values in {"loss": loss, "rate": [0.5] * 4, "step": STEPS}.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [metric.step for metric in history] == STEPS
        assert [metric.value for metric in history] == pytest.approx(values)


def test_each_life_offline_leaves_wandb_the_whole_history_and_no_row_twice(tmp_path):
    pytest.importorskip("wandb")
    loss = lives("trackers.wandb('a', project='fdl', mode='offline')", tmp_path)
    *cut, newest = [rows_of(path) for path in sorted(tmp_path.glob("wandb/offline-run-*/run-a.wandb"))]
    assert len(cut) == 1
    assert [row["_step"] for row in cut[0]] == STEPS[: len(cut[0])]  # a kill takes what was on its way to the file
    assert [row["_step"] for row in newest] == STEPS
    assert [row["loss"] for row in newest] == pytest.approx(loss)
    assert [row["rate"] for row in newest] == [0.5] * 4
    assert {name for name in newest[0] if name[0] != "_"} == {"loss", "rate", "seconds"}


def rows_of(path):
    """The rows in a file of wandb: records in the log format of LevelDB, in blocks of 32 KiB, after a head of 7 bytes.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    from wandb.proto.wandb_internal_pb2 import Record

    blob, at, parts, rows = path.read_bytes(), 7, b"", []
    while at + 7 <= len(blob):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack_from("<IHB", blob, at)
        parts, at = parts + blob[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a record as a whole, or its last part
            entries = Record.FromString(parts).history.item
            rows += [{(e.key or "/".join(e.nested_key)): json.loads(e.value_json) for e in entries}] if entries else []
            parts = b""
    return rows


def test_wandb_online_is_given_what_it_lacks(monkeypatch):
    """Of a run that is gone on with, the server tells the next step."""
    given, asked = [], {}
    run = SimpleNamespace(step=21, log=lambda numbers, step, commit: given.append((step, numbers, commit)))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: asked.update(options) or run))
    told(trackers.wandb("a", project="fdl"), 10, 20, 30)
    assert asked == {"id": "a", "resume": "allow", "project": "fdl"}
    assert given == [(30, {"loss": 3.0}, True)]


class Shelf:
    """A tracker that remembers what it was given."""

    def __init__(self, last=-1):
        self.last, self.rows, self.begun = last, [], 0

    def begin(self):
        self.begun += 1
        return self.last, lambda step, numbers: self.rows.append((step, numbers))


def told(hook, *steps, **entries):
    """The hook's answer at a report with these rows behind it."""
    history = train.History({"step": step, "loss": step / 10, **entries} for step in steps)
    assert hook("state", history) == ("state", {})


def test_rows_are_written_once_and_missing_ones_too():
    shelf = Shelf(last=20)
    hook = trackers.mirror(shelf.begin)
    assert shelf.begun == 0
    told(hook, 10, 20)  # the last row again
    assert shelf.rows == []
    told(hook, 10, 20, 30)
    told(hook, 10, 20, 30, 40, 50)  # a hook that is not called at every report
    told(hook, 10, 20, 30, 40, 50)
    assert shelf.rows == [(30, {"loss": 3.0}), (40, {"loss": 4.0}), (50, {"loss": 5.0})]
    assert shelf.begun == 1


def test_numbers_alone_go_to_a_tracker():
    shelf = Shelf()
    entries = {"half": np.float32(0.5), "narrow": jnp.bfloat16(2), "stop": True, "text": "a", "none": None}
    told(trackers.mirror(shelf.begin), 1, **entries, many=np.zeros(3), nan=float("nan"))
    ((step, numbers),) = shelf.rows
    assert (step, numbers.pop("nan")) == (1, pytest.approx(float("nan"), nan_ok=True))
    assert numbers == {"loss": 0.1, "half": 0.5, "narrow": 2.0, "stop": 1.0}
    assert {type(number) for number in numbers.values()} == {float}


def test_another_run_in_the_same_tracker_is_a_warning():
    with pytest.warns(UserWarning, match="rows up to step 500 already, this is step 10"):
        told(trackers.mirror(Shelf(last=500).begin), 10)


def test_what_is_missing_is_named_before_the_run_begins(monkeypatch):
    makers = {"tensorboardX": trackers.tensorboard, "wandb": trackers.wandb, "mlflow": trackers.mlflow}
    for module, make in makers.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"needs {module}: pip install 'fdl\[{make.__name__}\]'"):
            make("name")


def test_a_name_that_cannot_be_looked_up_is_refused():
    with pytest.raises(ValueError, match='may hold none itself, got "it\'s"'):
        trackers.mlflow("it's")
