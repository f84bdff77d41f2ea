"""The page of promises: as many as were made, each held by one test or command that exists, figures as recorded."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from examples.promises.__main__ import COMMANDS
from examples.promises.peers import table
from examples.promises.savers import SAVERS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "examples" / "results" / "promises"
PAGE = (ROOT / "docs" / "promises.md").read_text()
PROMISES = {"Crash and resume": 11, "Damage": 6, "Moves": 5, "Data": 3, "Numbers": 13}


def rows(section):
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


@cache
def names_in(path):
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def exists(name):
    """Whether this is a test, or a command whose result is kept."""
    if name.startswith("python -m examples.promises "):
        command = name.rpartition(" ")[2]
        return command in COMMANDS and (RESULTS / f"{command}.json").exists()
    path, _, test = name.partition("::")
    return (ROOT / path).exists() and test in names_in(path)


@pytest.mark.parametrize("section", PROMISES)
def test_every_promise_is_held_by_one_test_or_command_that_exists(section):
    assert len(rows(section)) == PROMISES[section]
    held = [re.fullmatch(r"`([^`]+)`", row[1]) for row in rows(section)]
    assert all(held)
    names = [match[1] for match in held]
    assert [name for name in names if not exists(name)] == []
    assert len(set(names)) == len(names)


def test_whatever_test_the_page_names_exists():
    for name in re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", PAGE):
        assert exists(name) if "::" in name else (ROOT / name).exists(), name


def test_the_recorded_results_hold():
    for command in COMMANDS:
        assert json.loads((RESULTS / f"{command}.json").read_text())["holds"], command
    systems = json.loads((RESULTS / "kills.json").read_text())["systems"].values()
    assert sum(system["kills"] for system in systems) == 500
    assert len(systems) == 4
    assert f"{sum(system['inside a save'] for system in systems)} kills inside a save" in PAGE
    killed = json.loads((RESULTS / "overwrite.json").read_text())
    assert f"{killed['kills']} kills" in PAGE


def test_the_figures_of_others_are_those_recorded_of_enough_trials():
    systems = json.loads((RESULTS / "peers.json").read_text())["systems"]
    assert list(systems) == list(SAVERS)
    assert "\n".join(["<!-- peers -->", *table(systems), "<!-- end of peers -->"]) in PAGE
    for found in systems.values():
        assert sum(found["flip"].values()) >= 200 <= sum(found["cut"].values())
        assert sum(found["instants"].values()) >= 30
