"""docs/benchmarks.md and its pictures, from the stored results."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "examples" / "results" / "benchmarks"


def summary(result: dict) -> str:
    """A workload in a few lines."""
    lines = [f"{result['workload']}: {result['title']}"]
    for name, found in result["frameworks"].items():
        ratio = result["ratios"].get(name)
        compared = f"  fdl / {name} {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})" if ratio else ""
        lines.append(
            f"  {name:14} {1e3 * found['spread']['median']:9.3f} ms  first {found['first_seconds']:6.2f} s  "
            f"import {found['import_seconds']:5.2f} s  peak {found['peak_bytes'] / 2**20:6.0f} MiB{compared}"
        )
    lines.append(f"  of the limit: fdl {100 * result['of_limit']['fdl']['median']:.0f} %")
    return "\n".join(lines)


def write_report() -> str:
    raise NotImplementedError
