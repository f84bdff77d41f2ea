"""The configuration of a run as plain data, kept beside its states, and compared before it goes on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import jax
import numpy as np

from fdl.recipe import Recorded
from fdl.tree import Where, stands_for

SHOWN = 20


class ConfigError(ValueError):
    """A run was to go on with another configuration than it was saved with."""


def plain_config(config: Any) -> dict[str, Any]:
    """A dict, or a dataclass, of numbers, strings, lists and more of its kind, as JSON holds it; None is {}.

    A value that prints as the call that made it, a layer or an optimizer, becomes {"adam": {"learning_rate": 0.01}}; a
    function its name.  Raises TypeError, naming the path, for all else.
    """
    made = _plain(config, "config")
    if made is None or type(made) is dict:
        return made or {}
    raise TypeError(f"config must be a dict or a dataclass, got {type(config).__name__}")


def config_sha256(config: dict[str, Any]) -> str:
    """Digest of a plain configuration, equal exactly when two are."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def require_same(where: Any, before: dict[str, Any], now: Any, may_change: Where = ()) -> None:
    """Raise ConfigError with a line for each path that differs, but for those that may.

    A configuration before that is {} is not known, and None now is not to be compared.
    """
    if not before or now is None:
        return
    both = before, plain_config(now)
    texts = [{path: json.dumps(value) for path, value in _leaves(config, "").items()} for config in both]
    paths = [path for path in sorted(texts[0] | texts[1]) if texts[0].get(path) != texts[1].get(path)]
    wrong = [path for path in paths if not stands_for(may_change, path, None)]
    if wrong:
        lines = [f"{path}: {texts[0].get(path, 'missing')}, now {texts[1].get(path, 'missing')}" for path in wrong]
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise ConfigError(
            f"{where} was saved with another configuration ({len(wrong)} paths differ):\n  "
            + "\n  ".join(lines[:SHOWN] + more)
            + f"\ngo on with the old one, choose another directory, or say that it may change: may_change={wrong[0]!r}"
        )


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return _plain(np.asarray(value).tolist(), path)
    if isinstance(value, Recorded) and value.call is not None:
        arguments = [(str(i) if name is None else name, given) for i, (name, given) in enumerate(value.call.arguments)]
        return {value.call.kind: _plain(dict(arguments), f"{path}/{value.call.kind}")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Recorded):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_name(name, path): _plain(item, f"{path}/{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}/{i}") for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    name = getattr(value, "__qualname__", "<")
    if "<" not in name:
        return f"{value.__module__}.{name}"
    raise TypeError(f"{path} must be a number, a string, a list, a dict or a dataclass of them, got {value!r}")


def _name(name: Any, path: str) -> str:
    if type(name) is not str or "/" in name:
        raise TypeError(f"the names in {path} must be strings without '/', got {name!r}")
    return name


def _leaves(value: Any, path: str) -> dict[str, Any]:
    """Values by path; lists and dicts without entries are values too."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = {
        deeper: leaf
        for name, item in entries
        for deeper, leaf in _leaves(item, f"{path}/{name}" if path else str(name)).items()
    }
    return inner or ({path: value} if path else {})
