"""Every Python block of the README and of docs/ runs, in order, as a reader would run it (docs/ compiled quickly)."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fdl import losses, metrics, nn
from tests.quick import STRICT, quickly

# The contract and what puts layers together compute nothing of their own: their oracle is the same model by hand.
PUT_TOGETHER = {"layer", "pure", "function", "as_layer", "wire", "serial", "residual", "parallel", "repeat", "each"}
PUT_TOGETHER |= {"remat", "rewire", "initializer", "cell", "make_cell", "metric"}
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "speed").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(code, folder, **environment):
    environment = os.environ | environment | {"PYTHONPATH": str(ROOT)}
    script = folder / "page.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, *STRICT, str(script)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_runs(page, tmp_path):
    blocks = BLOCK.findall(page.read_text())
    if page.name in ("README.md", "getting_started.md", "design.md"):
        assert blocks
    if any("data.digits()" in block for block in blocks):
        pytest.importorskip("sklearn")
    if any("trackers.tensorboard(" in block for block in blocks):
        pytest.importorskip("tensorboardX")
    if blocks:
        run("\n".join(blocks), tmp_path, **quickly() if page.parent.name == "docs" else {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("room", [nn, losses, metrics], ids=lambda room: room.__name__)
def test_the_page_of_oracles_has_a_row_for_every_public_name(room):
    rows = (ROOT / "docs" / "oracles.md").read_text().splitlines()
    shown = {re.split(r"[ ,]", row.removeprefix("| "))[0] for row in rows if row.startswith("| ")}
    kind = room.__name__.removeprefix("fdl.")
    functions = {name for name in room.__all__ if inspect.isfunction(getattr(room, name))}
    assert {name for name in functions - PUT_TOGETHER if f"{kind}.{name}" not in shown} == set()


def test_no_error_on_the_page_of_oracles_is_above_what_is_allowed():
    table = (ROOT / "docs" / "oracles.md").read_text().partition("| what |")[2].splitlines()[2:]
    for row in table:
        *_, error, allowed = row.strip("| ").split("|")
        assert float(error) <= float(allowed), row


def test_the_readme_shows_the_examples_as_they_are():
    text = (ROOT / "README.md").read_text()
    for name in ("digits", "digits_short"):
        assert (ROOT / "examples" / f"{name}.py").read_text().strip() in text
