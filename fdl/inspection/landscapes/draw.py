"""Trajectories on the contours of a landscape, with matplotlib."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError
from fdl.inspection.landscapes.landscape import Landscape
from fdl.inspection.landscapes.trajectory import Trajectory

# Okabe & Ito's colours, which the colour-blind tell apart, the dark ones first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
GRID = 241  # points along each side of the box


class Visible(NamedTuple):
    """The points (n, 2) of a trajectory up to the edge of the box, and what became of the rest, or nothing."""

    points: np.ndarray
    note: str


def visible(landscape: Landscape, points: Any) -> Visible:
    """What can be drawn of points (steps + 1, 2): all before the first that is outside of the box or not finite."""
    points = np.asarray(points, float)
    low, high = np.asarray(landscape.box, float).T
    finite = np.isfinite(points).all(1)
    inside = finite & (points >= low).all(1) & (points <= high).all(1)
    if inside.all():
        return Visible(points, "")
    step = int(np.argmin(inside))
    if not finite[step]:
        return Visible(points[:step], f"not finite at step {step}")
    if step == 0:
        return Visible(points[:0], "starts outside")
    last, after = points[step - 1], points[step]
    way = after - last
    edge = np.where(way > 0, high, low)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.nanmin(np.where(way == 0, np.inf, (edge - last) / way))
    return Visible(np.vstack([points[:step], last + part * way]), f"leaves at step {step}")


def draw(landscape: Landscape, trajectories: Mapping[str, Trajectory], axes: Any, *, colours: Any = COLOURS) -> None:
    """Draw contours and trajectories, a name each, into matplotlib's axes.

    Levels are in equal ratios above the lowest value, so that valleys show.  A trajectory that leaves the box, or is no
    longer finite, ends there, and its label says so.  Raises ShapeError unless the landscape has two dimensions.
    """
    if landscape.dim != 2:
        raise ShapeError(f"only landscapes of two dimensions can be drawn, {landscape!r} has {landscape.dim}")
    _draw_contours(landscape, axes)
    for i, (name, path) in enumerate(trajectories.items()):
        if np.ndim(path.points) != 2:
            raise ShapeError(f"{name!r} has points of shape {np.shape(path.points)}; draw one start at a time")
        seen = visible(landscape, path.points)
        label = f"{name} ({seen.note})" if seen.note else name
        colour = colours[i % len(colours)]
        axes.plot(*seen.points.T, color=colour, lw=1.2, marker="o", ms=2.4, mew=0, label=label, zorder=3)
        axes.plot(
            *seen.points[-1:].T,
            color=colour,
            marker="X" if seen.note else "o",
            ms=6.5,
            mec="white",
            zorder=4,
            clip_on=False,
        )
    axes.plot(*landscape.start, marker="o", ms=5, mfc="white", mec="black", mew=1, zorder=5)
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        columns = 1 if max(map(len, labels)) > 26 else 2
        axes.legend(
            loc="upper left", bbox_to_anchor=(0, 0), ncols=columns, fontsize=8, frameon=False, borderaxespad=0.2
        )


def save_picture(
    path: str | PathLike,
    landscape: Landscape,
    trajectories: Mapping[str, Trajectory],
    *,
    title: str = "",
    size: tuple[int, int] = (480, 400),
    colours: Any = COLOURS,
) -> None:
    """Draw into a PNG of this size in pixels (width, height).  Needs matplotlib: pip install 'fdl[examples]'"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure  # no pyplot: it would keep a global list of figures
    from PIL import Image

    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    draw(landscape, trajectories, axes, colours=colours)
    axes.set_title(title, fontsize=9, loc="left")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # Of the thousands of colours at the edges of lines the commonest are enough, in a third of the bytes.
    commonest = [colour for _, colour in sorted(picture.getcolors(size[0] * size[1]) or [], reverse=True)]
    lines = [tuple(round(255 * part) for part in to_rgb(colour)) for colour in (*colours, *["0", ".3", ".6", "1"])]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in [*lines, *commonest][:256] for part in colour])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)


def _draw_contours(landscape: Landscape, axes: Any) -> None:
    (left, right), (bottom, top) = landscape.box
    x, y = np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)
    points = jnp.asarray(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), float)
    heights = np.asarray(jax.vmap(landscape.function)(points), float).reshape(GRID, GRID)
    bottoms = [float(landscape.function(jnp.asarray(point, float))) for point in landscape.minima]
    heights = heights - min([heights.min(), *bottoms])
    levels = np.geomspace(np.quantile(heights, 0.002), heights.max(), 17)
    axes.contourf(x, y, heights, levels=[0, *levels], colors=_shades(len(levels)), extend="neither")
    axes.contour(x, y, heights, levels=levels, colors="white", linewidths=0.5)
    for point in landscape.minima:
        axes.plot(*point, marker="+", ms=7, mew=1.2, color="black", zorder=2)
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _shades(n: int) -> np.ndarray:
    """From a pale blue-grey to nearly white, so that trajectories stand out on all of them: (n, 3)"""
    low, high = np.array([0.62, 0.71, 0.81]), np.array([0.97, 0.97, 0.96])
    return low + np.linspace(0, 1, n)[:, None] ** 0.7 * (high - low)
