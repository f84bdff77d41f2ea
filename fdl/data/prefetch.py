"""Batches made ahead of their use, by one background thread."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fdl.data.examples import on_device


def prefetch(batch_of: Callable[[int], Any], steps: Iterable[int], depth: int = 2) -> Generator[Any, None, None]:
    """The batches of these steps, in order and on the device, with up to `depth` made while the consumer works.

    An exception in batch_of is raised here when its batch is due.  The thread starts with the first batch and has ended
    when the iterator is exhausted, closed or collected.  It does not see the `with` blocks around it (jax.enable_x64).
    """
    if depth < 1:
        raise ValueError(
            f"depth must be at least 1, got {depth}; to make batches without a thread, map batch_of over steps"
        )
    return _ahead(lambda step: on_device(batch_of(step)), steps, depth)


def _ahead(load: Callable[[int], Any], steps: Iterable[int], depth: int) -> Generator[Any, None, None]:
    pending: deque[Future] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="fdl-prefetch") as worker:
        try:
            for step in steps:
                pending.append(worker.submit(load, step))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
