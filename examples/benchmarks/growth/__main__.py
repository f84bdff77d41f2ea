"""How cost grows with size:  python -m examples.benchmarks.growth [--rounds 9] [--results FILE] [--page]

Programs and compile time by depth, stacked by `repeat` and written out; a step's time by batch, width and context,
beside the bare products it is made of; memory by context.  --page measures nothing: it writes docs/growth.md.
"""

import argparse
import json
from pathlib import Path

import jax

from examples.benchmarks.growth.measure import by_depth, gpt_case, memory, mlp_case, times
from examples.benchmarks.growth.page import RESULTS, write_page
from examples.benchmarks.harness.machine import machine

DEPTHS, BATCHES, WIDTHS = (2, 4, 8, 16, 32, 64), (16, 64, 256, 1024), (64, 256, 1024, 4096)
CONTEXTS, LONG = (32, 64, 128, 256, 512, 1024), (128, 256, 512, 1024, 2048)


def main() -> None:
    """Measure and record, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        print(write_page(options.results))
        return
    result = {"machine": machine() | {"jax": jax.__version__}, "rounds": options.rounds}
    result["repeat"] = {depth: by_depth(depth, written_out=False) for depth in DEPTHS}
    result["serial"] = {depth: by_depth(depth, written_out=True) for depth in DEPTHS}
    result["batch"] = times({str(batch): mlp_case(batch, 800) for batch in BATCHES}, options.rounds)
    result["width"] = times({str(width): mlp_case(128, width) for width in WIDTHS}, options.rounds)
    result["context"] = times({str(context): gpt_case(context) for context in CONTEXTS}, options.rounds)
    result["memory"] = {way: {n: memory(n, way) for n in LONG} for way in ("serial", "repeat", "remat")}
    options.results.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{options.results} written")


if __name__ == "__main__":
    main()
