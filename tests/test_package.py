"""The package as it ships: one version, typed, nothing beyond the card."""

import re
import subprocess
import tomllib
from pathlib import Path

import fdl

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_stands_in_one_place_and_in_the_changelog():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "fdl/version.py"
    assert re.search(rf"^## {re.escape(fdl.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_dependencies_are_those_of_the_card():
    names = {re.split(r"[><=\[]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert names == {"jax", "jaxlib", "numpy", "chex"}
    assert not any("<" in line for line in PROJECT["project"]["dependencies"])
    everywhere = {
        re.split(r"[><=\[]", line)[0]
        for extra in PROJECT["project"]["optional-dependencies"].values()
        for line in extra
    }
    assert "optax" in everywhere
    assert "optax" in " ".join(PROJECT["project"]["optional-dependencies"]["oracles"])


def test_the_top_level_is_the_card():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        return
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    card = {"pyproject.toml", "README.md", "fdl", "tests", "examples", "docs", "LICENSE", "CHANGELOG.md"}
    assert {name for name in top if not name.startswith(".")} == card
    assert (ROOT / "fdl" / "py.typed").exists()
