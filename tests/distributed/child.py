"""Programs on virtual devices, each in a process of its own: those of the test suite have one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.quick import STRICT, quickly

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = Path(__file__).parent / "programs"


def start(program, *arguments, devices=8, **environment):
    """The process of a program in programs/, or of one elsewhere, with so many CPU devices."""
    given = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    # XLA's threads: collectives of virtual devices wait in them, with few for each other for ever.
    given["NPROC"] = "64"
    return subprocess.Popen(
        [sys.executable, *STRICT, str(PROGRAMS / f"{program}.py"), *map(str, arguments)],
        env=os.environ | quickly() | given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(process, timeout=300):
    """What the program printed as its last line, in JSON."""
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors[-4000:]
    return json.loads(out.splitlines()[-1])


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
