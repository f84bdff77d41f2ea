"""Compiling for tests: what is tested is our function, not the compiler.

Most of the time of the suite would be that of XLA's optimizer.  So what tests compile, single operations included, is
compiled in a fifth of the time and runs more slowly.  Compiled as for users is what `as_users` says: tests of bits, of
memory, the page of oracles, the README; and the programs that tests start, but for the pages of docs/ and those on many
devices (`quickly`).
"""

import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import cache

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
FULL = {
    "xla_backend_optimization_level": 3,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}
# Warnings are errors in programs that tests start too, but for one: a compiled program that another is still writing.
STRICT = ["-W", "error", "-W", "ignore:Error reading persistent compilation cache entry"]
FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())


def ask_for_quick_compilation(environment) -> None:
    """Put the flags where this process and its test workers read them, before JAX does, if its XLA takes them."""
    if "XLA_FLAGS" in environment:
        return
    probe = [sys.executable, "-c", "import jax; jax.devices()"]  # an unknown flag ends the process
    if subprocess.run(probe, env={**environment, "XLA_FLAGS": FLAGS}, capture_output=True).returncode == 0:
        environment["XLA_FLAGS"] = FLAGS


def start_compiling(environment, kept) -> None:
    """Have XLA read the flags, once and for all, and spare them the processes started later.

    Programs are kept in the folder `kept`, unless JAX was told another: for the other workers, for the processes
    started later and for the runs to come.
    """
    import jax

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    kept = environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(kept))
    if environment.get("XLA_FLAGS") == FLAGS:
        jax.jit(lambda: 0)()
        del environment["XLA_FLAGS"]
        kept += "/quick"  # for none but ourselves
    jax.config.update("jax_compilation_cache_dir", kept)
    share_contexts()


def share_contexts(programs: int = 100) -> None:
    """Have JAX lower so many programs in one MLIR context, not each in its own: a fifth of the time of the suite.

    A context keeps the constants of its programs as long as it lives, hence the limit.  The function is JAX's own
    affair: in a version without it each program has its context again.
    """
    mlir = sys.modules.get("jax._src.interpreters.mlir")
    make, mine = getattr(mlir, "make_ir_context", None), threading.local()

    def context():
        mine.count = getattr(mine, "count", -1) + 1
        if mine.count % programs == 0:
            mine.context = make()
        return mine.context

    if make:
        mlir.make_ir_context = context


@cache
def full() -> dict | None:
    """The options that undo the flags, if this XLA takes them."""
    import jax

    try:
        jax.jit(lambda: 0, compiler_options=FULL).lower().compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return None
    return FULL


def jit_fully(f, **how):
    """jax.jit, as for users."""
    import jax

    return jax.jit(f, **how, compiler_options=full())


def quickly() -> dict:
    """What to add to the environment of a program that is to be compiled quickly, if its XLA takes the flags."""
    return {"XLA_FLAGS": FLAGS} if full() else {}


@contextmanager
def as_users():
    """What fdl compiles for the first time inside is compiled as for users."""
    from fdl.compile import OPTIONS

    OPTIONS["cpu"] |= full() or {}
    try:
        yield
    finally:
        for name in FULL:
            OPTIONS["cpu"].pop(name, None)
