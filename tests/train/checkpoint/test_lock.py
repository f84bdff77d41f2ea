"""One writer a directory."""

import json
import os
import subprocess
import sys
import threading

import pytest

from fdl.train import checkpoint
from fdl.train.checkpoint import lock
from tests.train.checkpoint.states import make


def held_by(directory, **changed):
    (directory / ".lock").write_text(json.dumps(lock._holder() | changed))


@pytest.fixture
def sleeper():
    """Another process, alive."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.stdin.close()
    process.wait()


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path, sleeper):
    checkpoint.save(tmp_path, make(1))
    held_by(tmp_path, pid=sleeper.pid, started=lock._started(sleeper.pid))
    with pytest.raises(
        checkpoint.LockedError, match=rf"is written by process {sleeper.pid} on .*choose another directory"
    ):
        checkpoint.save(tmp_path, make(2))
    with pytest.raises(checkpoint.LockedError), checkpoint.background(tmp_path):
        pass
    assert checkpoint.latest(tmp_path) == 1
    assert (tmp_path / ".lock").exists()


def test_a_holder_elsewhere_is_believed_to_live(tmp_path):
    held_by(tmp_path, host="another machine")
    with pytest.raises(checkpoint.LockedError, match=r"on another machine; .*If you know that it has ended, remove"):
        checkpoint.save(tmp_path, make(1))


@pytest.mark.parametrize(
    "holder",
    [
        {"pid": 2**22 + 1, "started": "1"},  # no such process
        {"started": "1"},  # our number belonged to another before
        {"boot": "before", "pid": 1},  # the machine was started again
    ],
)
def test_a_dead_holder_keeps_nothing(tmp_path, holder):
    held_by(tmp_path, **holder)
    (tmp_path / ".writing-left").mkdir()
    (tmp_path / ".removing-left").mkdir()
    checkpoint.save(tmp_path, make(1))
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_a_killed_holder_that_nobody_waited_for_is_dead(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = lock._started(process.pid)
    while lock._started(process.pid):
        pass
    held_by(tmp_path, pid=process.pid, started=started or "1")
    checkpoint.save(tmp_path, make(1))
    process.wait()


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_no_lock(tmp_path, text, monkeypatch):
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: None)
    (tmp_path / ".lock").write_text(text)
    if "pid" in text:
        with pytest.raises(checkpoint.LockedError):
            checkpoint.save(tmp_path, make(1))
        return
    checkpoint.save(tmp_path, make(1))
    assert checkpoint.latest(tmp_path) == 1


def test_a_process_may_lock_again_inside(tmp_path):
    with checkpoint.locked(tmp_path):
        with checkpoint.locked(tmp_path):
            checkpoint.save(tmp_path, make(1))
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


def test_of_many_who_find_a_dead_holder_one_takes_over(tmp_path, monkeypatch):
    """The same process may enter again, so here each thread plays a process of its own."""
    local = threading.local()
    original = lock._holder
    monkeypatch.setattr(lock, "_holder", lambda: original() | {"thread": local.name})
    monkeypatch.setattr(lock, "_may_live", lambda holder: "thread" in holder)
    inside, most, refused = [], [], []

    def compete(name):
        local.name = name
        for _ in range(20):
            try:
                with checkpoint.locked(tmp_path):
                    inside.append(name)
                    most.append(len(inside))
                    inside.remove(name)
            except checkpoint.LockedError:
                refused.append(name)

    threads = [threading.Thread(target=compete, args=(i,)) for i in range(8)]
    (tmp_path / ".lock").write_text(json.dumps(original() | {"pid": 2**22 + 1}))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 160
    assert [path.name for path in tmp_path.iterdir()] == []
    assert os.listdir(tmp_path) == []
