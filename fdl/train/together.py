"""What the processes of a run tell each other; where there is one, nothing is sent."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from fdl.train.checkpoint.manifest import CheckpointError

T = TypeVar("T")


class DisagreementError(RuntimeError):
    """Processes or devices that must hold the same do not."""


def exchange(value: Any) -> list[Any]:
    """The values, plain JSON data, of all processes, in their order.  All must call it."""
    if jax.process_count() == 1:
        return [value]
    text = json.dumps(value).encode()
    lengths = process_allgather(np.array([len(text)], np.int32)).ravel()
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    rows = process_allgather(padded).reshape(len(lengths), -1)
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths)]


def require_equal(what: str, value: Any) -> None:
    """Raise DisagreementError, in all processes, unless each gives a value that prints the same.

    For what must be equal before a run may begin: versions, a configuration.
    """
    texts = exchange(repr(value))
    others = [i for i, text in enumerate(texts) if text != texts[0]]
    if others:
        raise DisagreementError(
            f"{what} of process {others[0]} is {texts[others[0]]}, of process 0 {texts[0]}; "
            f"{len(others)} of {len(texts)} processes differ from process 0"
        )


def greatest(number: int) -> int:
    """The largest of the numbers that all processes give, in 32 bits.  All must call it."""
    return number if jax.process_count() == 1 else int(process_allgather(np.array([number], np.int32)).max())


def together(f: Callable[[], T]) -> T:
    """f() of this process, once all have ended theirs well; where it raises in one, it raises in all.

    In the others it is an OSError, where it was one, or a CheckpointError, and names the process.
    """
    try:
        made, error = f(), None
    except Exception as caught:  # whatever it is, the others must not wait for ever
        made, error = None, caught
    told = exchange(_told(error))
    if error is not None:
        raise error
    for process, failure in enumerate(told):
        if failure is not None:
            number, text = failure[0], f"in process {process}: {failure[1]}"
            raise CheckpointError(text) if number is None else OSError(number, text)
    return made  # type: ignore[return-value]  f returned it


def of_first(f: Callable[[], Any]) -> Any:
    """What f() gives in process 0, plain JSON data, told to all; where it raises, it raises in all."""
    return exchange(together(f if jax.process_index() == 0 else lambda: None))[0]


def _told(error: Exception | None) -> Any:
    """What the others hear of an error: its number, where the system gave one, and what it says."""
    if isinstance(error, OSError) and error.errno is not None:
        return [error.errno, error.strerror or str(error)]
    return None if error is None else [None, str(error)]
