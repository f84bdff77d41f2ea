"""docs/benchmarks.md and its pictures, from the stored results."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from examples.benchmarks.workload import PEERS
from examples.benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "examples" / "results" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "pictures"
FRAMEWORKS = ("fdl", *PEERS, "jax")
MIB = 2**20

HEAD = """# Benchmarks

Written by `python -m examples.benchmarks report` from [the stored results](../examples/results/benchmarks); do not
edit. How convolutions, pools and norms became fast is told on [the page about speed](speed.md).

Each workload is written once for each framework, in the way of its users, in
[`examples/benchmarks/workloads`](../examples/benchmarks/workloads): fdl with `train.run` over examples on the device,
the JAX peers with optax, a donated jitted step and a loop over batches on the device, torch eager and compiled with
fused optimizers and channels-last images. All start from the same weights, and nothing is timed before their losses
were seen to agree, step by step, within a relative error of {tolerance:.0e}. Each has a process of its own with the
same number of threads; they take turns, and a ratio is the median over rounds of two times of the same round.

To repeat it, `pip install '.[bench]'`, then `python -m examples.benchmarks run` and `... report`.
"""


class MixedResultsError(ValueError):
    """The stored results were not all taken in the same way, so that one table cannot hold them."""


def write_report(results: Path = RESULTS, page_path: Path = PAGE, pictures: Path = PICTURES) -> str:
    """Write the page and its pictures; says where."""
    found = read(results)
    from examples.benchmarks.harness import picture

    pictures.mkdir(parents=True, exist_ok=True)
    picture.ratios(found, pictures / "benchmark_ratios.png")
    picture.limits(found, pictures / "benchmark_limits.png")
    page_path.write_text(page(found))
    return f"{page_path}: {len(found)} workloads"


def read(folder: Path) -> list[dict]:
    """The stored results, in the order of the workloads.  Raises FileNotFoundError where there are none."""
    stored = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    found = [stored[name] for name in WORKLOADS if name in stored]
    if not found:
        raise FileNotFoundError(f"no results in {folder}; make some: python -m examples.benchmarks run")
    return found


def page(results: Sequence[dict]) -> str:
    """The whole page.  Raises MixedResultsError for results of several machines, efforts or versions."""
    names = [name for name in FRAMEWORKS if any(name in result["frameworks"] for result in results)]
    parts = [
        HEAD.format(tolerance=results[0]["agreement"]["tolerance"]) + "\n" + taken(results),
        "## Against the peers\n\n"
        "fdl's time divided by the peer's, median and quartiles over the rounds: below 1 fdl is faster.\n\n"
        "![fdl's time by each peer's](pictures/benchmark_ratios.png)\n\n"
        + table(["workload", *names[1:]], ([result["workload"], *_ratios(result, names[1:])] for result in results)),
        "## Times\n\nMilliseconds a unit, median over the rounds.\n\n"
        + table(["workload", "unit", *names], ([*_unit(result), *_times(result, names)] for result in results)),
        "## Against the machine\n\n"
        "The bare matrix products of a unit, by the faster of NumPy and XLA in the same round, as a fraction of its "
        "time.\nA convolution counts as the product it is equal to, which it need not pass through: some exceed 100 %. "
        "Depthwise ones are no such products and do not count.\n\n"
        "![fraction of the limit](pictures/benchmark_limits.png)\n\n"
        + table(["workload", "GFLOP", *names], ([*_flops(result), *_of_limit(result, names)] for result in results)),
        "## First unit, memory, import\n\nSeconds of the first unit, which compiles / peak MiB of the process.\n\n"
        + table(["workload", *names], ([result["workload"], *_first(result, names)] for result in results))
        + "\n\nSeconds to import, median over the workloads: "
        + ", ".join(f"{name} {_import(results, name):.2f}" for name in names)
        + ".",
        "## What was computed\n\n" + "\n".join(f"- {_says(result)}" for result in results),
    ]
    return "\n\n".join(parts) + "\n"


def taken(results: Sequence[dict]) -> str:
    """On what and how all results were taken, which must be the same for all."""
    machines = {json.dumps([result["machine"], result["effort"]], sort_keys=True) for result in results}
    versions = _versions(results)
    split = [name for name, all_of_it in versions.items() if len(all_of_it) > 1]
    if len(machines) > 1 or split:
        why = f"versions of {', '.join(split)}" if split else "machines or efforts"
        raise MixedResultsError(f"the results are of different {why}; run all workloads again")
    machine, effort = results[0]["machine"], results[0]["effort"]
    shown = ", ".join(f"{name} {min(found)}" for name, found in sorted(versions.items()))
    return (
        f"Taken on {machine['processor']}, {machine['system']}, {effort['threads']} threads, "
        f"{effort['rounds']} rounds with turns of {effort['seconds']:g} s; Python {machine['python']}, {shown}."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(result: dict) -> str:
    """A workload in a few lines, for the terminal."""
    lines = [f"{result['workload']}: {result['title']}"]
    for name, found in result["frameworks"].items():
        ratio = f"  fdl / {name} {_spread(result['ratios'][name])}" if name in result["ratios"] else ""
        limit = f"  {_percent(result['of_limit'][name])} of the limit" if name in result["of_limit"] else ""
        cpu = 1e3 * statistics.median(found["cpu_seconds"])
        lines.append(
            f"  {name:14}{_ms(found):>9} ms / {result['unit']} ({cpu:.3g} ms of all processors), "
            f"first {found['first_seconds']:.2f} s, import {found['import_seconds']:.2f} s, "
            f"peak {found['peak_bytes'] / MIB:.0f} MiB{limit}{ratio}"
        )
    return "\n".join(lines)


def _ratios(result: dict, names: Sequence[str]) -> list[str]:
    return [_spread(result["ratios"][name]) if name in result["ratios"] else "–" for name in names]


def _times(result: dict, names: Sequence[str]) -> list[str]:
    return [_ms(result["frameworks"][name]) if name in result["frameworks"] else "–" for name in names]


def _of_limit(result: dict, names: Sequence[str]) -> list[str]:
    return [_percent(result["of_limit"][name]) if name in result["of_limit"] else "–" for name in names]


def _first(result: dict, names: Sequence[str]) -> list[str]:
    cell = lambda found: f"{found['first_seconds']:.1f} / {found['peak_bytes'] / MIB:.0f}"
    return [cell(result["frameworks"][name]) if name in result["frameworks"] else "–" for name in names]


def _unit(result: dict) -> tuple[str, str]:
    return result["workload"], result["unit"]


def _flops(result: dict) -> tuple[str, str]:
    return result["workload"], f"{result['flops'] / 1e9:.3g}"


def _import(results: Sequence[dict], name: str) -> float:
    seconds = sorted(r["frameworks"][name]["import_seconds"] for r in results if name in r["frameworks"])
    return seconds[len(seconds) // 2]


def _versions(results: Sequence[dict]) -> dict[str, list[str]]:
    versions: dict[str, set[str]] = {}
    for result in results:
        for found in result["frameworks"].values():
            for name, version in found["versions"].items():
                versions.setdefault(name, set()).add(version)
    return {name: sorted(found) for name, found in versions.items()}


def _says(result: dict) -> str:
    agreement = result["agreement"]
    worst = max(agreement["worst"].values(), default=0.0)
    absent = "".join(f" Without {peer}: {why}." for peer, why in result["absent"].items())
    return (
        f"**{result['workload']}**: {result['title']}. Agreement over {agreement['steps']} "
        f"{'units' if agreement['steps'] > 1 else 'unit'}: {worst:.0e} at worst; {result['drawn']}.{absent}"
    )


def _ms(found: dict) -> str:
    milliseconds = 1e3 * found["spread"]["median"]
    return f"{milliseconds:.3g}" if milliseconds < 1000 else f"{milliseconds:,.0f}"


def _spread(spread: dict) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f}–{spread['high']:.2f})"


def _percent(spread: dict) -> str:
    return f"{100 * spread['median']:.0f} %"
