"""docs/roofline.md and its picture, from the stored results of the roof and of the benchmarks."""

import json
from pathlib import Path
from typing import NamedTuple

from examples.benchmarks.harness.report import RESULTS as TIMES
from examples.benchmarks.harness.report import read, table

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "examples" / "results" / "roofline.json"
PAGE = ROOT / "docs" / "roofline.md"
PICTURE = ROOT / "docs" / "pictures" / "roofline.png"

HEAD = """# What bounds each workload

Written by `python -m examples.benchmarks.roofline --page` from [the roof](../examples/results/roofline.json) and
[the benchmarks](benchmarks.md); do not edit. Taken on {processor}, {system}, {threads} threads, JAX {jax}.

A product of two square matrices of 2,048 runs at **{peak:.0f} GFLOP/s**. Moving bytes (`x * 0.5 + y`, two read and one
written) goes at {rates}, by how many are touched over and over.

![operations a second by operations a byte](pictures/roofline.png)

For each step of training the table shows the operations of its matrix products; the bytes that XLA counts its fused
operations to read and write (as if no cache held anything between two of them, so the count is an upper bound); the
time it could not fall below at the machine's peak, and that of its bytes at the rate of what it touches; the time of
its bare products at their own shapes; and its own. It is bound by

- **products** where the bare products take more than half of its time: they are as fast as the machine's libraries
  make shapes like these, and a faster step needs other shapes;
- **bytes** where moving them would take more than half of it: passes over activations, which fusing more would save;
- **the rest** otherwise: element-wise mathematics, small operations and what starts them.
"""


class Place(NamedTuple):
    """A workload under the roof; times in seconds."""

    name: str
    flops: float
    moved: float
    peak_time: float
    byte_time: float
    product_time: float
    own_time: float

    @property
    def bound(self) -> str:
        """What it is bound by."""
        if max(self.product_time, self.byte_time) < self.own_time / 2:
            return "the rest"
        return "products" if self.product_time >= self.byte_time else "bytes"


def write_page(roof_path: Path = RESULTS, times: Path = TIMES, page_path: Path = PAGE, picture: Path = PICTURE) -> str:
    """Write both; says where."""
    roof = json.loads(roof_path.read_text())
    found = places(roof, read(times))
    draw(roof, found, picture)
    page_path.write_text(page(roof, found))
    return str(page_path)


def places(roof: dict, benchmarks: list[dict]) -> list[Place]:
    """The workloads of which both the cost and the time are known."""
    rates = {int(size): rate for size, rate in roof["bandwidths"].items()}
    found = []
    for result in benchmarks:
        name = result["workload"]
        if name not in roof["costs"]:
            continue
        cost, own = roof["costs"][name], result["frameworks"]["fdl"]["spread"]["median"]
        nearest = min(rates, key=lambda size: abs(size.bit_length() - int(cost["touched"]).bit_length()))
        peak_time, byte_time = cost["flops"] / roof["peak"], cost["moved"] / rates[nearest]
        product_time = own * result["of_limit"]["fdl"]["median"]
        found.append(Place(name, cost["flops"], cost["moved"], peak_time, byte_time, product_time, own))
    return found


def page(roof: dict, found: list[Place]) -> str:
    """The whole page."""
    rates = ", ".join(f"{rate / 1e9:.0f} GB/s ({_size(int(size))})" for size, rate in roof["bandwidths"].items())
    head = HEAD.format(**roof["machine"], threads=roof["threads"], peak=roof["peak"] / 1e9, rates=rates)
    names = ["step of", "GFLOP", "MB moved", "peak, ms", "bytes, ms", "bare products, ms", "own, ms", "bound by"]
    rows = (
        [
            place.name,
            f"{place.flops / 1e9:.3g}",
            f"{place.moved / 1e6:.3g}",
            *(f"{1e3 * t:.3g}" for t in (place.peak_time, place.byte_time, place.product_time, place.own_time)),
            place.bound,
        ]
        for place in found
    )
    return head + "\n" + table(names, rows) + "\n"


def _size(size: int) -> str:
    return f"{size // 1024} KiB" if size < 2**20 else f"{size // 2**20} MiB"


def draw(roof: dict, found: list[Place], path: Path) -> None:
    """The roof for bytes from memory and from the nearest cache, and each workload under it."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4))
    rates, intensity = list(roof["bandwidths"].values()), np.geomspace(0.3, 300, 100)
    for rate, label in ((max(rates), "cache"), (rates[-1], "memory")):
        axes.plot(intensity, np.minimum(roof["peak"], intensity * rate) / 1e9, label=f"bytes from {label}")
    for place in found:
        x, y = place.flops / place.moved, place.flops / place.own_time / 1e9
        axes.plot(x, y, "ko", markersize=3)
        to_left = place.name in ("gru", "mlp", "resnet20")  # their neighbours' names stand on the right
        offset = {"xytext": (-3, -8) if to_left else (3, 3), "ha": "right" if to_left else "left"}
        axes.annotate(place.name, (x, y), textcoords="offset points", fontsize=7, **offset)
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(linewidth=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
