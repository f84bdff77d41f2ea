"""The course, row by row:  python -m examples list | run ROW… | report

run takes names or numbers of rows, goes on with seeds that ended before, prints each figure beside its reference and
records the result; report writes docs/course.md and a page for each row.
"""

import argparse
import sys
from pathlib import Path

from examples.course import record, report
from examples.course.running import PICTURES, run, shown
from examples.course.syllabus import UnknownRowError, find, modules
from fdl.data import FetchError


def main() -> int:
    """0 if every row that was run gave what was asked, 1 if one missed, 2 if it could not be run."""
    options = arguments()
    if options.command == "list":
        for name, module in modules().items():
            print(f"{', '.join(module.ROW.rows):8} {name:24} {module.ROW.budget:6g} s  {module.ROW.title}")
        return 0
    if options.command == "report":
        print(report.write(options.results))
        return 0
    try:
        return run_rows([find(word) for word in options.rows], options)
    except (UnknownRowError, FetchError) as error:
        print(error, file=sys.stderr)
        return 2


def run_rows(names: list[str], options: argparse.Namespace) -> int:
    """Run rows one after the other."""
    missed = 0
    where = {"results": options.results, "scratch": options.scratch, "pictures": options.pictures}
    for name in names:
        module = modules()[name]
        result = run(name, module, options.seeds, fresh=options.fresh, **where)
        print(shown(module.ROW, result), flush=True)
        missed += not all(record.held(module.ROW, result).values())
    return 1 if missed else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the rows that are written")
    running = commands.add_parser("run", help="run rows and record their results")
    running.add_argument("rows", nargs="+", metavar="ROW", help="a name or a number")
    running.add_argument("--seeds", type=int, nargs="+", default=(), help="instead of the row's own")
    running.add_argument("--fresh", action="store_true", help="run again what ended before")
    running.add_argument("--scratch", type=Path, default=record.SCRATCH, help="where runs keep what they need to go on")
    running.add_argument("--pictures", type=Path, default=PICTURES, help="where pictures go")
    reporting = commands.add_parser("report", help="write docs/course.md and the pages")
    for command in (running, reporting):
        command.add_argument("--results", type=Path, default=record.RESULTS, help="where results lie")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
