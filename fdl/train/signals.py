"""A run that is asked to stop finishes its step, saves, and says by its exit code that it can go on."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from fdl.train.together import greatest

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")


class StoppedError(SystemExit):
    """A signal asked the run to stop and its state is saved: the program ends with exit code 75 unless it is caught."""

    def __init__(self, number: int, step: int):
        super().__init__(EXIT_CODE)
        self.signal, self.step = signal.Signals(number), step

    def __str__(self) -> str:
        return f"stopped by {self.signal.name} after step {self.step:,}, which is saved: run it again to go on"


@contextmanager
def stop_signals(listen: bool = True) -> Iterator[Callable[[], int | None]]:
    """Inside the block SIGTERM, SIGINT (Ctrl-C) and SIGUSR1 are noted; the function given tells the first, or None.

    All processes of a run call the function together and are told the same, whichever of them was sent the signal.
    A second signal does at once what it did before the block: SIGTERM ends the process, which a shell shows as 143.
    Only the main thread can listen; in another one, or with listen=False, nothing changes.
    """
    if not listen or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted: list[int] = []
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

    def note(number: int, frame: FrameType | None) -> None:
        if noted:
            signal.signal(number, before[number] or signal.SIG_DFL)
            signal.raise_signal(number)
        noted.append(number)

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield lambda: greatest(noted[0] if noted else 0) or None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
