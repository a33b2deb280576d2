"""`python -m benchmarks [OPTIONS] [SECTION …]`: run the named sections; all sections if none is named.

A section is a function that measures one thing and returns its report in Markdown. The report is printed, and put
between the section's marks in docs/benchmarks.md if the section has some there (unless `--print-only`). To add one:
write a module with a `report()`, name it in `_SECTIONS`, and give the document a pair of marks. The module is imported
only when it runs, so a missing dependency of one section does not stop the others.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.figures import write_section
from benchmarks.options import Options
from benchmarks.peers import NotHereError
from benchmarks.processes import BenchmarkError

_SECTIONS: Final = {
    "matching": "benchmarks.matching",
    "in-process": "benchmarks.in_process",
    "http": "benchmarks.over_http",
    "memory": "benchmarks.memory",
    "startup": "benchmarks.startup",
    "journal": "benchmarks.durable",
    "trace": "benchmarks.live_trace",
    "abuse": "benchmarks.abuse",
    "cluster": "benchmarks.cluster",
}
_WITH_OPTIONS: Final = ("http", "in-process")


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, side by side in one run.")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"out of: {', '.join(_SECTIONS)}")
    parser.add_argument("--print-only", action="store_true", help="do not write docs/benchmarks.md")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="DIR",
        help="a checkout of another commit: http and in-process measure it too, in the same run, and print the ratio",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="http: so many rounds")
    parser.add_argument(
        "--connections", type=int, action="append", default=[], metavar="N", help="http: only so many; repeatable"
    )
    parser.add_argument(
        "--row", action="append", default=[], metavar="TEXT", help="http: only our rows with TEXT in them; repeatable"
    )
    return parser.parse_args(arguments)


def _main(arguments: list[str]) -> int:
    given = _arguments(arguments)
    unknown = [name for name in given.sections if name not in _SECTIONS]
    if unknown:
        print(f"benchmarks: expected sections out of: {', '.join(_SECTIONS)}; got {unknown[0]!r}", file=sys.stderr)
        return 2
    options = Options(given.before, given.rounds, tuple(given.connections), tuple(given.row))
    failed = 0
    for name in given.sections or _SECTIONS:
        report: Callable[..., str] = importlib.import_module(_SECTIONS[name]).report
        try:
            text = report(options) if name in _WITH_OPTIONS else report()
        except (BenchmarkError, NotHereError) as error:
            print(f"benchmarks: {name} was not measured: {error}", file=sys.stderr)
            failed = 1
            continue
        print(text, flush=True)
        if options.is_whole and not given.print_only:
            write_section(name, text)
    return failed


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
