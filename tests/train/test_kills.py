"""Killed at any of its system calls: a run ends with the same bits, a save leaves the old state or the new one.

The programs are those of examples/promises, at a smaller size: each life is a fork of one that has only imported JAX.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

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


def test_of_200_kills_of_a_save_over_a_good_checkpoint_none_loses_it(tmp_path):
    found = promises(tmp_path, "overwrite", "--kills", "200")
    assert found["lost or mixed"] == 0
    assert found["old"] + found["new"] == 200 >= sum(found["events"].values())
    assert min(found["old"], found["new"]) >= 30


def test_the_page_of_promises_names_tests_that_exist():
    named = re.findall(
        r"`((?:checkpoint/|\.\./distributed/)?test_\w+\.py)`", (ROOT / "docs" / "promises.md").read_text()
    )
    assert len(set(named)) >= 6
    assert [name for name in named if not (ROOT / "tests" / "train" / name).exists()] == []


def test_the_recorded_results_hold():
    for path in (ROOT / "examples" / "results" / "promises").glob("*.json"):
        assert json.loads(path.read_text())["holds"], path
    systems = json.loads((ROOT / "examples" / "results" / "promises" / "kills.json").read_text())["systems"].values()
    assert sum(system["kills"] for system in systems) == 500
    assert len(systems) == 4
