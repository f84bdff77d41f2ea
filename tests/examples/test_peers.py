"""The measurement of other libraries sees damage and loss where they are, and none where there is none."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_ours_and_a_format_without_checksums_written_in_place(tmp_path):
    small = ["--systems", "fdl", "safetensors", "--trials", "20", "--kills", "4", "--megabytes", "1"]
    command = [sys.executable, "-m", "examples.promises", "peers", "--results", str(tmp_path), *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    ours, theirs = json.loads((tmp_path / "peers.json").read_text())["systems"].values()
    assert ours["flip"]["silently wrong"] == ours["cut"]["silently wrong"] == 0
    assert theirs["flip"]["silently wrong"] >= 15  # of a file that is numbers but for its header
    assert theirs["cut"]["refused"] == 20
    for found in (ours, theirs):
        assert sum(found["instants"].values()) == 4
        assert found["instants"]["mixed"] == 0
    assert ours["instants"]["lost"] == 0
    if ours["calls"] and theirs["calls"]:  # where strace can watch
        assert (ours["calls"]["lost"], ours["calls"]["mixed"]) == (0, 0)
        assert theirs["calls"]["lost"] > 0
