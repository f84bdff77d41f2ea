"""fdl against its peers:  python -m examples.benchmarks list | check [WORKLOAD ...] | run [WORKLOAD ...] | report

check sees whether all frameworks compute the same losses; run does too, takes times, and writes a JSON file for
each workload; report makes docs/benchmarks.md and its pictures of them.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from examples.benchmarks.harness.agree import DisagreementError
from examples.benchmarks.harness.children import ChildError, MissingPeerError
from examples.benchmarks.harness.machine import machine
from examples.benchmarks.harness.measure import QUICK, Effort, agreed, measure
from examples.benchmarks.harness.report import RESULTS, summary, write_report
from examples.benchmarks.workload import PEERS
from examples.benchmarks.workloads import WORKLOADS


def main() -> int:
    """0 if all went well, 1 if a workload was refused."""
    options = arguments()
    if options.command == "list":
        for name, workload in WORKLOADS.items():
            print(f"{name:12}  {workload.title}; against {', '.join(workload.peers)}")
        return 0
    if options.command == "report":
        print(write_report())
        return 0
    does = check if options.command == "check" else run
    refused = [name for name in options.workloads or WORKLOADS if not kept(does, name, options)]
    if refused:
        print(f"refused: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0


def kept(does: Callable, name: str, options: argparse.Namespace) -> bool:
    """Check or measure one workload; False, with the reason, if it was refused."""
    peers = [peer for peer in WORKLOADS[name].peers if options.peers is None or peer in options.peers]
    try:
        does(name, peers, options)
    except (MissingPeerError, DisagreementError, ChildError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    return True


def check(name: str, peers: list[str], options: argparse.Namespace) -> None:
    """Print the worst error of each peer."""
    with agreed(name, WORKLOADS[name], peers, options.threads) as (_, _, worst):
        print(name, *(f"{peer} {error:.0e}" for peer, error in worst.items()), flush=True)


def run(name: str, peers: list[str], options: argparse.Namespace) -> None:
    """Measure and record."""
    effort = QUICK if options.quick else Effort()
    effort = effort._replace(threads=options.threads, rounds=options.rounds or effort.rounds)
    result = {"machine": machine()} | measure(name, WORKLOADS[name], peers, effort)
    print(summary(result), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the workloads and their peers")
    commands.add_parser("report", help="write docs/benchmarks.md from the results")
    checking = commands.add_parser("check", help="compare losses, of all workloads by default")
    running = commands.add_parser("run", help="compare losses, then measure, all workloads by default")
    for command in (checking, running):
        command.add_argument("workloads", nargs="*", metavar="WORKLOAD")
        command.add_argument("--peers", nargs="+", help="only these")
        command.add_argument("--threads", type=int, default=Effort().threads)
    running.add_argument("--rounds", type=int)
    running.add_argument("--quick", action="store_true", help="three short rounds: to see that all works")
    running.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    if unknown := sorted({*(getattr(options, "peers", None) or ())} - {*PEERS, "jax"}):
        parser.error(f"no peer {unknown[0]!r}; there are {', '.join((*PEERS, 'jax'))}")
    unknown = sorted(set(getattr(options, "workloads", ())) - WORKLOADS.keys())
    if unknown:
        parser.error(f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
