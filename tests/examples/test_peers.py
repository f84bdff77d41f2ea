"""The measurement of other libraries sees damage and loss where they are, and none where there is none."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_ours_one_without_checksums_and_one_written_in_place(tmp_path):
    small = ["--systems", "fdl", "safetensors", "numpy.savez", "--trials", "20", "--kills", "4", "--megabytes", "1"]
    command = [sys.executable, "-m", "examples.promises", "peers", "--results", str(tmp_path), *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    systems = json.loads((tmp_path / "peers.json").read_text())["systems"]
    ours, unchecked, in_place = (systems[name] for name in ("fdl", "safetensors", "numpy.savez"))
    assert ours["flip"]["silently wrong"] == ours["cut"]["silently wrong"] == 0
    assert unchecked["flip"]["silently wrong"] >= 15  # of a file that is numbers but for its header
    assert [found["cut"]["refused"] for found in systems.values()] == [20, 20, 20]
    assert [sum(found["instants"].values()) for found in systems.values()] == [4, 4, 4]
    assert ours["instants"]["lost"] == ours["instants"]["mixed"] == 0
    if ours["calls"]:  # where strace can watch
        assert (ours["calls"]["lost"], ours["calls"]["mixed"]) == (0, 0)
        assert in_place["calls"]["lost"] >= 3
