"""What the disk refuses: the error says where and how much, the old checkpoint stands, nothing is left behind."""

import errno
import itertools
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest.mock import Mock

import jax.numpy as jnp
import numpy as np
import pytest

from fdl import tree
from fdl.train import checkpoint
from fdl.train.checkpoint import disk
from tests.quick import STRICT
from tests.train.checkpoint.states import make

ROOT = Path(__file__).parent.parent.parent.parent


def large(step):
    """A state of a few MB."""
    return make(step)._replace(params={"kernel": jnp.full((1024, 1024), step, jnp.float32)}, opt_state=())


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def refusing(number, original, after=0):
    """The system call, which fails once, after so many calls."""
    calls = itertools.count()

    def call(*args, **kwargs):
        if next(calls) != after:
            return original(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(
    ("name", "after"), [("open", 1), ("write", 1), ("write", 2), ("fsync", 0), ("fsync", 2), ("rename", 0)]
)
def test_an_error_of_any_call_names_path_and_bytes_and_changes_nothing(tmp_path, monkeypatch, number, name, after):
    checkpoint.save(tmp_path, make(1))
    with monkeypatch.context() as patched:
        patched.setattr(disk.os, name, refusing(number, getattr(os, name), after))
        with pytest.raises(
            OSError, match=r"step 2 was not saved: .*; it needs [\d,]+ bytes, [\d,]+ are free"
        ) as caught:
            checkpoint.save(tmp_path, make(2))
    assert caught.value.errno == number
    assert caught.value.filename == str(tmp_path)
    assert names(tmp_path) == ["step_00000001"]
    checkpoint.save(tmp_path, make(2))
    assert checkpoint.latest(tmp_path) == 2


def test_a_file_that_may_not_grow_so_large(tmp_path):
    """RLIMIT_FSIZE: the kernel itself refuses, after a part was written."""
    checkpoint.save(tmp_path, large(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, hard))
    try:
        with pytest.raises(OSError, match=r"File too large; it needs 4,19\d,\d+ bytes"):
            checkpoint.save(tmp_path, large(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["step_00000001"]
    assert tree.digest(checkpoint.restore(tmp_path, large(1))[0]) == tree.digest(large(1))


FILL = """
import sys
import jax.numpy as jnp
from fdl import train
for step in range(1, 9):
    state = train.TrainState(jnp.int32(step), (), {"kernel": jnp.full((512, 512), step, jnp.float32)}, {}, ())
    try:
        train.checkpoint.save(sys.argv[1], state, keep=9)
    except OSError as error:
        print(error)
        break
print(sorted(path.name for path in __import__("pathlib").Path(sys.argv[1]).iterdir()))
assert float(train.checkpoint.restore(sys.argv[1], state)[0].params["kernel"][0, 0]) == step - 1
"""


def test_a_disk_that_is_truly_full(tmp_path):
    """A file system of 4 MB in memory; it needs a user namespace, which some machines refuse."""
    (tmp_path / "disk").mkdir()
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@"', "sh"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*mount, tmp_path / "disk", "true"], capture_output=True).returncode
    ):
        pytest.skip("this machine lets us mount nothing")
    program = [sys.executable, *STRICT, "-c", FILL, "disk"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*mount, "disk", *program], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"step 4 was not saved: No space left on device; it needs 1,04\d,\d+ bytes, \d", done.stdout)
    assert "['step_00000001', 'step_00000002', 'step_00000003']" in done.stdout


def test_what_is_no_directory_and_what_is_missing(tmp_path):
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(OSError, match=r"step 7 was not saved: (File exists|Not a directory)"):
            checkpoint.save(wrong, make())
    assert checkpoint.save(tmp_path / "deep" / "er", make()).exists()


def test_a_directory_behind_a_link(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "scratch")
    for step in (1, 2, 3):
        checkpoint.save(tmp_path / "run", make(step), keep=2)
    assert names(tmp_path / "scratch") == ["step_00000002", "step_00000003"]
    moved = shutil.move(tmp_path / "scratch" / "step_00000002", tmp_path / "elsewhere")
    (tmp_path / "scratch" / "step_00000002").symlink_to(moved)
    checkpoint.save(tmp_path / "run", make(4), keep=2)
    assert names(tmp_path / "scratch") == ["step_00000003", "step_00000004"]
    assert os.path.exists(moved)  # retention removes the link and nothing behind it


def test_a_clock_that_goes_backwards(tmp_path, monkeypatch):
    """Order is by step: no clock is asked."""
    for step, second in ((1, 2e9), (2, 1e9), (3, 0.0)):
        monkeypatch.setattr(time, "time", lambda second=second: second)
        os.utime(checkpoint.save(tmp_path, make(step), keep=2), (second, second))
    assert names(tmp_path) == ["step_00000002", "step_00000003"]
    assert checkpoint.latest(tmp_path) == 3


def test_what_cannot_be_removed_is_a_warning_since_the_new_one_stands(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make(1))
    monkeypatch.setattr(disk.shutil, "rmtree", refusing(errno.EIO, shutil.rmtree, after=1))
    with pytest.warns(UserWarning, match=r"the old checkpoint .*step_00000001 cannot be removed"):
        checkpoint.save(tmp_path, make(2), keep=1)
    assert checkpoint.latest(tmp_path) == 2
    monkeypatch.undo()
    checkpoint.save(tmp_path, make(3), keep=1)
    assert names(tmp_path) == ["step_00000003"]  # with what was left of the first


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        checkpoint.save(tmp_path, make(), keep=0)


def test_a_background_save_copies_before_it_returns_and_is_awaited(tmp_path, monkeypatch):
    slow = disk.commit
    monkeypatch.setattr(disk, "commit", lambda *args: (time.sleep(0.2), slow(*args)))
    values = np.ones((64, 64), np.float32)
    state = make(1)._replace(params={"kernel": values}, opt_state=())
    metadata = {"rows": [1]}
    with checkpoint.background(tmp_path) as writer:
        start = time.perf_counter()
        writer.save(state, metadata=metadata)
        assert time.perf_counter() - start < 0.2
        values[:] = 0  # what donation does to the memory of the state
        metadata["rows"].append(2)
        assert checkpoint.latest(tmp_path) is None
    found, kept = checkpoint.restore(tmp_path, state)
    assert float(found.params["kernel"].min()) == 1
    assert kept == {"rows": [1]}


def test_a_background_save_that_fails_is_raised_by_the_next_or_at_the_end(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(disk, "commit", Mock(side_effect=full))
    with checkpoint.background(tmp_path) as writer:
        writer.save(make(1))
        with pytest.raises(OSError, match="step 1 was not saved: No space left"):
            writer.save(make(2))
    with pytest.raises(OSError, match="step 3 was not saved"), checkpoint.background(tmp_path) as writer:
        writer.save(make(3))
    with pytest.raises(KeyError) as caught, checkpoint.background(tmp_path) as writer:  # noqa: PT012
        writer.save(make(4))
        raise KeyError("another mistake")
    assert "the last checkpoint was not saved" in caught.value.__notes__[0]
    assert names(tmp_path) == []
    with (
        pytest.warns(UserWarning, match="step 5 was not saved: No space left"),
        checkpoint.background(tmp_path, strict=False) as writer,
    ):
        writer.save(make(5))


def test_nothing_is_lost_of_what_the_background_saved(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with checkpoint.background(tmp_path, keep=2) as writer:
            for step in range(1, 20):
                writer.save(make(step))
            writer.wait()
            assert checkpoint.latest(tmp_path) == 19
    assert names(tmp_path) == ["step_00000018", "step_00000019"]
