"""Figures and their tables: medians of rounds, ratios within a round, Markdown, and a description of the machine."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

__all__ = ["Load", "machine", "ratios", "spread", "table", "write_section"]

_DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of a load generator found.

    `exchanges_per_s` counts answered requests, or, without HTTP, what one party does to meet another. `generator_cores`
    is how many processor cores the generator kept busy: near 1 the generator was the bottleneck. `errors` counts the
    answers that report an error.
    """

    exchanges_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    generator_cores: float
    errors: int = 0

    @classmethod
    def of(cls, latencies_s: list[float], passed_s: float, generator_cpu_s: float) -> Load:
        """Return the figures for a list of latencies; all are 0 if it is empty."""
        if not latencies_s:
            return cls(0.0, 0.0, 0.0, 0.0, generator_cpu_s / passed_s)
        ordered = sorted(latencies_s)
        p50, p99, p999 = (1e3 * ordered[int(len(ordered) * share)] for share in (0.5, 0.99, 0.999))
        return cls(len(ordered) / passed_s, p50, p99, p999, generator_cpu_s / passed_s)


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Return the ratio of each round's value to the base of the same round."""
    return [value / base for value, base in zip(values, bases, strict=True)]


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return the median with the lowest and the highest value."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, padded so that it is readable in a terminal too."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return lines


def machine(*packages: str) -> str:
    """Return one line on the machine, the versions, the date and the present load. Call it before measuring."""
    names = [f"{name} {version(name)}" for name in packages]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    busy = f"the machine's load before was {os.getloadavg()[0]:.1f}"
    return f"On {os.cpu_count()} cores ({_processor()}), {system}, {', '.join([python, *names])}, on {today}; {busy}."


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else "an unnamed processor"


def write_section(name: str, text: str, document: Path = _DOCUMENT) -> bool:
    """Put `text` between the marks of a section in a document; return whether the document has these marks."""
    begin, end = f"<!-- {name}: begin; written by `make bench` -->", f"<!-- {name}: end -->"
    before, mark, rest = document.read_text().partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        return False
    document.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
    return True
