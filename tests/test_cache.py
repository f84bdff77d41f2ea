"""Compiled programs are kept by runs, and by nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import jax, jax.numpy as jnp
counted = []
jax.monitoring.register_event_listener(lambda name, **how: counted.append(name))
from fdl import optim, train
"""
NOTHING_KEPT_BEFORE = """
jax.jit(lambda x: jnp.linalg.svd(x))(jnp.ones((3, 3)))
assert not counted or not any("cache_misses" in name for name in counted), counted
"""
RUN = """
def loss_fn(params, state, batch, key):
    for i in range(20):  # long enough to compile that it is worth a file
        batch = jnp.tanh(params["w"] @ batch + jnp.sin(batch[::-1] * i))
    return jnp.sum(batch), (state, {})
step = train.make_train_step(loss_fn, optim.adam(0.1))
state = train.init_state(lambda key: ({"w": jax.random.normal(key, (4, 4))}, {}), optim.adam(0.1))
state, _ = train.run(step, state, lambda k: jnp.ones(4), 20)
print(sum(name.endswith("cache_hits") for name in counted), state.params["w"].tobytes().hex())
"""


def run_in(home, before=NOTHING_KEPT_BEFORE, **environment):
    environment = {**os.environ, "XDG_CACHE_HOME": str(home), **environment}
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + before + RUN], env=environment, cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(autouse=True)
def told_nothing(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name, raising=False)


def test_the_second_run_finds_its_programs_and_ends_with_the_same_bits(tmp_path):
    first, second = run_in(tmp_path), run_in(tmp_path)
    assert int(first[0]) == 0
    assert int(second[0]) >= 1
    assert second[1] == first[1]
    assert (tmp_path / "fdl" / "programs").stat().st_mode & 0o077 == 0


def test_what_jax_was_told_stands(tmp_path):
    run_in(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0")
    run_in(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert not (tmp_path / "fdl").exists()
    assert (tmp_path / "mine").exists()


def test_programs_for_several_devices_are_not_kept(tmp_path):
    """Read again, their collectives may wait for each other for ever."""
    several = {"JAX_NUM_CPU_DEVICES": "2", "NPROC": "64"}
    run_in(tmp_path, **several)
    assert not (tmp_path / "fdl").exists()
    told = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "mine"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    loops = lambda: [file for file in (tmp_path / "mine").iterdir() if "loop" in file.name]
    run_in(tmp_path, before="", **told, **several)
    assert not loops()
    run_in(tmp_path, before="", **told)
    assert loops()


def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    folder = tmp_path / "fdl" / "programs"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    run_in(tmp_path)
    assert not list(folder.iterdir())
