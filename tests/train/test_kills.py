"""Killed at any of its system calls: a run ends with the same bits, a save leaves the old state or the new one.

The programs are those of examples/promises, at a smaller size: each life is a fork of one that has only imported JAX.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def promises(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "examples.promises", *arguments, "--results", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads((folder / f"{arguments[0]}.json").read_text())


def test_of_25_kills_of_a_run_none_changes_a_bit(tmp_path):
    (found,) = promises(tmp_path, "kills", "--kills", "100", "--systems", "mlp with dropout")["systems"].values()
    assert found["kills"] == 25
    assert found["unequal"] == 0
    assert found["inside a save"] >= 3
    runs = [run for run in found["resumed"] if run]
    assert all(run == sorted(run) for run in runs)
    assert sum(step > 0 for run in runs for step in run) > 15


@pytest.fixture(scope="module")
def overwritten(tmp_path_factory):
    """What saves over a good checkpoint left that were killed: a plain one, and those that put the old one at risk."""
    plain, *risky = promises(tmp_path_factory.mktemp("kills"), "overwrite", "--kills", "200")["cases"].values()
    return plain, risky


def test_a_save_killed_at_any_of_its_calls_leaves_the_old_state_or_the_new(overwritten):
    plain, _ = overwritten
    assert plain["lost or mixed"] == 0
    assert plain["old"] + plain["new"] == plain["events"] >= 30
    assert min(plain["old"], plain["new"]) >= 5


def test_of_200_kills_of_a_save_over_a_good_checkpoint_none_loses_it(overwritten):
    _, risky = overwritten
    assert sum(case["lost or mixed"] for case in risky) == 0
    assert sum(case["old"] + case["new"] for case in risky) == 200 >= sum(case["events"] for case in risky)
    assert min(sum(case[left] for case in risky) for left in ("old", "new")) >= 30
