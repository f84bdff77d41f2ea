"""The same program gives the same bits in every process: one that compiles for itself, one that finds programs kept."""

import os
import subprocess
import sys
from pathlib import Path

from tests.quick import STRICT

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
from examples.promises.systems import SYSTEMS, training
from fdl import train, tree
step, state, batches = training(SYSTEMS["mlp with dropout"], 20)
state, log = train.run(step, state, batches, 20)
print(tree.digest(state), tree.digest(log))
"""


def test_two_processes_end_with_the_same_bits():
    # On a GPU some of XLA's own kernels add in any order otherwise; a CPU takes the flag and needs it not.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_gpu_deterministic_ops=true"}
    own = environment | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, *STRICT, "-c", PROGRAM]
    running = [subprocess.Popen(command, env=one, stdout=subprocess.PIPE, text=True) for one in (environment, own)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    assert len(set(said[0].split())) == 2
