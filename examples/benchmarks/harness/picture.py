"""The two pictures of the page."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "fdl": "black",
    "torch": "tab:red",
    "torch.compile": "tab:orange",
    "linen": "tab:blue",
    "nnx": "tab:cyan",
    "equinox": "tab:green",
    "haiku": "tab:purple",
    "jax": "tab:grey",
}


def ratios(results: Sequence[dict], path: Path) -> None:
    """A row a workload, a dot a peer: fdl's time by the peer's, on a logarithmic axis, with quartiles."""
    _dots(results, "ratios", "fdl's time / the peer's: left of 1 fdl is faster", path, log=True)


def limits(results: Sequence[dict], path: Path) -> None:
    """A row a workload, a dot a framework: the fraction of the limit."""
    _dots(results, "of_limit", "time of the bare products / time of the unit", path, log=False)


def _dots(results: Sequence[dict], measured: str, label: str, path: Path, *, log: bool) -> None:
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.32 * len(results)))
    for name, colour in COLOURS.items():
        rows = [(-i, result[measured][name]) for i, result in enumerate(results) if name in result[measured]]
        if rows:
            places, spreads = zip(*rows)
            middle = [spread["median"] for spread in spreads]
            axes.plot(middle, places, "o", color=colour, markersize=5, label=name)
            axes.hlines(places, [s["low"] for s in spreads], [s["high"] for s in spreads], colour, linewidth=1)
    axes.set_yticks([-i for i in range(len(results))], [result["workload"] for result in results])
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(label)
    axes.grid(axis="x", linewidth=0.3)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / figure.get_figheight()))
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
