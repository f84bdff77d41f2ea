"""Compiling for tests: what is tested is our function, not the compiler.

Most of the time of the suite would be that of XLA's optimizer.  So what tests compile themselves, single operations
included, is compiled in a third of the time and runs more slowly.  What fdl compiles (steps, runs, evaluations), what
`jit_fully` compiles, and all in the programs that tests start, is compiled as for users.
"""

import contextlib
import subprocess
import sys

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
FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())


def ask_for_quick_compilation(environment) -> None:
    """Put the flags where this process and its test workers read them, before JAX does, if its XLA takes them."""
    if "XLA_FLAGS" in environment:
        return
    probe = [sys.executable, "-c", "import jax; jax.devices()"]  # an unknown flag ends the process
    if subprocess.run(probe, env={**environment, "XLA_FLAGS": FLAGS}, capture_output=True).returncode == 0:
        environment["XLA_FLAGS"] = FLAGS


def start_compiling(environment, kept) -> None:
    """Have XLA read the flags, once and for all, and spare them our own programs and the processes started later.

    Programs are kept in the folder `kept`, unless JAX was told another, for the other workers and the runs to come.
    """
    import jax

    from fdl.compile import OPTIONS

    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    kept = jax.config.jax_compilation_cache_dir or str(kept)
    if environment.get("XLA_FLAGS") == FLAGS:
        jax.jit(lambda: 0)()
        OPTIONS["cpu"] |= FULL
        del environment["XLA_FLAGS"]
        kept += "/quick"  # for none but ourselves
    jax.config.update("jax_compilation_cache_dir", kept)


def jit_fully(f, **how):
    """jax.jit, as for users."""
    import jax

    from fdl.compile import OPTIONS

    return jax.jit(f, **how, compiler_options=FULL if OPTIONS["cpu"].keys() >= FULL.keys() else None)


@contextlib.contextmanager
def steps_quickly():
    """What fdl compiles for the first time inside is compiled as quickly as the rest: for tests of what, not of how."""
    from fdl.compile import OPTIONS

    full = {name: OPTIONS["cpu"].pop(name) for name in FULL if name in OPTIONS["cpu"]}
    try:
        yield
    finally:
        OPTIONS["cpu"] |= full
