"""The folder of the user in which downloads and compiled programs are kept."""

import os
from pathlib import Path
from typing import Any

import jax

MOST_SECONDS = 0.1  # a program that compiles faster than this is not worth a file


def cache_directory() -> Path:
    """Where downloads and compiled programs are kept: $XDG_CACHE_HOME/fdl or ~/.cache/fdl."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "fdl"


def keep_programs() -> None:
    """Keep compiled programs in the cache, so that the next start of the same run compiles nothing.

    `train.run` and `train.fit` call it; importing fdl does not.  It changes nothing where JAX was told a folder or told
    to keep none (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE=0), nor where the folder cannot be made, nor
    `on_several_cpus`.
    Only the user can read and write it: what it holds is run.
    """
    config: Any = jax.config  # its options are made at run time, unseen by type checkers
    if config.jax_compilation_cache_dir is not None or not config.jax_enable_compilation_cache:
        return
    if on_several_cpus():
        return
    folder = cache_directory() / "programs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return
    if _is_another_s(folder):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MOST_SECONDS)


def on_several_cpus() -> bool:
    """Whether programs are for several CPU devices, and not to be kept.

    XLA reads such a program back without the order of its collectives; its devices may wait for each other for ever.
    """
    return jax.default_backend() == "cpu" and jax.device_count() > 1


def _is_another_s(folder: Path) -> bool:
    """Whether somebody else owns the folder or may write into it."""
    status = folder.stat()
    return hasattr(os, "getuid") and (status.st_uid != os.getuid() or bool(status.st_mode & 0o022))
