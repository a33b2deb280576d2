"""What `syncnet bench` found, as figures, a table for people and a document for programs.

Pure: it knows neither clocks nor connections. Times come in as seconds and go out as milliseconds. Memory does not
grow with the number of times: they are counted in buckets no wider than a 128th of what is in them. Percentiles are the
upper edge of their bucket, so that none is told better than it was; the longest time is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Figures", "Latencies"]

_BUCKET_BITS: Final = 7
_PERCENTILES: Final = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
_BUSY_CORES: Final = 0.9
"""From how many cores on the load generator, which has one thread, has probably measured itself."""


class Latencies:
    """Times, counted in buckets of microseconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._max_s = 0.0
        self.total = 0

    def note(self, latency_s: float) -> None:
        """Count one time; one below zero counts as zero."""
        microseconds = max(0, int(latency_s * 1e6))
        shift = max(0, microseconds.bit_length() - _BUCKET_BITS - 1)
        self._counts[(shift << (_BUCKET_BITS + 1)) + (microseconds >> shift)] += 1
        self._max_s = max(self._max_s, latency_s)
        self.total += 1

    def at_s(self, share: float) -> float:
        """Return the time within which `share` (above 0, up to 1) of them were; 0 where there are none."""
        wanted, seen = share * self.total, 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                shift, steps = bucket >> (_BUCKET_BITS + 1), bucket & ((2 << _BUCKET_BITS) - 1)
                return min(self._max_s, ((steps + 1) << shift) * 1e-6)
        return 0.0

    def document(self) -> dict[str, float]:
        """Return the count, and percentiles and the longest in milliseconds."""
        figures = {name.replace(".", ""): round(1e3 * self.at_s(share), 3) for share, name in _PERCENTILES}
        return {"count": self.total, **figures, "max": round(1e3 * self._max_s, 3)}


@dataclass(slots=True)
class Figures:
    """All that one run found.

    An exchange is one offer and the answer to it; it takes `mates + 1` of them to make a sync. `passed_s` is from the
    first that was asked for to the end of the run's time, or to the last answer where that was later. `errors` counts
    exchanges that did not end in a sync, by kind, and `first_errors` has the first message of each. `not_asked` were
    due by the rate and never asked for, `withdrawn` were taken back because the run was interrupted. `cores` is how
    many processor cores the load generator itself kept busy.
    """

    mates: int
    connections: int
    rate: float | None
    asking: Latencies = field(default_factory=Latencies)
    last_arrival: Latencies = field(default_factory=Latencies)
    syncs: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_errors: dict[str, str] = field(default_factory=dict)
    not_asked: int = 0
    withdrawn: int = 0
    passed_s: float = 0.0
    cores: float = 0.0
    is_interrupted: bool = False

    def note_error(self, kind: str, message: str) -> None:
        """Count an exchange that did not end in a sync."""
        self.errors[kind] += 1
        self.first_errors.setdefault(kind, message)

    def document(self) -> dict[str, Any]:
        """Return it for programs; docs/command-line.md lists the names."""
        return {
            "mates": self.mates,
            "connections": self.connections,
            "rate": self.rate,
            "duration_s": round(self.passed_s, 3),
            "is_interrupted": self.is_interrupted,
            "syncs": self.syncs,
            "syncs_per_s": round(self._per_s(self.syncs), 1),
            "exchanges": self.asking.total,
            "exchanges_per_s": round(self._per_s(self.asking.total), 1),
            "latency_ms": {
                "asking_to_answer": self.asking.document(),
                "last_arrival_to_answer": self.last_arrival.document(),
            },
            "errors": {
                kind: {"count": count, "first": self.first_errors[kind]} for kind, count in self.errors.most_common()
            },
            "not_asked": self.not_asked,
            "withdrawn": self.withdrawn,
            "generator_cores": round(self.cores, 2),
        }

    def text(self) -> str:
        """Return it for people, with a line end after each line."""
        rate = "as fast as it goes" if self.rate is None else f"{self.rate:,g} exchanges/s wanted"
        load = f"{_many(self.mates, 'mate')}, {_many(self.connections, 'connection')}"
        ended = ", interrupted" if self.is_interrupted else ""
        lines = [
            f"{load}, {rate}, {self.passed_s:.1f} s{ended}",
            f"{self.syncs:,} syncs, {self._per_s(self.syncs):,.1f}/s; "
            f"{self.asking.total:,} exchanges, {self._per_s(self.asking.total):,.1f}/s",
            "",
        ]
        names = [name for _, name in _PERCENTILES]
        lines += _aligned(
            [
                ["ms", *names, "max", "count"],
                ["from asking to the answer", *_cells(self.asking)],
                ["from the last arrival to its answer", *_cells(self.last_arrival)],
            ]
        )
        lines += ["", *self._trouble()]
        return "".join(f"{line}\n" for line in lines)

    def _per_s(self, number: int) -> float:
        return number / self.passed_s if self.passed_s else 0.0

    def _trouble(self) -> list[str]:
        """Return the lines that say what did not go as it should."""
        lines = [f"errors: {sum(self.errors.values()):,}" if self.errors else "errors: none"]
        width = max(map(len, self.errors), default=0)
        for kind, count in self.errors.most_common():
            lines.append(f"  {kind.ljust(width)}  {count:,}  first: {self.first_errors[kind]}")
        if self.withdrawn:
            lines.append(f"taken back at the end: {self.withdrawn:,} offers")
        if self.not_asked:
            lines.append(f"the rate was not held: {self.not_asked:,} exchanges were due and never asked for")
        if self.cores >= _BUSY_CORES:
            lines.append(f"the load generator was busy for {self.cores:.0%} of a core: it may be what was measured")
        return lines


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _cells(latencies: Latencies) -> list[str]:
    found = latencies.document()
    if not latencies.total:
        return ["-"] * (len(found) - 1) + ["0"]
    count = found.pop("count")
    return [*(f"{value:,.2f}" for value in found.values()), f"{count:,}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
