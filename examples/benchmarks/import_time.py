"""What `import fdl` adds to `import jax, numpy`:  python -m examples.benchmarks.import_time [--rounds 11]"""

import argparse
import statistics
import subprocess
import sys

CODE = "import time, jax, numpy; start = time.perf_counter(); import fdl; print(time.perf_counter() - start)"


def main() -> None:
    """Median over fresh processes, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    run = lambda: float(subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout)
    times = [run() for _ in range(rounds)]
    print(
        f"import fdl: median {statistics.median(times):.3f} s, from {min(times):.3f} to {max(times):.3f}, of {rounds}"
    )


if __name__ == "__main__":
    main()
