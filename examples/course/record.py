"""What a run of the course leaves: an outcome a seed, so that it can be cut, and one JSON file a row."""

import ast
import hashlib
import inspect
import json
import math
import os
import subprocess
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import jax
import numpy as np

import fdl
from examples.benchmarks.harness.machine import machine
from examples.course.row import Figure, Outcome, Row

FORMAT = 1
RESULTS = Path(__file__).parent.parent / "results" / "course"
SCRATCH = Path("runs") / "course"


def source_digest(module: ModuleType) -> str:
    """SHA-256 of what the file computes: its code without comments, the idea on top, and what ROW says of it."""
    body = ast.parse(inspect.getsource(module)).body
    code = [ast.unparse(part) for part in body[1:] if not ast.unparse(part).startswith("ROW = ")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def keep(outcome: Outcome, seconds: float, digest: str, folder: Path) -> None:
    """Write the outcome of one seed; its arrays first, so that an outcome that is there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "arrays.npz", **outcome.arrays)
    figures = {name: float(value) for name, value in outcome.figures.items()}
    kept = {"figures": figures, "steps": outcome.steps, "seconds": round(seconds, 1), "source": digest}
    part = folder / "outcome.part"
    part.write_text(json.dumps(kept))
    part.replace(folder / "outcome.json")


def kept(folder: Path, digest: str) -> dict[str, Any] | None:
    """The outcome of one seed, if one was kept and the file has not changed since."""
    path = folder / "outcome.json"
    found = json.loads(path.read_text()) if path.exists() else None
    return found if found and found["source"] == digest else None


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of one seed."""
    with np.load(folder / "arrays.npz", allow_pickle=False) as file:
        return dict(file)


def summary(row: Row, outcomes: dict[int, dict[str, Any]], digest: str) -> dict[str, Any]:
    """The result of a row: each figure over the seeds, what was asked of it, and what it was measured on."""
    backend = jax.default_backend()
    figures = {figure.name: _over_seeds(figure, outcomes) for figure in row.on(backend).figures}
    return {
        "format": FORMAT,
        "rows": list(row.rows),
        "figures": figures,
        "seeds": list(outcomes),
        "steps": [outcome["steps"] for outcome in outcomes.values()],
        "seconds": [outcome["seconds"] for outcome in outcomes.values()],
        "backend": backend,
        "machine": machine() | {"device": jax.devices()[0].device_kind, "cores": usable_cores()},
        "versions": {"fdl": fdl.__version__, "jax": jax.__version__, "numpy": np.__version__},
        "commit": commit(),
        "source": digest,
    }


def _over_seeds(figure: Figure, outcomes: dict[int, dict[str, Any]]) -> dict[str, Any]:
    values = [outcome["figures"][figure.name] for outcome in outcomes.values()]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"what": figure.what, "asked": figure.asked, "mean": fmean(values), "spread": spread, "values": values}


def held(row: Row, result: dict[str, Any]) -> dict[str, bool]:
    """For each figure of which something is asked, whether its mean is as asked."""
    asked = [figure for figure in row.on(backend_of(result)).figures if figure.asked]
    return {
        figure.name: figure.holds(result["figures"].get(figure.name, {"mean": math.nan})["mean"]) for figure in asked
    }


def backend_of(result: dict[str, Any]) -> str:
    """The backend of JAX that a result is of; the first results do not say it, which are of a CPU."""
    return result.get("backend", "cpu")


def path_of(name: str, backend: str, results: Path) -> Path:
    """The file that a result of a row is kept in: those of other backends than a CPU have folders of their own."""
    return (results if backend == "cpu" else results / backend) / f"{name}.json"


def stale(result: dict[str, Any], module: ModuleType) -> str:
    """Why a result no longer speaks of the code as it is; empty if it does."""
    if result.get("format") != FORMAT:
        return f"written in format {result.get('format')}, this is {FORMAT}"
    if result["versions"]["fdl"] != fdl.__version__:
        return f"measured with fdl {result['versions']['fdl']}, this is {fdl.__version__}"
    return "" if result["source"] == source_digest(module) else "measured before its code was last changed"


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit this is run from, with a + where files differ from it; empty outside of a repository."""
    where = Path(__file__).parent
    try:
        shown = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"],
            cwd=where,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return shown.stdout.strip()
