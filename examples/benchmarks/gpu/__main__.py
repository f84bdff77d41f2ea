"""Measure everything and write it to a file:  python -m examples.benchmarks.gpu --out FILE.json [WORKLOAD ...]"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from examples.benchmarks.gpu import WORKLOADS
from examples.benchmarks.gpu.workload import GpuWorkload
from examples.benchmarks.harness.agree import DisagreementError
from examples.benchmarks.harness.children import ROOT, ChildError, MissingPeerError, Place
from examples.benchmarks.harness.machine import machine
from examples.benchmarks.harness.measure import Effort, agreed, spread, take_turns

TOLERANCE = 1e-2  # of losses in bfloat16, over five steps
PLACE = Place(
    "examples.benchmarks.gpu",
    {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.42"},  # the rest is for torch, beside it
)


def main() -> None:
    """The card's rates, the workloads, MNIST; the file is written after each."""
    options = arguments()
    effort = Effort(rounds=options.rounds, seconds=options.seconds, threads=len(os.sched_getaffinity(0)))
    result = {"machine": machine(), "seed": 0, "effort": effort._asdict(), "rates": told("rates"), "workloads": {}}
    if not options.workloads:
        result["mnist"] = told("mnist")
        print(result["mnist"], flush=True)
    for name in options.workloads or WORKLOADS:
        try:
            row = measure(name, WORKLOADS[name], effort, result["rates"]["bf16_flops_per_second"])
        except (MissingPeerError, DisagreementError, ChildError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        result["workloads"][name] = row
        print(summary(name, row), flush=True)
        write(options.out, result)


def measure(name: str, workload: GpuWorkload, effort: Effort, limit: float) -> dict:
    """Items a second of each framework, and the part of the measured matrix rate that its arithmetic comes to."""
    with agreed(name, workload, workload.peers, effort.threads, place=PLACE, tolerance=TOLERANCE) as (
        children,
        found,
        worst,
    ):
        take_turns(children, found, effort)
    ours = found["fdl"]["seconds"]
    for own in found.values():
        own["items_per_second"] = workload.items / own["spread"]["median"]
        own["of_matrix_rate"] = own["items_per_second"] * workload.flops_per_item / limit
    return {
        "title": workload.title,
        "item": workload.item,
        "precision": workload.precision,
        "flops_per_item": workload.flops_per_item,
        "agreement": {"steps": workload.curve, "tolerance": TOLERANCE, "worst": worst},
        "frameworks": found,
        "speed_over": {
            peer: spread([theirs / own for own, theirs in zip(ours, found[peer]["seconds"])]) for peer in workload.peers
        },
    }


def told(module: str) -> dict:
    """What a module of this folder prints, run in a process of its own, so that its memory is free afterwards."""
    command = [sys.executable, "-m", f"examples.benchmarks.gpu.{module}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(name: str, row: dict) -> str:
    """A line a framework."""
    lines = [f"{name}: {row['title']}"]
    for peer, own in row["frameworks"].items():
        ahead = f", fdl {row['speed_over'][peer]['median']:.2f} times as fast" if peer in row["speed_over"] else ""
        lines.append(
            f"  {peer:14} {own['items_per_second']:12,.0f} {row['item']}s/s, {own['of_matrix_rate']:6.1%} of the "
            f"matrix rate, first step {own['first_seconds']:.0f} s{ahead}"
        )
    return "\n".join(lines)


def write(path: Path, result: dict) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a turn should last")
    return parser.parse_args()


if __name__ == "__main__":
    main()
