"""The results of `syncnet bench`: figures, a table for people and a document for programs.

Pure: no clock and no connection. Times come in as seconds and are reported in milliseconds. Memory does not grow with
the number of times: a histogram counts them in buckets no wider than 1/128 of their values. A percentile is the upper
edge of its bucket, so that none is reported lower than it was; the longest time is exact.
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
"""How busy the load generator, which has one thread, must be to be the likely bottleneck."""


class Latencies:
    """A histogram of times, in buckets of microseconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._max_s = 0.0
        self.total: int = 0

    def note(self, latency_s: float) -> None:
        """Count one time; one below zero counts as zero."""
        microseconds = max(0, int(latency_s * 1e6))
        shift = max(0, microseconds.bit_length() - _BUCKET_BITS - 1)
        self._counts[(shift << (_BUCKET_BITS + 1)) + (microseconds >> shift)] += 1
        self._max_s = max(self._max_s, latency_s)
        self.total += 1

    def at_s(self, share: float) -> float:
        """Return the percentile for `share` (above 0, up to 1); 0 if there are no times."""
        wanted, seen = share * self.total, 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                shift, steps = bucket >> (_BUCKET_BITS + 1), bucket & ((2 << _BUCKET_BITS) - 1)
                return min(self._max_s, ((steps + 1) << shift) * 1e-6)
        return 0.0

    def document(self) -> dict[str, float]:
        """Return the count, and in milliseconds the percentiles and the longest time."""
        figures = {name.replace(".", ""): round(1e3 * self.at_s(share), 3) for share, name in _PERCENTILES}
        return {"count": self.total, **figures, "max": round(1e3 * self._max_s, 3)}


@dataclass(slots=True)
class Figures:
    """The results of one run.

    An exchange is one offer and its response; a sync needs `mates + 1` of them. `passed_s` counts from the first
    request to the end of the run's time, or to the last response if that was later. `errors` counts the exchanges that
    did not end in a sync, by kind, and `first_errors` has the first message of each kind. `not_sent` exchanges were due
    by the rate and were never sent. `withdrawn` offers were withdrawn because the run was interrupted. `cores` is how
    many processor cores the load generator used.
    """

    mates: int
    connections: int
    rate: float | None
    response: Latencies = field(default_factory=Latencies)
    last_arrival: Latencies = field(default_factory=Latencies)
    syncs: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_errors: dict[str, str] = field(default_factory=dict)
    not_sent: int = 0
    withdrawn: int = 0
    passed_s: float = 0.0
    cores: float = 0.0
    is_interrupted: bool = False

    def note_error(self, kind: str, message: str) -> None:
        """Count an exchange that did not end in a sync."""
        self.errors[kind] += 1
        self.first_errors.setdefault(kind, message)

    def document(self) -> dict[str, Any]:
        """Return the results for programs; docs/command-line.md lists the names."""
        return {
            "mates": self.mates,
            "connections": self.connections,
            "rate": self.rate,
            "duration_s": round(self.passed_s, 3),
            "is_interrupted": self.is_interrupted,
            "syncs": self.syncs,
            "syncs_per_s": round(self._per_s(self.syncs), 1),
            "exchanges": self.response.total,
            "exchanges_per_s": round(self._per_s(self.response.total), 1),
            "latency_ms": {
                "request_to_response": self.response.document(),
                "last_arrival_to_response": self.last_arrival.document(),
            },
            "errors": {
                kind: {"count": count, "first": self.first_errors[kind]} for kind, count in self.errors.most_common()
            },
            "not_sent": self.not_sent,
            "withdrawn": self.withdrawn,
            "generator_cores": round(self.cores, 2),
        }

    def text(self) -> str:
        """Return the results for people, with a newline at the end of each line."""
        rate = "as fast as possible" if self.rate is None else f"{self.rate:,g} exchanges/s wanted"
        load = f"{_counted(self.mates, 'mate')}, {_counted(self.connections, 'connection')}"
        ended = ", interrupted" if self.is_interrupted else ""
        lines = [
            f"{load}, {rate}, {self.passed_s:.1f} s{ended}",
            f"{self.syncs:,} syncs, {self._per_s(self.syncs):,.1f}/s; "
            f"{self.response.total:,} exchanges, {self._per_s(self.response.total):,.1f}/s",
            "",
        ]
        names = [name for _, name in _PERCENTILES]
        lines += _aligned(
            [
                ["ms", *names, "max", "count"],
                ["from request to response", *_cells(self.response)],
                ["from last arrival to response", *_cells(self.last_arrival)],
            ]
        )
        lines += ["", *self._failures()]
        return "".join(f"{line}\n" for line in lines)

    def _per_s(self, number: int) -> float:
        return number / self.passed_s if self.passed_s else 0.0

    def _failures(self) -> list[str]:
        """Return the lines about errors and other problems of the run."""
        lines = [f"errors: {sum(self.errors.values()):,}" if self.errors else "errors: none"]
        width = max(map(len, self.errors), default=0)
        for kind, count in self.errors.most_common():
            lines.append(f"  {kind.ljust(width)}  {count:,}  first: {self.first_errors[kind]}")
        if self.withdrawn:
            lines.append(f"withdrawn at the end: {self.withdrawn:,} offers")
        if self.not_sent:
            lines.append(f"the rate was not reached: {self.not_sent:,} exchanges were due and never sent")
        if self.cores >= _BUSY_CORES:
            lines.append(f"the load generator used {self.cores:.0%} of a core: it may be the bottleneck")
        return lines


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _cells(latencies: Latencies) -> list[str]:
    found = latencies.document()
    if not latencies.total:
        return ["-"] * (len(found) - 1) + ["0"]
    count = found.pop("count")
    return [*(f"{value:,.2f}" for value in found.values()), f"{count:,}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column aligned to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
