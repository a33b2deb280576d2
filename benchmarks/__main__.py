"""`python -m benchmarks [--print-only] [SECTION …]`: run the named sections, all where none is named.

A section is a function that measures one thing and returns its report in Markdown, which is printed and put between
the section's marks in docs/benchmarks.md, where it has some (unless `--print-only`). To add one: write a module with
a `report()`, name it in `_SECTIONS`, and give the document a pair of marks. It is imported only when it runs, so that
what one section needs does not hold up another.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Final

from benchmarks.figures import write_section
from benchmarks.peers import NotHereError
from benchmarks.processes import BenchmarkError

_SECTIONS: Final = {
    "matching": "benchmarks.matching",
    "in-process": "benchmarks.in_process",
    "http": "benchmarks.over_http",
    "memory": "benchmarks.memory",
    "startup": "benchmarks.startup",
    "journal": "benchmarks.durable",
    "abuse": "benchmarks.abuse",
}


def _main(arguments: list[str]) -> int:
    names = [each for each in arguments if each != "--print-only"]
    unknown = [name for name in names if name not in _SECTIONS]
    if unknown:
        print(f"benchmarks: expected sections out of: {', '.join(_SECTIONS)}; got {unknown[0]!r}", file=sys.stderr)
        return 2
    failed = 0
    for name in names or _SECTIONS:
        report: Callable[[], str] = importlib.import_module(_SECTIONS[name]).report
        try:
            text = report()
        except (BenchmarkError, NotHereError) as error:
            print(f"benchmarks: {name} was not measured: {error}", file=sys.stderr)
            failed = 1
            continue
        print(text, flush=True)
        if "--print-only" not in arguments:
            write_section(name, text)
    return failed


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
