"""The course's runner: it goes on where it was cut, says how figures stand, knows its rows, and its pages are true."""

import importlib.util
import json
import math

import pytest

pytest.importorskip("matplotlib")
from examples.__main__ import main
from examples.course import record, report
from examples.course.row import Figure
from examples.course.running import PICTURES, run, shown
from examples.course.syllabus import CHAPTERS, UnknownRowError, find, modules, titles

SOURCE = '''"""An idea."""

import numpy as np

from examples.course.row import Figure, Outcome, Row

RUNS = []


def run(seed, folder):
    RUNS.append(seed)
    if seed in STOP:
        raise KeyboardInterrupt
    return Outcome({"error": 1.0 + seed, "count": 8}, {"x": np.arange(3.0)}, steps=10 * seed)


STOP = set()
ROW = Row(
    rows=("3",),
    title="A system",
    figures=(Figure("error", "test error, %", "a paper: 2.0", high=1.5), Figure("count", "examples", low=8, high=8)),
    run=run,
    budget=1,
    seeds=(0, 1, 2),
)
'''


def load(folder, source=SOURCE):
    path = folder / "system.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("examples.history.system", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def places(folder):
    return {name: folder / name for name in ("results", "scratch", "pictures")}


def test_a_cut_run_goes_on_and_a_changed_one_starts_anew(tmp_path):
    module = load(tmp_path)
    module.STOP.add(1)
    with pytest.raises(KeyboardInterrupt):
        run("system", module, **places(tmp_path))
    module.STOP.clear()
    result = run("system", module, **places(tmp_path))
    assert module.RUNS == [0, 1, 1, 2]
    assert result["figures"]["error"]["values"] == [1, 2, 3]
    assert result["figures"]["error"]["mean"] == 2
    assert result["figures"]["error"]["spread"] == 1
    assert result["steps"] == [0, 10, 20]
    assert json.loads((tmp_path / "results" / "system.json").read_text()) == result
    run("system", module, (2,), fresh=True, **places(tmp_path))
    assert module.RUNS == [0, 1, 1, 2, 2]
    changed = load(tmp_path, SOURCE.replace("1.0 + seed", "2.0 + seed"))
    run("system", changed, **places(tmp_path))
    assert changed.RUNS == [0, 1, 2]


def test_what_a_run_of_other_code_left_is_none_of_the_past(tmp_path):
    left = tmp_path / "scratch" / "system" / "seed_0" / "checkpoint"
    module = load(tmp_path, SOURCE.replace("    RUNS.append", "    (folder / 'checkpoint').touch()\n    RUNS.append"))
    module.STOP.add(0)
    with pytest.raises(KeyboardInterrupt):
        run("system", module, (0,), **places(tmp_path))
    assert left.exists()
    run("system", load(tmp_path, SOURCE.replace("8}", "8.0}")), (0,), **places(tmp_path))
    assert not left.exists()


def test_a_miss_is_said_and_the_other_holds(tmp_path):
    module = load(tmp_path)
    result = run("system", module, **places(tmp_path))
    assert record.held(module.ROW, result) == {"error": False, "count": True}
    text = shown(module.ROW, result)
    assert "error: 2 ± 1 (test error, %)  asked ≤ 1.5: MISSES  reference a paper: 2.0" in text
    assert "asked 8: holds" in text
    page = report.page("system", module, result)
    assert "| test error, % | 2 ± 1 **misses** | ≤ 1.5 | a paper: 2.0 |" in page
    assert f"```py\n{SOURCE}```" in page
    assert "An idea." in page


def test_a_run_on_a_gpu_has_bounds_a_file_and_a_table_of_its_own(tmp_path, monkeypatch):
    module = load(tmp_path, SOURCE.replace("high=1.5", "high=1.5, on_gpu=(None, 2.5)"))
    ours = run("system", module, **places(tmp_path))
    monkeypatch.setattr(record.jax, "default_backend", lambda: "gpu")
    theirs = run("system", module, **places(tmp_path))
    assert record.held(module.ROW, ours) == {"error": False, "count": True}
    assert record.held(module.ROW, theirs) == {"error": True, "count": True}
    assert report.result_of("system", tmp_path / "results") == ours
    assert report.result_of("system", tmp_path / "results", "gpu") == theirs
    assert "### On a GPU\n\n| figure" in report.page("system", module, ours, theirs)
    assert "asked ≤ 2.5: holds" in shown(module.ROW, theirs)


