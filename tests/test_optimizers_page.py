"""The page of optimizers: all are on it, each with formula, source, state, oracle and picture, and it is up to date."""

import inspect
import re

import pytest

from fdl import optim

pytest.importorskip("matplotlib")
from examples.optimizers_page import DOCS, OPTIMIZERS, PAGE, constructors, formula, oracles, page, sources, state


def test_the_page_is_what_the_code_says_today():
    assert PAGE.read_text() == page(), "run python -m examples.optimizers_page --text"


def test_every_optimizer_is_on_the_page():
    complete = [name for name in constructors() if not name.startswith("scale_by_") and name != "divide_weights"]
    takes_rate = {name for name in complete if "learning_rate" in inspect.signature(getattr(optim, name)).parameters}
    named = {name for name in constructors() if name in optim.optimizers.__all__}
    shown = set(re.findall("^### (.*)$", PAGE.read_text(), re.MULTILINE))
    assert named | takes_rate <= shown == OPTIMIZERS.keys()
    left_out = PAGE.read_text().split("## Left out")[1]
    assert {name for name in constructors() if f"`{name}`" not in left_out} == shown


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_has_formula_source_oracle_and_picture(name):
    assert "←" in formula(name) or "Δ =" in formula(name)
    assert sources(name)
    assert re.search(r" \(float(32|64)\) \d\.\de", oracles(name))
    picture = DOCS / "pictures" / "optimizers" / f"{name}.png"
    assert 3_000 < picture.stat().st_size < 25_000


def test_formulas_name_their_arguments():
    """A name with an underscore in a formula is an argument, of the optimizer or of the transform it begins with."""
    for name in OPTIMIZERS:
        known = set()
        for made in (getattr(optim, one) for one in (name, f"scale_by_{name}") if hasattr(optim, one)):
            known |= set(inspect.signature(made).parameters)
        unknown = set(re.findall(r"[a-z]+(?:_[a-z]+)+", formula(name))) - known
        assert not unknown, f"{name}: {unknown}"


def test_states_are_counted():
    assert state("sgd") == "0 per parameter + 0"
    assert state("adam") == "2 per parameter + 1"
    assert state("adafactor").startswith("0.02 per parameter")
    assert state("shampoo").startswith("4 per parameter")


def test_all_pictures_together_are_small():
    pictures = [path for path in (DOCS / "pictures").rglob("*.png") if path.parent.name != "course"]
    assert sum(path.stat().st_size for path in pictures) < 1_500_000
