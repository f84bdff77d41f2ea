"""Run a row over its seeds, going on where it was cut, and record what it gave."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from examples.course import record
from examples.course.row import Row

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures" / "course"


def run(
    name: str,
    module: ModuleType,
    seeds: Sequence[int] = (),
    *,
    fresh: bool = False,
    results: Path = record.RESULTS,
    scratch: Path = record.SCRATCH,
    pictures: Path = PICTURES,
) -> dict[str, Any]:
    """The result of a row, over its own seeds unless others are given; written to results, with its picture.

    A seed that ended before is not run again, unless the file changed since or it is to be fresh.
    """
    row, digest = module.ROW, record.source_digest(module)
    outcomes = {}
    for seed in seeds or row.seeds:
        folder = scratch / name / f"seed_{seed}"
        if fresh and folder.exists():
            shutil.rmtree(folder)
        outcomes[seed] = record.kept(folder, digest) or one_seed(row, seed, digest, folder)
        print(f"seed {seed}:", *(f"{key} {value:.5g}" for key, value in outcomes[seed]["figures"].items()), flush=True)
    result = record.summary(row, outcomes, digest)
    if row.draw:
        draw(row, record.arrays(scratch / name / f"seed_{next(iter(outcomes))}"), pictures / f"{name}.png")
    path = record.path_of(name, record.backend_of(result), results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def one_seed(row: Row, seed: int, digest: str, folder: Path) -> dict[str, Any]:
    """Run one seed and keep its outcome; what a run of other code left in the folder is none of its past."""
    mark = folder / "source"
    if folder.exists() and not (mark.exists() and mark.read_text() == digest):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest)
    start = time.perf_counter()
    outcome = row.run(seed, folder)
    if missing := {figure.name for figure in row.figures} ^ outcome.figures.keys():
        raise ValueError(f"the run and the declared figures differ in {', '.join(sorted(missing))}")
    record.keep(outcome, time.perf_counter() - start, digest, folder)
    found = record.kept(folder, digest)
    assert found is not None
    return found


def draw(row: Row, arrays: dict[str, Any], path: Path) -> None:
    """Draw the picture of a row and write it as a small PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    assert row.draw is not None
    figure = row.draw(arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def shown(row: Row, result: dict[str, Any]) -> str:
    """The figures of a result beside their references, a line each."""
    lines, held = [f"row {', '.join(row.rows)}: {row.title}"], record.held(row, result)
    for figure in row.on(record.backend_of(result)).figures:
        found = result["figures"][figure.name]
        spread = "" if found["spread"] is None else f" ± {found['spread']:.2g}"
        asked = f"  asked {figure.asked}: {'holds' if held[figure.name] else 'MISSES'}" if figure.asked else ""
        reference = f"  reference {figure.reference}" if figure.reference else ""
        lines.append(f"  {figure.name}: {found['mean']:.5g}{spread} ({figure.what}){asked}{reference}")
    return "\n".join(lines)
