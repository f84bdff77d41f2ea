"""What a run measured: one plain row a report, and the decisions that follow from rows alone."""

import math
from typing import Any


class History(list):
    """Rows {"step": 128, "loss": 0.31, ...}; history["loss"] is a column, with None where a row has no such entry."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return [row.get(index) for row in self]
        return super().__getitem__(index)

    def best(self, name: str, mode: str = "min") -> dict[str, Any]:
        """The first row with the lowest (mode="min") or highest (mode="max") value in the column; NaN is never best."""
        return self.ranked(name, mode)[0]

    def ranked(self, name: str, mode: str = "min") -> list[dict[str, Any]]:
        """The rows that have a value in the column, best first; of equal ones the first."""
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        sign = 1 if mode == "min" else -1
        rows = [row for row in self if row.get(name) is not None and not math.isnan(row[name])]
        if not rows:
            raise ValueError(f"no row has {name!r}; the columns are {sorted({key for row in self for key in row})}")
        return sorted(rows, key=lambda row: sign * row[name])

    def rows_since_best(self, name: str, mode: str = "min") -> int:
        """How many rows came after the best one: what patience is compared with."""
        return len(self) - 1 - self.index(self.best(name, mode))
