"""Rows of text in columns."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], left: int) -> str:
    """The rows one below the other, the first `left` columns flush left and the others flush right; a head first."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join(f"{cell:<{w}}" if i < left else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths)))
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(line.rstrip() for line in lines)
