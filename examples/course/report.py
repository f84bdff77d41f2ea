"""docs/course.md, one table of all rows, and a page for each row that is written."""

import inspect
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

from examples.course import record
from examples.course.syllabus import CHAPTERS, modules, titles

DOCS = Path(__file__).parent.parent.parent / "docs"
HEAD = """# The course

Every system of the lecture as a program: `python -m examples list` names them, `python -m examples run 3` runs row 3
and prints its figures beside their references. This page is written by `python -m examples report` from the results in
`examples/results/course`. A row that is open has no program yet; a figure that misses says so on its page.

"""


def write(results: Path = record.RESULTS, docs: Path = DOCS) -> str:
    """Write all pages; returns a line that says how the rows stand."""
    for path, text in pages(results).items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text)
    found = {name: result_of(name, results) for name in modules()}
    measured = {name: result for name, result in found.items() if result}
    passed = sum(all(record.held(modules()[name].ROW, result).values()) for name, result in measured.items())
    return f"{len(found)} programs, {len(measured)} measured, {passed} with every figure as asked"


def pages(results: Path = record.RESULTS) -> dict[str, str]:
    """The text of every page by its path below docs/."""
    found = {name: [result_of(name, results, backend) for backend in ("cpu", "gpu")] for name in modules()}
    each = {f"course/{name}.md": page(name, module, *found[name]) for name, module in modules().items()}
    return {"course.md": table(results)} | each


def result_of(name: str, results: Path, backend: str = "cpu") -> dict[str, Any] | None:
    """The recorded result of a row, if there is one."""
    path = record.path_of(name, backend, results)
    return json.loads(path.read_text()) if path.exists() else None


def table(results: Path) -> str:
    """One table a chapter, with every row of the lecture."""
    written = {number: name for name, module in modules().items() for number in module.ROW.rows}
    text = HEAD
    for chapter, title in CHAPTERS.items():
        text += f"## {title}\n\n| row | system | figures | stands |\n|---|---|---|---|\n"
        for number, system in titles(chapter).items():
            text += f"| {number} | {_line(system, written.get(number), results)} |\n"
        text += "\n"
    return text.rstrip() + "\n"


def _line(system: str, name: str | None, results: Path) -> str:
    if name is None:
        return f"{system} | | open"
    link, result = f"[{system}](course/{name}.md)", result_of(name, results)
    if result is None:
        return f"{link} | | not measured"
    why = record.stale(result, modules()[name])
    held = record.held(modules()[name].ROW, result)
    return f"{link} | {sum(held.values())} of {len(held)} hold | {'stale' if why else 'measured'}"


def page(name: str, module: ModuleType, result: dict[str, Any] | None, on_gpu: dict[str, Any] | None = None) -> str:
    """The idea, the figures, the picture and the code of one row."""
    row = module.ROW
    numbers = ("Row " if len(row.rows) == 1 else "Rows ") + ", ".join(row.rows)
    chapter = module.__name__.split(".")[1]
    text = f"# {row.title}\n\n{numbers} of [the course](../course.md) · {CHAPTERS[chapter]}\n\n"
    text += f"{inspect.cleandoc(module.__doc__ or '')}\n\n## Figures\n\n"
    text += figures(result, module) if result else "Not measured yet.\n"
    text += f"\n### On a GPU\n\n{figures(on_gpu, module)}" if on_gpu else ""
    text += f"\n{row.note}\n" if row.note else ""
    if row.draw and (DOCS / "pictures" / "course" / f"{name}.png").exists():
        text += f"\n![{row.title}](../pictures/course/{name}.png)\n"
    text += f"\n## Run it\n\n`python -m examples run {name}` ({row.budget:g} seconds a seed on two cores, about)\n"
    path = f"examples/{chapter}/{name}.py"
    return text + f"\n## The code\n\n[`{path}`](../../{path}):\n\n```py\n{inspect.getsource(module)}```\n"


def figures(result: dict[str, Any], module: ModuleType) -> str:
    """A table of the figures and a line on how they were measured."""
    text = "| figure | measured | asked | reference |\n|---|---|---|---|\n"
    held = record.held(module.ROW, result)
    for figure in module.ROW.on(record.backend_of(result)).figures:
        found = result["figures"].get(figure.name, {"mean": math.nan, "spread": None})
        spread = "" if found["spread"] is None else f" ± {found['spread']:.2g}"
        miss = "" if held.get(figure.name, True) else " **misses**"
        text += f"| {figure.what} | {found['mean']:.4g}{spread}{miss} | {figure.asked} | {figure.reference} |\n"
    seeds, on = result["seeds"], result["machine"]
    text += f"\nSeed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    text += f", mean{' ± standard deviation' if len(seeds) > 1 else ''}; {max(result['steps']):,} steps"
    text += f"; {sum(result['seconds']):,.0f} seconds in all on "
    if record.backend_of(result) == "cpu":
        text += f"{on['cores']} core{'s' if on['cores'] > 1 else ''} of {on['processor']}"
    else:
        text += on["device"]
    text += f"; jax {result['versions']['jax']}; commit {result['commit'] or 'unknown'}.\n"
    why = record.stale(result, module)
    return text + (f"\n**Stale**: {why}.\n" if why else "")
