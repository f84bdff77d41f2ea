"""A workload measured: frameworks take turns, round after round, and each round gives one ratio for each peer."""

import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from examples.benchmarks.harness.agree import TOLERANCE, worst_errors
from examples.benchmarks.harness.children import CPU, Child, Place
from examples.benchmarks.workload import Workload

LIMITS = ("numpy", "xla")


class Effort(NamedTuple):
    """How long to measure: rounds, and seconds that a turn should last."""

    rounds: int = 9
    seconds: float = 1.0
    threads: int = 2


QUICK = Effort(rounds=3, seconds=0.2)


def measure(
    name: str, workload: Workload, peers: Sequence[str], effort: Effort, say: Callable[[str], None] = print
) -> dict:
    """What came out, as JSON.  Raises MissingPeerError, ChildError or DisagreementError before any time is taken."""
    with agreed(name, workload, (*peers, *LIMITS), effort.threads) as (children, found, worst):
        say(f"{name}: the losses agree, {', '.join(f'{peer} {error:.0e}' for peer, error in worst.items())}")
        take_turns(children, found, effort)
    return {
        "workload": name,
        "title": workload.title,
        "unit": workload.unit,
        "drawn": workload.drawn,
        "effort": effort._asdict(),
        "agreement": {"steps": workload.curve, "tolerance": TOLERANCE, "worst": worst},
        "flops": workload.flops,
        "frameworks": found,
        "absent": dict(workload.absent),
        **compared(found, peers),
    }


@contextmanager
def agreed(
    name: str,
    workload: Workload,
    others: Sequence[str],
    threads: int,
    *,
    place: Place = CPU,
    tolerance: float = TOLERANCE,
) -> Iterator[tuple[dict, dict, dict]]:
    """Children of fdl and the others, what each said of its start, and the worst error of each peer.

    They start one after the other, so that none slows the import or the compilation of another.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        task = Path(folder) / "task.npz"
        with Child("fdl", name, task, threads, write=True, place=Place(place.suite, CPU.variables)) as writer:
            writer.answer()
        children, found = {}, {}
        for other in ("fdl", *others):
            children[other] = stack.enter_context(Child(other, name, task, threads, place=place))
            found[other] = children[other].answer()
        for other, child in children.items():
            first = child.run(1)
            rest = child.run(workload.curve - 1)["curve"] if workload.curve > 1 else []
            found[other] |= {"first_seconds": first["seconds"], "curve": first["curve"] + rest}
        curves = {other: found[other].pop("curve") for other in found}
        peers = {other: curve for other, curve in curves.items() if other not in LIMITS}
        yield children, found, worst_errors(peers, tolerance=tolerance)


def compared(found: dict, peers: Sequence[str]) -> dict:
    """Ratios fdl / peer, and each framework's fraction of the limit, over the rounds of this run."""
    ours = found["fdl"]["seconds"]
    ratios = {peer: spread([a / b for a, b in zip(ours, found[peer]["seconds"])]) for peer in peers}
    limits = [min(pair) for pair in zip(*(found[limit]["seconds"] for limit in LIMITS))]
    of_limit = {
        peer: spread([limit / own for limit, own in zip(limits, found[peer]["seconds"])]) for peer in ("fdl", *peers)
    }
    return {"ratios": ratios, "of_limit": of_limit}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"low": low, "median": median, "high": high}


def take_turns(children: dict[str, Child], found: dict, effort: Effort) -> None:
    """Each child for about as long as the others, in an order that turns by one from round to round."""
    names = list(children)
    units = {name: _units(child, effort.seconds) for name, child in children.items()}
    for name in names:
        found[name] |= {"units": units[name], "seconds": [], "cpu_seconds": []}
    for turn in range(effort.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            said = children[name].run(units[name])
            found[name]["peak_bytes"] = said["peak_bytes"]
            for clock in ("seconds", "cpu_seconds"):
                found[name][clock].append(said[clock] / units[name])
    for name in names:
        found[name]["spread"] = spread(found[name]["seconds"])


def _units(child: Child, seconds: float) -> int:
    """How many units fill a turn: doubled until they take a quarter of it, then scaled."""
    units = 1
    while (taken := child.run(units)["seconds"]) < seconds / 4:
        units *= 2
    return max(1, math.ceil(units * seconds / taken))
