"""A run that hangs ends by itself, and says where it hung."""

import faulthandler
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def watchdog(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Inside the block, unless the function given is called every so many seconds, the process ends with exit code 1.

    Before that the stacks of all threads are written to stderr.  The clock runs outside of Python, so that it also ends
    what waits for ever in a compiled program, for a dead peer for instance.  A process has one such clock.  None is no
    watch.  Leave time for compiling.
    """
    if seconds is None:
        yield lambda: None
        return
    if seconds <= 0:
        raise ValueError(f"a watchdog waits for more than 0 seconds, got {seconds}")

    stream = sys.__stderr__ or sys.stderr

    def alive() -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=stream)

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()
