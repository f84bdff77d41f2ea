"""A program compiled again and again is the slowest mistake that gives right results, so it is a warning."""

import warnings
from collections.abc import Callable
from typing import Any

from fdl.checks import describe
from fdl.compile import Compiled
from fdl.tree import flatten

MOST = 2


def warn_of_recompiles(compiled: Compiled, name: str) -> Callable[..., Any]:
    """The same function, which warns from the third set of types on that it is compiled for, and says what differs."""
    seen: list[dict[str, str]] = []
    programs = 0

    def call(*args: Any) -> Any:
        nonlocal programs
        result = compiled(*args)
        if compiled.programs() != programs:
            programs = compiled.programs()
            types = {path: describe(leaf) for path, leaf in flatten(args).items()}
            if types not in seen:
                seen.append(types)
                if len(seen) > MOST:
                    warnings.warn(_sentence(name, seen[-2], seen[-1], len(seen)), stacklevel=4)
        return result

    return call


def _sentence(name: str, before: dict[str, str], now: dict[str, str], times: int) -> str:
    paths = dict.fromkeys([*now, *before])
    changed = [path for path in paths if before.get(path) != now.get(path)]
    shown = [f"argument {path} is {now.get(path, 'gone')}, was {before.get(path, 'absent')}" for path in changed[:4]]
    more = [f"and {len(changed) - 4} more"] if len(changed) > 4 else []
    return (
        f"{name} was compiled for the {times}th time ({'; '.join(shown + more)}). "
        "Keep shapes and types the same: drop or pad a last batch that is smaller"
    ).replace("3th", "3rd")
