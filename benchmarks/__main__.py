"""`python -m benchmarks [SECTION …]`: run the named sections, all where none is named, and print what they found.

A section is a function that measures one thing and returns its report as text. It is imported only when it runs, so
that what one section needs does not hold up another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final


def _matching() -> str:
    from benchmarks.matching import report

    return report()


def _server() -> str:
    from benchmarks.server import report

    return report()


def _in_process() -> str:
    from benchmarks.in_process import report

    return report()


_SECTIONS: Final[dict[str, Callable[[], str]]] = {
    "matching": _matching,
    "in-process": _in_process,
    "server": _server,
}


def _main(names: list[str]) -> int:
    unknown = [name for name in names if name not in _SECTIONS]
    if unknown:
        print(f"benchmarks: expected sections out of: {', '.join(_SECTIONS)}; got {unknown[0]!r}", file=sys.stderr)
        return 2
    for name in names or _SECTIONS:
        print(_SECTIONS[name](), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
