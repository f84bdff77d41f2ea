"""The parent's side: start a child for each framework, speak to it a line at a time."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]


class Place(NamedTuple):
    """The module that holds the workloads, and the variables by which a child finds its device."""

    suite: str
    variables: dict[str, str]


CPU = Place("examples.benchmarks.workloads", {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""})


class MissingPeerError(RuntimeError):
    """A framework that the workload compares with is not installed."""


class ChildError(RuntimeError):
    """A child process ended with an error."""


class Child:
    """A framework with its workload in another process, which waits until it is told to run."""

    def __init__(
        self, framework: str, workload: str, task: Path, threads: int, *, write: bool = False, place: Place = CPU
    ):
        self.framework = framework
        arguments = [framework, workload, str(task), "--threads", str(threads), "--suite", place.suite]
        arguments += ["--write"] if write else []
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.benchmarks.harness.child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(threads) | place.variables,
            cwd=ROOT,
            text=True,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *reason: object) -> None:
        if reason[0] is not None:
            self._process.kill()
        with self._process, self._errors:
            pass  # closes its input, which ends it, and waits

    def answer(self) -> dict:
        """What the child says next.  Raises MissingPeerError or ChildError, with the end of what it printed."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        said = json.loads(line) if line else {"failed": "it ended"}
        if "missing" in said:
            raise MissingPeerError(
                f"{self.framework} is missing ({said['missing']}): pip install '.[bench]', "
                "or name the peers that are there with --peers"
            )
        if "failed" in said:
            self._errors.seek(0)
            raise ChildError(f"{self.framework}: {said['failed']}\n{self._errors.read()[-2000:]}")
        return said

    def run(self, units: int) -> dict:
        """Do so many units of work: seconds, curve, peak_bytes."""
        assert self._process.stdin
        try:
            self._process.stdin.write(f"run {units}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self.answer()


def environment(threads: int) -> dict[str, str]:
    """That of the parent with equal threads everywhere, and nothing compiled before."""
    count = str(threads)
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
    fresh = {"JAX_ENABLE_COMPILATION_CACHE": "false", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | pools | fresh | {"PYTHONPATH": search}
