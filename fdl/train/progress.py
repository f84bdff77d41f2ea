"""Progress as a person reads it: a line that renews itself on a terminal, plain lines in a log."""

import sys
from collections.abc import Mapping
from typing import Any, TextIO

import jax

SMALL = 1e-3


def line(row: Mapping[str, Any]) -> str:
    """A row as one line: step 264  loss 0.2101  correct 349  examples/s 51,204."""
    return "  ".join(f"{name} {_number(value)}" for name, value in row.items())


class Progress:
    """Prints rows.  On a terminal `live` rows overwrite one another; in a log they are left out.

    Of several processes the first one alone prints, unless a stream was given.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.given = stream is not None
        self.width = 0

    def live(self, row: Mapping[str, Any]) -> None:
        """A row that the next one replaces."""
        if self.stream.isatty():
            self._write(line(row), end="")

    def final(self, row: Mapping[str, Any]) -> None:
        """A row that stays."""
        self._write(line(row), end="\n")

    def note(self, text: str) -> None:
        """A sentence that stays."""
        self._write(text, end="\n")

    def _write(self, text: str, end: str) -> None:
        if not self.given and jax.process_index() != 0:
            return
        start = "\r" if self.stream.isatty() else ""
        self.stream.write(start + text.ljust(self.width) + end)
        self.stream.flush()
        self.width = 0 if end else len(text)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3e}" if 0 < abs(value) < SMALL else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10000 else str(value)
