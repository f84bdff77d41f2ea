"""Which trials are made, in which order, how often; that a search that was cut or shared out gives the same table."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fdl import train

GRID = train.grid(hidden=[16, 32], rate=(0.1, 0.2, 0.4), decay=[0.0, 1e-4])
SPACES = {"rate": train.between(1e-4, 1.0, log=True), "hidden": [16, 32, 64], "momentum": train.between(0.0, 1.0)}


def bowl(trial):
    return {"loss": (trial["rate"] - 0.2) ** 2 + trial["decay"] + 1 / trial["hidden"]}


def test_a_grid_is_nested_loops():
    want = []
    for hidden in (16, 32):
        for rate in (0.1, 0.2, 0.4):
            for decay in (0.0, 1e-4):
                want.append({"hidden": hidden, "rate": rate, "decay": decay})
    assert want == GRID
    assert train.columns(GRID)["rate"] == [0.1, 0.1, 0.2, 0.2, 0.4, 0.4] * 2
    assert train.grid() == [{}]


def test_random_trials_fill_their_spaces_evenly():
    trials = train.columns(train.sample(3000, 0, **SPACES))
    logs = np.log10(trials["rate"])
    assert -4 <= logs.min() < -3.99 < -0.01 < logs.max() < 0
    for values, low, high in ((logs, -4, 0), (np.array(trials["momentum"]), 0, 1)):
        counts = np.histogram(values, 10, (low, high))[0]
        assert ((counts - 300) ** 2 / 300).sum() < 27.9  # chi squared with 9 degrees of freedom, p = 0.001
    assert set(trials["hidden"]) == {16, 32, 64}
    assert all(900 < trials["hidden"].count(choice) < 1100 for choice in (16, 32, 64))
    assert abs(np.corrcoef(logs, trials["momentum"])[0, 1]) < 0.06


def test_more_trials_and_more_names_leave_the_others_as_they_were():
    few = train.sample(5, 3, **SPACES)
    assert train.sample(9, 3, **SPACES)[:5] == few
    assert [trial["rate"] for trial in train.sample(5, 3, rate=SPACES["rate"])] == [trial["rate"] for trial in few]
    assert train.sample(5, 4, **SPACES) != few


def test_a_search_finds_what_loops_find():
    rows = train.search(bowl, GRID)
    assert [{name: row[name] for name in GRID[0]} for row in rows] == GRID
    best = min(GRID, key=lambda trial: bowl(trial)["loss"])
    assert rows.best("loss") == best | bowl(best) == {"hidden": 32, "rate": 0.2, "decay": 0.0, "loss": 1 / 32}


def test_cut_and_shared_out_it_gives_the_same_table(tmp_path):
    whole = train.search(bowl, GRID, table=tmp_path / "whole.json")
    made = []

    def until_the_fifth(trial):
        made.append(trial)
        if len(made) == 6:
            raise KeyboardInterrupt
        return bowl(trial)

    with pytest.raises(KeyboardInterrupt):
        train.search(until_the_fifth, GRID, table=tmp_path / "cut.json")
    assert len(made) == 6
    assert train.search(until_the_fifth, GRID, table=tmp_path / "cut.json") == whole
    assert made[6:] == GRID[5:]
    with ThreadPoolExecutor(4) as pool:
        assert train.search(bowl, GRID, table=tmp_path / "shared.json", map=pool.map) == whole
    tables = {(tmp_path / f"{name}.json").read_bytes() for name in ("whole", "cut", "shared")}
    assert len(tables) == 1


def test_a_table_keeps_the_trials_of_another_search(tmp_path):
    train.search(bowl, GRID[:3], table=tmp_path / "table.json")
    train.search(bowl, GRID[6:], table=tmp_path / "table.json")
    never = lambda trial: pytest.fail("made again")
    assert len(train.search(never, GRID[:3] + GRID[6:], table=tmp_path / "table.json")) == 9


def learner(calls):
    """A trial whose loss falls with the budget to its own floor; it counts the units that it really trained."""

    def advance(trial, budget, state):
        calls.append((trial["floor"], (state or 0), budget))
        return {"loss": trial["floor"] + 1 / budget}, budget

    return advance


def test_halving_keeps_the_best_third_and_goes_on_from_its_states():
    calls, trials = [], [{"floor": floor} for floor in (5.0, 1.0, 4.0, 0.0, 8.0, 7.0, 2.0, 3.0, 6.0)]
    rows = train.successive_halving(learner(calls), trials, [1, 3, 9])
    assert [row["budget"] for row in rows] == [1] * 9 + [3] * 3 + [9]
    assert [row["floor"] for row in rows[9:]] == [1.0, 0.0, 2.0, 0.0]
    assert calls[-1] == (0.0, 3, 9)
    assert sum(budget - before for _, before, budget in calls) == 9 + 3 * 2 + 6
    assert rows.best("loss")["floor"] == 0.0


def test_nan_loses_and_of_equals_the_earlier_stays():
    losses = {"a": math.nan, "b": 1.0, "c": 1.0, "d": 2.0}
    advance = lambda trial, budget, state: ({"loss": losses[trial["name"]]}, None)
    rows = train.successive_halving(advance, [{"name": name} for name in "abcd"], [1, 2], eta=4)
    assert rows[-1]["name"] == "b"


def test_brackets_are_those_of_the_paper():
    """R = 81, eta = 3: rungs of 81 units at most, n_i = floor(n / 3^i), about 5 * 81 units a bracket."""
    plan = train.brackets(81)
    assert [count for count, _ in plan] == [81, 34, 15, 8, 5]
    assert [budgets for _, budgets in plan] == [[81 // 3**i for i in range(s, -1, -1)] for s in (4, 3, 2, 1, 0)]
    assert train.brackets(1) == [(1, [1])]


def test_hyperband_is_its_brackets_one_after_the_other():
    calls = []
    draw = lambda count: train.sample(count, 0, floor=train.between(0.0, 9.0))
    rows = train.hyperband(learner(calls), draw, 9)
    counts = [row["budget"] for row in rows]
    assert [len(list(group)) for _, group in itertools.groupby(counts)] == [9, 3, 1 + 0, 5, 1 + 3]
    assert len({row["floor"] for row in rows}) == 9 + 5 + 3
    assert rows.best("loss")["budget"] == 9


def test_bad_input_is_refused():
    for make in (lambda: train.grid(a=[]), lambda: train.grid(a="xy"), lambda: train.sample(1, 0, a=3)):
        with pytest.raises(ValueError, match="a must be a sequence of choices"):
            make()
    with pytest.raises(ValueError, match="low < high"):
        train.between(0.0, 1.0, log=True)
    with pytest.raises(ValueError, match="more than once"):
        train.search(bowl, [GRID[0], GRID[0]])
    with pytest.raises(ValueError, match="rate is the name of a hyper-parameter and of a result"):
        train.search(lambda trial: {"rate": 1}, GRID)
    with pytest.raises(ValueError, match="budgets must rise"):
        train.successive_halving(learner([]), GRID, [3, 1])
    with pytest.raises(ValueError, match="all with the same names"):
        train.columns([{"a": 1}, {"b": 1}])
    with pytest.raises(ValueError, match="count must be at least 1"):
        train.sample(0, 0)
    with pytest.raises(ValueError, match="eta at least 2"):
        train.brackets(9, 1)
