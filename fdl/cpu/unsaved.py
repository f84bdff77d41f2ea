"""Programs that JAX must not write to its cache of compiled programs.

XLA cannot write down a call of oneDNN, and breaks down where it tries; those for several CPU devices it reads back
wrongly.  So while such a program is being compiled, no program takes long enough to be worth a file.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax

from fdl.cache import on_several_cpus

LEAST_SECONDS = "jax_persistent_cache_min_compile_time_secs"
HELD, BEFORE = threading.Lock(), threading.local()  # BEFORE.seconds: what stood there, in the thread that holds


def hold() -> None:
    """Let no program be written until this thread calls `release`; others that would do the same wait for it."""
    if getattr(BEFORE, "seconds", None) is None:
        HELD.acquire()
        config: Any = jax.config
        BEFORE.seconds = config.jax_persistent_cache_min_compile_time_secs
        jax.config.update(LEAST_SECONDS, float("inf"))


def unsaved(fn: Callable) -> Callable:
    """fn, whose programs are not written where they are for several CPU devices, if `release` is called after each."""
    if not on_several_cpus():
        return fn

    @wraps(fn)
    def traced(*args: Any, **kwargs: Any) -> Any:
        hold()
        return fn(*args, **kwargs)

    return traced


def release() -> None:
    """Undo `hold`, if this thread did it."""
    seconds = getattr(BEFORE, "seconds", None)
    if seconds is not None:
        jax.config.update(LEAST_SECONDS, seconds)
        BEFORE.seconds = None
        HELD.release()
