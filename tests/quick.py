"""Compiling for tests: what is tested is our function, not the compiler."""

from functools import cache

import jax


def jit_quickly(f):
    """f compiled in a third of the time and run more slowly: what is tested is our function, not the compiler."""
    return jax.jit(f, compiler_options=_quick_options())


@cache
def _quick_options():
    options = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(abs, compiler_options=options)(0.0)
    except Exception:  # another version of the compiler, without these options
        return None
    return options
