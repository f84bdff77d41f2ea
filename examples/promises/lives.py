"""Lives of a program that can be ended by SIGKILL at any of its events, in forks of one that has only imported JAX.

Events are what a life does that lasts: before and after every system call of a save, and every dispatch of a run.
"""

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path

CALLS = ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir")
Reached = Callable[[str], None]


def live(work: Callable[[Reached], None], ends: int | None, log: Path) -> tuple[bool, list[str]]:
    """Do work(reached) in a fork and kill it at event number `ends`, from 1; whether it came to its end, its events.

    What went wrong in it is written to `log` and raised here.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _live(work, ends, write, log)
    os.close(write)
    with os.fdopen(read) as pipe:
        events = pipe.read().splitlines()
    status = os.waitpid(child, 0)[1]
    if status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        return status == 0, events
    raise RuntimeError(f"a life ended by itself, with {status}: {log.read_text()[-2000:]}")


def _live(work: Callable[[Reached], None], ends: int | None, pipe: int, log: Path) -> None:
    """The child; it never returns."""
    tell, count = os.write, itertools.count(1)

    def reached(event: str) -> None:
        tell(pipe, f"{event}\n".encode())
        if next(count) == ends:
            os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _tell_calls(reached)
        work(reached)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(status)


def _tell_calls(reached: Reached) -> None:
    for name in CALLS:
        setattr(os, name, _told(name, getattr(os, name), reached))


def _told(name: str, call: Callable, reached: Reached) -> Callable:
    def told(*args, **options):
        reached(f"before {name}")
        result = call(*args, **options)
        reached(f"after {name}")
        return result

    return told
