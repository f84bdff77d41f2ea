"""Prefetching: the same batches in the same order, errors where they belong, and no thread left behind."""

import threading
import time

import jax
import numpy as np
import pytest

from fdl.data import prefetch


@pytest.fixture
def threads():
    """The threads of prefetching that were not there before the test."""
    before = set(threading.enumerate())
    return lambda: {thread for thread in threading.enumerate() if thread.name.startswith("fdl-prefetch")} - before


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_order_is_kept_and_the_thread_ends(threads, depth):
    found = list(prefetch(lambda step: {"x": np.full(3, step, np.int32)}, range(20), depth))
    assert [int(batch["x"][0]) for batch in found] == list(range(20))
    assert all(isinstance(batch["x"], jax.Array) for batch in found)
    assert not threads()
    assert list(prefetch(np.int32, [], depth)) == []


def test_no_more_than_depth_are_made_ahead():
    made = []
    ahead = prefetch(lambda step: made.append(step) or np.int32(step), iter(range(100)), 3)
    for consumed in range(1, 10):
        next(ahead)
        time.sleep(0.005)
        assert len(made) <= consumed + 3
    deadline = time.monotonic() + 5
    while len(made) < 12 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert made == list(range(12))
    ahead.close()


def test_work_is_done_in_another_thread():
    names = set()
    list(prefetch(lambda step: names.add(threading.current_thread().name) or np.int32(0), range(3)))
    assert len(names) == 1
    assert names.pop().startswith("fdl-prefetch")


def test_an_exception_is_raised_when_its_batch_is_due(threads):
    def batch_of(step):
        if step == 3:
            raise KeyError("row 3 is damaged")
        return np.int32(step)

    ahead = prefetch(batch_of, range(10))
    assert [int(next(ahead)) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="row 3 is damaged"):
        next(ahead)
    assert not threads()


@pytest.mark.parametrize("leave", ["close", "collect", "break"])
def test_the_thread_ends_when_the_consumer_stops_early(threads, leave):
    ahead = prefetch(np.int32, iter(range(10**9)))
    assert not threads()
    assert int(next(ahead)) == 0
    assert threads()
    if leave == "close":
        ahead.close()
    elif leave == "break":
        for _ in ahead:
            break
    del ahead
    assert not threads()


def test_depth_must_be_positive_and_fails_at_the_call():
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        prefetch(np.int32, [1], 0)


def test_batches_that_wait_are_not_made_after_the_consumer_stopped():
    made = []
    ahead = prefetch(lambda step: made.append(step) or time.sleep(0.02) or np.int32(step), range(100), 30)
    next(ahead)
    ahead.close()
    assert len(made) < 10
