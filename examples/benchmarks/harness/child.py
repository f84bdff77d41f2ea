"""One framework and one workload in a process of its own:  python -m examples.benchmarks.harness.child ...

It answers each line of its input by one line of JSON: "run n" does n units.  Ends with its input.
"""

import argparse
import importlib
import json
import os
import resource
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from examples.benchmarks.harness.children import CPU


def main() -> None:
    """Say what was loaded and how long that took, then do as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework")
    parser.add_argument("workload")
    parser.add_argument("task", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--suite", required=True, help="the module that holds the workloads")
    parser.add_argument("--write", action="store_true", help="write the task of fdl's first weights, and end")
    options = parser.parse_args()
    channel = os.fdopen(os.dup(1), "w")  # what a library prints must not mix with the answers
    os.dup2(2, 1)
    say = lambda **answer: print(json.dumps(answer), file=channel, flush=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    try:
        serve(options, say)
    except ModuleNotFoundError as error:
        say(missing=str(error))
    except Exception:
        say(failed=traceback.format_exc())


def serve(options: argparse.Namespace, say) -> None:
    """Load, build, answer."""
    framework, _, compiled = options.framework.partition(".")
    start = time.perf_counter()
    driver = importlib.import_module(f"examples.benchmarks.frameworks.{framework}_")
    import_seconds = time.perf_counter() - start

    from examples.benchmarks.harness import task

    workload = importlib.import_module(options.suite).WORKLOADS[options.workload]
    if options.write:
        from examples.benchmarks.harness.start import write_start

        write_start(options.task, workload, options.suite)
        return say(done=True)
    program = build(framework, workload, options.suite)(task.read(options.task, workload, compiled=compiled))
    say(import_seconds=import_seconds, versions={name: version(name) for name in driver.PACKAGES})
    for line in sys.stdin:
        units = int(line.removeprefix("run "))
        start, cpu_start = time.perf_counter(), time.process_time()
        curve = program(units)
        spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
        say(**spent, curve=[float(value) for value in curve], peak_bytes=peak_bytes())


def build(framework: str, workload, suite: str = CPU.suite):
    """The function task -> program of this framework: its own file in the workload's folder, or the bare products."""
    if framework in ("numpy", "xla"):
        return importlib.import_module(f"examples.benchmarks.frameworks.{framework}_").build
    return importlib.import_module(f"{suite}.{workload.folder}.{framework}_").build


def peak_bytes() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
