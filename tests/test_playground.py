"""The playground: what its program draws, the rate it finds, what it says to names it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

from fdl import optim
from fdl.inspection import landscapes
from tests.quick import STRICT

pytest.importorskip("matplotlib")
from examples.playground import BY_RATE, FIXED, ZOO, best, colours_of, paths

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"


def start(*options):
    command = [sys.executable, *STRICT, str(ROOT / "examples" / "playground.py"), *options]
    return subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


def test_it_draws_any_set_on_any_landscape(tmp_path):
    out = tmp_path / "valley.png"
    done = start("--landscape", "valley", "--optimizers", "adam=0.1", "lbfgs", "--steps", "30", "--out", str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    assert out.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_unknown_names_get_the_nearest():
    for options, nearest in [(("--landscape", "vally"), "valley"), (("--optimizers", "adm=0.1"), "adam")]:
        done = start("--landscape", "bowl", *options)
        assert done.returncode != 0
        assert f"did you mean '{nearest}'" in done.stderr


def test_the_best_rate_of_gradient_descent_in_a_round_bowl_is_one_over_its_curvature():
    rate, path = best(optim.sgd, landscapes.bowl(2.0), 10)
    assert rate == 0.5
    assert path.values[1] == 0


def test_a_rate_given_is_the_rate_taken():
    found = paths(["sgd=0.3", "newton_cg"], landscapes.bowl(), 1)
    assert list(found) == ["sgd 0.3", "newton_cg"]
    assert found["sgd 0.3"].points[1, 0] == pytest.approx(0.7 * landscapes.bowl().start[0])


def test_every_name_makes_an_optimizer_and_every_classic_keeps_its_colour():
    assert all(isinstance(made, optim.Transform) for made in FIXED.values())
    assert all(isinstance(make(0.1), optim.Transform) for make in BY_RATE.values())
    assert not FIXED.keys() & BY_RATE.keys()
    assert colours_of(["adam", "sgd"]) == colours_of(["sgd", "adam"])[::-1]
    assert len(set(colours_of(["sgd", "lion", "muon", "adam"]))) == 4


def test_the_pictures_of_the_lecture_and_of_the_zoo_are_there_and_small():
    assert ZOO.keys() == landscapes.zoo().keys()
    for name in ("large_rate", "small_rate", "momentum", "nesterov", *ZOO):
        assert 5_000 < (PICTURES / f"{name}.png").stat().st_size <= 60_000, name
        assert f"pictures/{name}.png" in (ROOT / "docs" / "playground.md").read_text()