def test_a_figure_that_is_no_number_is_a_miss(tmp_path):
    module = load(tmp_path, SOURCE.replace("1.0 + seed", "float('nan') if seed else 1.0"))
    result = run("system", module, **places(tmp_path))
    assert math.isnan(result["figures"]["error"]["spread"])
    assert not record.held(module.ROW, result)["error"]


def test_a_result_of_other_code_is_kept_and_called_stale(tmp_path):
    module = load(tmp_path)
    result = run("system", module, **places(tmp_path))
    reworded = load(tmp_path, SOURCE.replace("An idea.", "The idea.").replace("a paper", "the paper"))
    assert record.stale(result, module) == record.stale(result, reworded) == ""
    changed = load(tmp_path, SOURCE.replace("10 * seed", "11 * seed"))
    assert "before its code was last changed" in report.page("system", changed, result)
    assert "fdl 0.0.0" in record.stale(result | {"versions": {"fdl": "0.0.0"}}, module)
    assert "format 0" in record.stale(result | {"format": 0}, module)


def test_figures_that_are_not_declared_are_refused(tmp_path):
    module = load(tmp_path, SOURCE.replace('"count": 8', '"counts": 8'))
    with pytest.raises(ValueError, match="differ in count, counts"):
        run("system", module, **places(tmp_path))


@pytest.mark.parametrize(
    ("figure", "inside", "outside", "asked"),
    [
        (Figure("a", "", low=1), 1.0, 0.9, "≥ 1"),
        (Figure("a", "", high=1), 1.0, 1.1, "≤ 1"),
        (Figure("a", "", low=1, high=2), 1.5, 2.1, "1 … 2"),
        (Figure("a", "", low=1, high=1), 1.0, math.nan, "1"),
        (Figure("a", ""), 1.0, math.nan, ""),
    ],
)
def test_bounds(figure, inside, outside, asked):
    assert figure.holds(inside)
    assert not figure.holds(outside)
    assert figure.asked == asked


def test_every_row_of_the_lecture_has_a_place():
    numbers = [number for chapter in CHAPTERS for number in titles(chapter)]
    assert numbers == [*map(str, range(90)), *(f"B{i}" for i in range(1, 13))]


def test_every_program_keeps_the_form():
    taken = [number for module in modules().values() for number in module.ROW.rows]
    assert len(taken) == len(set(taken))
    for name, module in modules().items():
        row, chapter = module.ROW, module.__name__.split(".")[1]
        assert set(row.rows) <= titles(chapter).keys(), name
        assert len(module.__doc__.splitlines()) >= 5, f"{name}: the idea is told in about ten lines"
        assert any(figure.asked for figure in row.figures), name
        assert len({figure.name for figure in row.figures}) == len(row.figures), name
        assert find(name) == find(row.rows[0]) == name


def test_an_unknown_row_gets_the_nearest(capsys, monkeypatch):
    name = next(iter(modules()))
    with pytest.raises(UnknownRowError, match=f"did you mean '{name}'"):
        find(name[:-1])
    with pytest.raises(UnknownRowError, match=r"row 89 \(DALL-E, 2021\) is not written yet"):
        find("89")
    monkeypatch.setattr("sys.argv", ["examples", "run", "nothing_like_it"])
    assert main() == 2
    assert "did you mean" in capsys.readouterr().err


def test_the_pages_say_what_code_and_results_say_today():
    found = report.pages()
    for path, text in found.items():
        assert (report.DOCS / path).read_text() == text, f"{path}: run python -m examples report"
    assert {path.name for path in (report.DOCS / "course").glob("*.md")} == {path[7:] for path in found if "/" in path}


def test_every_picture_is_small_and_belongs_to_a_program():
    for picture in PICTURES.glob("*.png"):
        assert picture.stat().st_size < 80_000, picture
        assert modules()[picture.stem].ROW.draw, picture
