"""The promises of checkpoints at length:  python -m examples.promises kills | overwrite | cost | peers

kills ends runs of four systems 500 times by SIGKILL, overwrite ends saves over a good checkpoint at each of their
system calls, cost takes the time of an asynchronous save every 100 steps, peers damages files and kills saves of ours
and of other libraries (the extra `bench`).  Results are JSON files.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results" / "promises"


def main() -> int:
    """0 if the promise holds."""
    options = arguments()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result, holds = COMMANDS[options.command](options, Path(folder))
    from examples.benchmarks.harness.machine import machine

    result |= {"holds": holds, "seconds": round(time.perf_counter() - start, 1), "machine": machine()}
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{options.command}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 0 if holds else 1


def kills(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """R1.  Compiled programs are kept in the folder, so that each life is short."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "programs")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    from examples.promises.kills import killed
    from examples.promises.systems import SYSTEMS

    if unknown := set(options.systems) - SYSTEMS.keys():
        raise SystemExit(f"no system {unknown.pop()!r}; there are {', '.join(SYSTEMS)}")
    recorded = options.results / "kills.json"
    found = json.loads(recorded.read_text())["systems"] if recorded.exists() else {}
    for name in options.systems or SYSTEMS:
        found[name] = killed(name, options.kills // len(SYSTEMS), folder / name, options.seed)
    return {"systems": found}, all(holds(system) for system in found.values())


def holds(found: dict[str, Any]) -> bool:
    """Equal ends; steps gone on from that never fall and are mostly past the first; kills inside a save."""
    steps = [step for run in found["resumed"] for step in run]
    advancing = all(list(run) == sorted(run) for run in found["resumed"])
    enough = sum(step > 0 for step in steps) > 0.6 * found["kills"] and found["inside a save"] >= 0.12 * found["kills"]
    return found["unequal"] == 0 and advancing and enough


def overwrite(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """R2 and R3."""
    from examples.promises.overwrite import overwritten

    found = overwritten(options.kills, folder)
    return found, all(case["lost or mixed"] == 0 for case in found["cases"].values())


def cost(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """R8's price."""
    from examples.promises.cost import measured

    found = measured(options.rounds, folder)
    return found, found["cost"] <= 0.03


def peers(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    """R3 and R9, side by side."""
    from examples.promises.peers import holds, measured, table
    from examples.promises.savers import SAVERS

    recorded = options.results / "peers.json"
    found = json.loads(recorded.read_text())["systems"] if recorded.exists() else {}
    if unknown := set(options.systems) - SAVERS.keys():
        raise SystemExit(f"no system {unknown.pop()!r}; there are {', '.join(SAVERS)}")
    for number, name in enumerate(options.systems or SAVERS):
        found[name] = measured(name, folder / str(number), options.trials, options.kills, options.megabytes << 20)
    if found.keys() == SAVERS.keys():
        print("\n".join(table(found)))
    return {"systems": {name: found[name] for name in SAVERS if name in found}}, "fdl" not in found or holds(
        found["fdl"]
    )


COMMANDS = {"kills": kills, "overwrite": overwrite, "cost": cost, "peers": peers}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.promises", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    killing = commands.add_parser("kills", help="kill runs")
    killing.add_argument("--kills", type=int, default=500, help="of all four systems")
    killing.add_argument("--systems", nargs="+", default=(), help="only these; results of the others stay")
    killing.add_argument("--seed", type=int, default=0)
    overwriting = commands.add_parser("overwrite", help="kill saves")
    overwriting.add_argument("--kills", type=int, default=200)
    costing = commands.add_parser("cost", help="take the time of saves")
    costing.add_argument("--rounds", type=int, default=30)
    beside = commands.add_parser("peers", help="the same of other libraries")
    beside.add_argument("--systems", nargs="+", default=(), help="only these; results of the others stay")
    beside.add_argument("--trials", type=int, default=200, help="flipped bits, and cuts")
    beside.add_argument("--kills", type=int, default=60, help="at random instants, and at system calls")
    beside.add_argument("--megabytes", type=int, default=32, help="size of the saves that are killed")
    for command in (killing, overwriting, costing, beside):
        command.add_argument("--results", type=Path, default=RESULTS, help="where results go")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")
    sys.exit(main())
