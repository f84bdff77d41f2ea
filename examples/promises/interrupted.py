"""What a save over a good checkpoint leaves when it is killed: the old arrays, the new ones, or nothing that loads.

At random instants, which is how a machine dies, and at the system calls that change files, one after the other, by
strace, which follows every thread of the saving process whatever language it is written in.
"""

import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from examples.promises.forks import Fork, in_fork
from examples.promises.savers import Arrays, Saver

CALLS = "write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir"
OUTCOMES, ENDED = ("old", "new", "lost", "mixed"), "came to its end"
Killer = Callable[[Fork], None]


def filled(value: int, size: int) -> Arrays:
    """Two arrays of this value, `size` bytes in all."""
    return {name: np.full(size // 8, value, np.float32) for name in ("kernel", "table")}


def interrupted(saver: Saver, folder: Path, kills: int, size: int, seed: int = 0) -> dict[str, Any]:
    """Kill so many saves at random instants, and as many at places spread over their system calls."""
    chance = random.Random(seed)
    in_fork(lambda: (folder / "good").mkdir() or saver.save(folder / "good", 1, filled(1, size)))
    seconds = statistics.median(_trial(saver, folder, size, lambda fork: None)[1] for _ in range(5))
    found: dict[str, Any] = {"seconds": round(seconds, 4), "instants": _none(), "calls": None}
    while sum(found["instants"].values()) < kills:
        outcome, _ = _trial(saver, folder, size, lambda fork: fork.kill_after(chance.uniform(0, seconds)))
        if outcome != ENDED:
            found["instants"][outcome] += 1
    if places := _places(saver, folder, size):
        found |= {"places": len(places), "calls": _none()}
        for name, count in _spread(places, kills):
            outcome, _ = _trial(saver, folder, size, _at(name, count))
            if outcome != ENDED:  # threads are not scheduled alike in two saves
                found["calls"][outcome] += 1
    return found


def _none() -> dict[str, int]:
    return dict.fromkeys(OUTCOMES, 0)


def _spread(places: list, most: int) -> list:
    """At most so many of them, evenly, the first and the last among them."""
    if len(places) <= most:
        return places
    return [places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)]


def _trial(saver: Saver, folder: Path, size: int, killer: Killer) -> tuple[str, float]:
    """What a save leaves that is killed, or ENDED, and the seconds it took."""
    directory = folder / "trial"
    shutil.copytree(folder / "good", directory)
    try:
        fork = Fork(lambda: saver.save(directory, 2, filled(2, size)))
        start = time.perf_counter()
        killer(fork)
        fork.go()
        status = fork.wait()
        seconds = time.perf_counter() - start
        if status == 0:
            return ENDED, seconds
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the save failed by itself"
        return in_fork(lambda: _judged(saver, directory, size)), seconds
    finally:
        shutil.rmtree(directory)


def _judged(saver: Saver, directory: Path, size: int) -> str:
    try:
        loaded = saver.load(directory, filled(0, size))
    except BaseException:
        return "lost"
    values = {float(value) for array in loaded.values() for value in np.unique(np.asarray(array))}
    return {frozenset({1.0}): "old", frozenset({2.0}): "new"}.get(frozenset(values), "mixed")


def _at(name: str, count: int) -> Killer:
    """By SIGKILL where a thread enters this system call for the count-th time."""
    return lambda fork: _watch(fork, "-e", f"inject={name}:signal=SIGKILL:when={count}", "-o", os.devnull)


def _places(saver: Saver, folder: Path, size: int) -> list[tuple[str, int]]:
    """(system call, how often a thread has made it) of a whole save, in order; empty where strace cannot watch."""
    if not shutil.which("strace"):
        return []
    log = folder / "calls"
    _trial(saver, folder, size, lambda fork: _watch(fork, "-o", str(log)))
    made: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, int], None] = {}
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE):
        made[thread, name] += 1
        places[name, made[thread, name]] = None
    return list(places)


def _watch(fork: Fork, *options: str) -> None:
    """Have strace follow the process; it returns when it does."""
    command = ["strace", "-f", "-p", str(fork.pid), "-e", f"trace={CALLS}", "-e", "signal=none", *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        fork.kill_after(0)
        fork.go()
        fork.wait()
        raise OSError(f"strace cannot watch: {said}")
    fork.after(tracer.communicate)
