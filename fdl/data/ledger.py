"""The test set is opened once.  Whoever looks twice and chooses in between has trained on it."""

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdl.data.examples import count_examples
from fdl.tree import digest


class OpenedError(RuntimeError):
    """The test set was opened before; the message says when and what for."""


def open_once(examples: Any, ledger: str | os.PathLike, *, purpose: str) -> Any:
    """The examples, the first time; it leaves the file `ledger`, which says when, what for and which examples.

    Call it where all decisions are made, on the examples that no decision has seen.  The file appears whole or not at
    all, and of two processes only one makes it.  Raises OpenedError if it is there.
    """
    path = Path(ledger)
    entry = {"opened": datetime.now(UTC).isoformat(timespec="seconds"), "purpose": purpose}
    entry |= {"examples": count_examples(examples), "sha256": digest(examples)}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with part.open("w") as file:
            file.write(json.dumps(entry, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # unlike a rename it fails where the file is there
    except FileExistsError:
        raise OpenedError(_explain(path, entry)) from None
    finally:
        part.unlink(missing_ok=True)
    return examples


def _explain(path: Path, entry: dict[str, Any]) -> str:
    try:
        before = json.loads(path.read_text())
        same = "the same" if before["sha256"] == entry["sha256"] else f"other ({before['examples']})"
        what = f"{same} examples were opened on {before['opened']} for {before['purpose']!r}"
    except (ValueError, KeyError, TypeError):
        what = "it cannot be read, which counts as opened"
    return (
        f"{path} is there: {what}; a second look makes the test set a validation set. "
        "Decide on validation data, or take fresh test data and a ledger of their own"
    )
