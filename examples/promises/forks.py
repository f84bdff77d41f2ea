"""Work in a process of its own, which has all that this one has imported, and may die."""

import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any


def in_fork(work: Callable[[], Any]) -> Any:
    """What work() returns, in JSON, in a fork of this process.  Raises RuntimeError if it fails."""
    read, write = os.pipe()

    def told() -> None:
        os.close(read)
        result = json.dumps(work())
        with os.fdopen(write, "w") as pipe:
            pipe.write(result)

    fork = Fork(told)
    os.close(write)
    fork.go()
    with os.fdopen(read) as pipe:
        result = pipe.read()
    status = fork.wait()
    if status:
        raise RuntimeError(f"the work in process {fork.pid} ended with status {status}")
    return json.loads(result)


class Fork:
    """A process that does work() when it is told to, and leaves in silence with status 0."""

    def __init__(self, work: Callable[[], Any]):
        wait, self._go = os.pipe()
        self._kill_after: float | None = None
        self._after: list[Callable[[], Any]] = []
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            os._exit(_done(wait, work))
        os.close(wait)

    def kill_after(self, seconds: float) -> None:
        """SIGKILL so long after it was told to go."""
        self._kill_after = seconds

    def after(self, work: Callable[[], Any]) -> None:
        """To be done when it has ended."""
        self._after.append(work)

    def go(self) -> None:
        """Tell it to go."""
        os.write(self._go, b".")

    def wait(self) -> int:
        """Its status, when it has ended."""
        if self._kill_after is not None:
            time.sleep(self._kill_after)
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._go)
        for work in self._after:
            work()
        return status


def _done(wait: int, work: Callable[[], Any]) -> int:
    try:
        os.read(wait, 1)
        work()
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
