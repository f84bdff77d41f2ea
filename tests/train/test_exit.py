"""A program whose last save fails in the background does not end as if nothing were wrong."""

import os
import subprocess
import sys
from pathlib import Path

from tests.quick import STRICT

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import resource
import jax.numpy as jnp
from fdl import train
def move(state, batch):
    return state._replace(step=state.step + 1), {"loss": jnp.float32(1)}
def last(state):  # from the last report on no file may have more than 8 kB
    if int(state.step) == 6:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    return {}
state = train.TrainState(jnp.int32(0), (), {"kernel": jnp.zeros((64, 64))}, {}, ())
train.fit(train.Step(move), state, lambda k: jnp.zeros(1), steps=6, every=3, evaluate=last, directory="run")
print("complete")
"""


def test_a_program_whose_last_save_fails_ends_non_zero_and_says_so(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *STRICT, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "step 6 was not saved: File too large; it needs" in done.stderr.splitlines()[-1]
    assert "complete" not in done.stdout
    assert sorted(path.name for path in (tmp_path / "run").glob("step_*")) == ["step_00000003"]
