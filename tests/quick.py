"""Compiling for tests: what is tested is our function, not the compiler.

Most of the time of the suite would be that of XLA's optimizer.  So what tests compile themselves, single operations
included, is compiled in a third of the time and runs more slowly.  What fdl compiles (steps, runs, evaluations), what
`jit_fully` compiles, and all in the programs that tests start, is compiled as for users.
"""

import subprocess
import sys

QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
FULL = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())


def ask_for_quick_compilation(environment) -> None:
    """Put the flags where this process and its test workers read them, before JAX does, if its XLA takes them."""
    if "XLA_FLAGS" in environment:
        return
    probe = [sys.executable, "-c", "import jax; jax.devices()"]  # an unknown flag ends the process
    if subprocess.run(probe, env={**environment, "XLA_FLAGS": FLAGS}, capture_output=True).returncode == 0:
        environment["XLA_FLAGS"] = FLAGS


def start_compiling(environment) -> None:
    """Have XLA read the flags, once and for all, and spare them our own programs and the processes started later."""
    import jax

    from fdl.compile import OPTIONS

    if environment.get("XLA_FLAGS") == FLAGS:
        if kept := jax.config.jax_compilation_cache_dir:  # what is compiled quickly is kept for none but ourselves
            jax.config.update("jax_compilation_cache_dir", f"{kept}/quick")
        jax.jit(lambda: 0)()
        OPTIONS["cpu"] |= FULL
        del environment["XLA_FLAGS"]


def jit_fully(f, **how):
    """jax.jit, as for users."""
    import jax

    from fdl.compile import OPTIONS

    return jax.jit(f, **how, compiler_options=FULL if OPTIONS["cpu"].keys() >= FULL.keys() else None)
