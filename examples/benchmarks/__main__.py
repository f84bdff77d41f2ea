"""fdl against its peers:  python -m examples.benchmarks list | check [WORKLOAD ...] | run [WORKLOAD ...] | report

check sees whether all frameworks compute the same losses; run does too, takes times, and writes a JSON file for
each workload; report makes docs/benchmarks.md and its pictures of them.
"""

import argparse
import json
import sys
from pathlib import Path

from examples.benchmarks.harness.agree import DisagreementError
from examples.benchmarks.harness.children import ChildError, MissingPeerError
from examples.benchmarks.harness.machine import machine
from examples.benchmarks.harness.measure import QUICK, Effort, agreed, measure
from examples.benchmarks.harness.report import RESULTS, summary, write_report
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
    effort = QUICK if options.quick else Effort()
    effort = effort._replace(threads=options.threads, rounds=options.rounds or effort.rounds)
    refused = [name for name in options.workloads or WORKLOADS if not run(name, options, effort)]
    if refused:
        print(f"refused: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0


def run(name: str, options: argparse.Namespace, effort: Effort) -> bool:
    """Measure and record one workload; False, with the reason, if it was refused."""
    workload = WORKLOADS[name]
    peers = [peer for peer in workload.peers if options.peers is None or peer in options.peers]
    try:
        if options.command == "check":
            with agreed(name, workload, peers, effort.threads) as (_, _, worst):
                print(name, *(f"{peer} {error:.1e}" for peer, error in worst.items()), flush=True)
            return True
        result = measure(name, workload, peers, effort)
    except (MissingPeerError, DisagreementError, ChildError) as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(summary(result), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(effort.threads)} | result, indent=1)
    (options.results / f"{name}.json").write_text(text + "\n")
    return True


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the workloads and their peers")
    commands.add_parser("report", help="write docs/benchmarks.md from the results")
    for name, does in (("check", "compare losses"), ("run", "compare losses, then measure")):
        running = commands.add_parser(name, help=f"{does}, of all workloads by default")
        running.add_argument("workloads", nargs="*", metavar="WORKLOAD")
        running.add_argument("--peers", nargs="+", help="only these")
        running.add_argument("--threads", type=int, default=2)
        running.add_argument("--rounds", type=int)
        running.add_argument("--quick", action="store_true", help="three short rounds: to see that all works")
        running.add_argument("--results", type=Path, default=RESULTS, help="the folder to write to")
    options = parser.parse_args()
    unknown = sorted(set(getattr(options, "workloads", ())) - WORKLOADS.keys())
    if unknown:
        parser.error(f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
