"""What bounds each workload:  python -m examples.benchmarks.roofline [--rounds 7] [--results FILE] [--page]

Measures the machine's rate of products and of moving bytes, asks XLA what the step of each workload costs, and
compares with the times recorded by `python -m examples.benchmarks run`.  --page only writes docs/roofline.md.
"""

import argparse
import json
import os
from pathlib import Path

import jax

from examples.benchmarks.harness.machine import machine
from examples.benchmarks.roofline.measure import bandwidths, cost, peak
from examples.benchmarks.roofline.page import RESULTS, write_page
from examples.benchmarks.workloads import WORKLOADS


def main() -> None:
    """Measure and record, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.page:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
        result = {"machine": machine() | {"jax": jax.__version__}, "threads": options.threads}
        result |= {"peak": peak(options.rounds), "bandwidths": bandwidths(options.rounds)}
        costs = {name: cost(name) for name in WORKLOADS}
        result["costs"] = {name: found for name, found in costs.items() if found}
        options.results.write_text(json.dumps(result, indent=1) + "\n")
    print(write_page(options.results))


if __name__ == "__main__":
    main()
