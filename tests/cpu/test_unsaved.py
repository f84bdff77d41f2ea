"""Programs that call oneDNN are compiled, and never written to JAX's cache; all others are, as before."""

import os
import subprocess
import sys
import threading

import jax
import pytest

from fdl.compile import on_cpu
from fdl.cpu.calls import usable
from fdl.cpu.unsaved import hold, release

pytestmark = pytest.mark.skipif(not on_cpu(), reason="promises for CPUs")

PROGRAM = """
import pathlib, warnings
import jax, jax.numpy as jnp
from fdl import nn
from fdl.compile import compile

warnings.simplefilter("error")
def convolved(x, kernel):
    return nn.convolve(x, kernel)
def dense(x, kernel):
    return jnp.tanh(x.reshape(-1, 16) @ kernel[0, 0])

x, kernel = jnp.ones((4, 16, 16, 16)), jnp.ones((3, 3, 16, 16))
for f in (convolved, dense):
    compile(f)(x, kernel)
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
print(*sorted(path.name.split("-")[0] for path in pathlib.Path(jax.config.jax_compilation_cache_dir).iterdir()))
"""


def test_only_programs_without_calls_are_kept(tmp_path):
    told = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    told |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "JAX_PLATFORMS": "cpu"}
    for _ in ("first", "again"):
        run = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | told, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert "jit_dense" in run.stdout
        assert ("jit_convolved" in run.stdout) != usable()


def test_what_is_held_is_released_by_the_thread_that_held_it():
    seconds = lambda: jax.config.jax_persistent_cache_min_compile_time_secs
    before = seconds()
    release()
    for _ in range(2):
        hold()
        hold()
        assert seconds() == float("inf")
        thread = threading.Thread(target=release)
        thread.start()
        thread.join()
        assert seconds() == float("inf")
        release()
        assert seconds() == before
