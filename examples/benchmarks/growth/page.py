"""docs/growth.md and its picture, from the stored results."""

import json
from pathlib import Path

from examples.benchmarks.harness.report import table

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "examples" / "results" / "growth.json"
PAGE = ROOT / "docs" / "growth.md"
PICTURE = ROOT / "docs" / "pictures" / "growth.png"

HEAD = """# How cost grows

Written by `python -m examples.benchmarks.growth --page` from [the stored results](../examples/results/growth.json);
do not edit. Taken on {processor}, {system}, two cores, JAX {jax}. Times are medians of {rounds} rounds in which the
sizes of a table and their bare products took turns; "of the products" is the time of the products that a step is made
of, by XLA alone, over its own.

![cost by size](pictures/growth.png)
"""


def write_page(results: Path = RESULTS, page_path: Path = PAGE, picture: Path = PICTURE) -> str:
    """Write both; says where."""
    found = json.loads(results.read_text())
    draw(found, picture)
    page_path.write_text(page(found))
    return str(page_path)


def page(found: dict) -> str:
    """The whole page."""
    stacked, written = found["repeat"], found["serial"]
    compiled = lambda one: f"{one['lines']:,} / {one['lower_seconds']:.2f} / {one['compile_seconds']:.2f}"
    parts = [
        HEAD.format(**found["machine"], rounds=found["rounds"]),
        "## By depth\n\nThe gradient of a small GPT: lines of the program / seconds to trace and lower / seconds to "
        "compile.\n\n"
        + table(["blocks", "`repeat`", "`serial`"], ([n, compiled(stacked[n]), compiled(written[n])] for n in stacked)),
        "## By batch\n\nOne step of 784-800-10.\n\n" + _times("batch", found["batch"]),
        "## By width\n\nOne step of 784-width-10, batch 128.\n\n" + _times("width", found["width"]),
        "## By context\n\nOne step of a GPT of four blocks of 64, 2,048 characters a step.\n\n"
        + _times("context", found["context"]),
        "## Memory by context\n\nMiB of temporaries of the gradient of eight blocks of 64, batch 4. Beyond 512 "
        "positions attention goes by blocks.\n\n"
        + table(
            ["context", *(f"`{way}`" for way in found["memory"])],
            ([n, *(f"{sizes[n]:,.0f}" for sizes in found["memory"].values())] for n in found["memory"]["repeat"]),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _times(what: str, found: dict) -> str:
    row = lambda name, one: [name, f"{one['milliseconds']:.3g}", f"{100 * one['of_limit']['median']:.0f} %"]
    return table([what, "ms", "of the products"], (row(name, one) for name, one in found.items()))


def draw(found: dict, path: Path) -> None:
    """Compile time by depth, fraction of the products by size, memory by context."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.2))
    for way in ("repeat", "serial"):
        left.plot(
            [int(n) for n in found[way]], [one["compile_seconds"] for one in found[way].values()], "o-", label=way
        )
    left.set(xlabel="blocks", ylabel="seconds to compile", xscale="log", yscale="log")
    for what in ("batch", "width", "context"):
        sizes = found[what]
        middle.plot([int(n) for n in sizes], [one["of_limit"]["median"] for one in sizes.values()], "o-", label=what)
    middle.set(xlabel="size", ylabel="time of the products / of the step", xscale="log", ylim=(0, None))
    for way, sizes in found["memory"].items():
        right.plot([int(n) for n in sizes], list(sizes.values()), "o-", label=way)
    right.set(xlabel="context", ylabel="MiB", xscale="log", yscale="log")
    for axes, sizes in ((left, found["repeat"]), (right, found["memory"]["repeat"])):
        axes.set_xticks([int(n) for n in sizes], labels=list(sizes))
        axes.minorticks_off()
    for axes in (left, middle, right):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(linewidth=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
