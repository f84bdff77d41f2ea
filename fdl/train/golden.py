"""Golden runs: what a run gave once, in a small file, so that a change that moves it does not go unseen."""

import json
import math
from pathlib import Path
from typing import Any

from fdl.train.checkpoint.manifest import environment
from fdl.tree import digest


class GoldenError(ValueError):
    """A run did not give what it gave once; the message says in what it differs."""


def write_golden(path: str | Path, state: Any, **figures: float) -> None:
    """Keep the digest of the parameters, the step, these figures and the environment; written beside and renamed."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(_manifest(state, figures), indent=1, sort_keys=True) + "\n")
    part.replace(path)


def check_golden(path: str | Path, state: Any, *, tolerance: float = 1e-3, **figures: float) -> None:
    """Raise GoldenError unless this run gave what the file says.

    In the same environment it must have the same bits: parameters and figures.  In another, where sums are taken in
    another order, each figure must be within tolerance, relative to the golden one.
    """
    path = Path(path)
    if not path.exists():
        raise GoldenError(f"there is no golden run in {path}; look at this one with care, then keep it by write_golden")
    golden, found = json.loads(path.read_text()), _manifest(state, figures)
    exact = golden["environment"] == found["environment"]
    differences = [
        f"{name} {found[name]} instead of {golden[name]}" for name in ("step",) if found[name] != golden[name]
    ]
    if exact and found["params"] != golden["params"]:
        differences.append("the parameters, by their digest")
    for name in sorted(golden["figures"].keys() | figures.keys()):
        want, have = (each["figures"].get(name, math.nan) for each in (golden, found))
        if not math.isclose(have, want, rel_tol=0.0 if exact else tolerance):
            differences.append(f"{name} {have} instead of {want}")
    if differences:
        where = "in the same environment" if exact else f"in another environment, beyond {tolerance:g}"
        raise GoldenError(f"not the golden run of {path}, {where}: {'; '.join(differences)}")


def _manifest(state: Any, figures: dict[str, float]) -> dict[str, Any]:
    return {
        "step": int(state.step),
        "params": digest(state.params),
        "figures": {name: float(value) for name, value in figures.items()},
        "environment": environment(),
    }
