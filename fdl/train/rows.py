"""The history of a run as files that any tool reads: metrics.jsonl and metrics.csv, a row a report.

Of several processes the first one writes them.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

Row = dict[str, Any]


def write_rows(directory: Path, rows: Sequence[Row]) -> None:
    """Both files anew, at one stroke each: a run that goes on drops rows that it will write again."""
    if jax.process_index() != 0:
        return
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "metrics.jsonl", "".join(map(_json, rows)))
    _replace(directory / "metrics.csv", _table(rows, columns(rows)))


def append_row(directory: Path, rows: Sequence[Row]) -> None:
    """Write the last of the rows; the others stand there already."""
    if jax.process_index() != 0:
        return
    *before, last = rows
    known = columns(before)
    if columns(rows) != known:
        write_rows(directory, rows)
        return
    with open(directory / "metrics.jsonl", "a") as file:
        file.write(_json(last))
    with open(directory / "metrics.csv", "a", newline="") as file:
        file.write(_table([last], known, head=False))


def columns(rows: Sequence[Row]) -> list[str]:
    """The names of all rows, in the order in which they came."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _json(row: Row) -> str:
    return json.dumps(row, default=lambda array: array.tolist()) + "\n"


def _table(rows: Sequence[Row], names: list[str], *, head: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if head and names:
        writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(value, default=lambda a: a.tolist())


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}")
    part.write_text(text)
    os.replace(part, path)
