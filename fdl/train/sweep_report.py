"""What a sweep gave, to be read: one table of text, one picture."""

import math
from collections.abc import Sequence
from typing import Any

from fdl.train.history import History
from fdl.train.rows import Row, columns

WIDE = 10.0  # from this factor on between the largest and the smallest, an axis is logarithmic


def sweep_table(rows: Sequence[Row], by: str = "loss", mode: str = "min") -> str:
    """The rows as text, a line each, best first by a column; those that have no number there, as NaN, come last."""
    ranked = History(rows).ranked(by, mode)
    rest = [row for row in rows if not any(row is one for one in ranked)]
    names = columns(rows)
    lines = [names, *([_cell(row.get(name)) for name in names] for row in [*ranked, *rest])]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths)) for line in lines)


def draw_sweep(rows: Sequence[Row], by: str = "loss", mode: str = "min", *, over: Sequence[str] = ()) -> Any:
    """A figure of matplotlib: a panel for each hyper-parameter, the column `by` over it; draw_sweep(...).savefig(path).

    A point is a trial, hollow where it was given up early; the line joins the best of each value, the star is the best
    of all.  over names the hyper-parameters, else they are what differs among the columns before "step", but the seed.
    Trials without a finite number are left out.  Needs matplotlib.
    """
    from matplotlib.figure import Figure

    over = over or _differing(rows)
    kept = [row for row in rows if math.isfinite(row.get(by, math.nan))]
    if not over or not kept:
        raise ValueError(f"nothing to draw: {len(kept)} rows have a finite {by!r}, over {', '.join(over) or 'nothing'}")
    figure = Figure(figsize=(0.8 + 2.6 * len(over), 3.0), layout="constrained")
    panels = figure.subplots(1, len(over), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, over):
        _panel(axes, kept, name, by, mode)
    panels[0].set_ylabel(by)
    return figure


def _panel(axes: Any, rows: Sequence[Row], name: str, by: str, mode: str) -> None:
    values, heights = [row[name] for row in rows], [row[by] for row in rows]
    is_scale = any(isinstance(value, float) for value in values)
    x = values if is_scale else [_places(values)[str(value)] for value in values]
    order = sorted(range(len(x)), key=lambda i: heights[i] if mode == "min" else -heights[i])
    best = {x[i]: heights[i] for i in reversed(order)}
    if len(best) < len(rows):
        axes.plot(sorted(best), [best[at] for at in sorted(best)], color="0.7", linewidth=1, zorder=1)
    last = max(row.get("step", 0) for row in rows)
    for is_end, face in ((True, "C0"), (False, "none")):
        own = [i for i, row in enumerate(rows) if (row.get("step", 0) == last) == is_end]
        axes.scatter([x[i] for i in own], [heights[i] for i in own], 18, facecolors=face, edgecolors="C0", zorder=2)
    axes.scatter([x[order[0]]], [heights[order[0]]], 90, color="C3", marker="*", zorder=3)
    axes.set(xlabel=name, yscale="log" if _is_wide(heights) else "linear")
    if is_scale:
        axes.set_xscale("log" if _is_wide(values) else "linear")
    else:
        axes.set_xticks(range(len(best)), _places(values))


def _places(values: Sequence[Any]) -> dict[str, int]:
    """Where to draw what is no scale, side by side: numbers by size, others as they come."""
    numbers = all(isinstance(value, int) for value in values)
    return {
        str(value): i for i, value in enumerate(sorted(set(values)) if numbers else dict.fromkeys(map(str, values)))
    }


def _differing(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0]) if rows else []
    before = names[: names.index("step")] if "step" in names else names
    return [name for name in before if name != "seed" and len({str(row.get(name)) for row in rows}) > 1]


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > WIDE * min(values)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
