"""From the figures of *http* to its report: tables, goals, the comparison with another commit, the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from benchmarks.chart import Chart
from benchmarks.figures import Load, ratios, spread, table
from benchmarks.shapes import (
    GET_SHAPES,
    MIXED,
    MIXED_GOAL,
    PAIRWISE,
    PLAIN,
    POST_SHAPES,
    SPREAD_GOAL,
    USUAL,
)

__all__ = ["BEFORE", "LOGGED", "Measure", "Row", "Turn", "Turns", "chart", "comparison", "rows", "verdicts"]

BEFORE: Final = "before: "
"""How the name of a row of the other checkout begins."""

LOGGED: Final = "plain, graph log to a file"

_USUAL_GOAL: Final = 0.75
_LOGGED_GOAL: Final = 2 / 3
_TAIL_GOAL: Final = 3.0

Measure: TypeAlias = Callable[[int, float], Load]
"""Given connections and seconds, what a load on them for that time found."""


def _always(_: int) -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row of the tables.

    `parties` is how many exchanges make a meeting, 0 for a ceiling. `connections` are the numbers of connections that
    it is measured with, none: all of them for which `fits` returns True. `ceiling` is the name of the row to compare
    it with.
    """

    name: str
    measure: Measure
    pid: int
    parties: float
    connections: tuple[int, ...] = ()
    ceiling: str = PAIRWISE
    fits: Callable[[int], bool] = _always
    is_peer: bool = False


class Turn(NamedTuple):
    """What one row did in one round, how many cores its server used meanwhile, and the rate of its ceiling."""

    load: Load
    server_cores: float
    ceiling_per_s: float

    @property
    def of_ceiling(self) -> float:
        """The rate as a share of that of the ceiling."""
        return self.load.exchanges_per_s / self.ceiling_per_s

    @property
    def server_us(self) -> float:
        """The processor time that the server used for an exchange, in microseconds."""
        return self.server_cores * 1e6 / max(1.0, self.load.exchanges_per_s)


Turns: TypeAlias = dict[Row, list[Turn]]


def rows(turns: Turns) -> list[str]:
    """Return the table of one number of connections."""
    rates = _rates(turns)
    cells = []
    for row, those in turns.items():
        loads = [turn.load for turn in those]
        errors = sum(load.errors for load in loads)
        rate = median(rates[row.name])
        cells.append(
            (
                row.name + (f" ({errors} errors)" if errors else ""),
                f"{rate:,.0f}",
                spread([turn.of_ceiling for turn in those]),
                f"{rate / row.parties:,.0f}" if row.parties else "",
                *(f"{median(getattr(load, each) for load in loads):,.2f}" for each in ("p50_ms", "p99_ms", "p999_ms")),
                f"{median(turn.server_us for turn in those):.0f}",
                f"{median(turn.server_cores for turn in those):.1f}",
                f"{median(load.generator_cores for load in loads):.1f}",
            )
        )
    figures = ("exchanges/s", "of the ceiling", "meetings/s", "p50 ms", "p99 ms", "p99.9 ms")
    return table(("", *figures, "server µs each", "server cores", "load cores"), cells)


def comparison(turns: Turns) -> list[str]:
    """Return the table of our rates and those of the other checkout, and the ratios after : before.

    The ratio of the server's processor time (lower is better) is less disturbed by other work on the machine.
    """
    rates = _rates(turns)
    costs_us = {row.name: [turn.server_us for turn in those] for row, those in turns.items()}
    cells = [
        (
            name,
            f"{median(rates[BEFORE + name]):,.0f}",
            f"{median(those):,.0f}",
            spread(ratios(those, rates[BEFORE + name])),
            spread(ratios(costs_us[name], costs_us[BEFORE + name])),
        )
        for name, those in rates.items()
        if BEFORE + name in rates
    ]
    return table(("exchanges/s", "before", "after", "after : before", "server µs, after : before"), cells)


def verdicts(turns: Turns, *, is_compiled: bool) -> list[str]:
    """Return a line for each goal: what it is, and whether it is reached. A row that was not measured has none."""
    of_name = {row.name: those for row, those in turns.items()}
    rates = _rates(turns)
    lines = []
    shares: dict[str, float] = {}
    for shape in (*GET_SHAPES, *POST_SHAPES):
        if shape.title in rates and shape.goal is not None:
            share = median(turn.of_ceiling for turn in of_name[shape.title])
            if not shape.is_post:
                shares[shape.title] = share
            wanted = shape.goal.of(is_compiled=is_compiled)
            of = "the ceiling for POST" if shape.is_post else "the pairwise ceiling"
            lines.append(_at_least(f"{shape.title}, of {of}", share, wanted))
    slowest, fastest = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    wanted = SPREAD_GOAL.of(is_compiled=is_compiled)
    text = f"slowest GET shape ({slowest}) of the fastest ({fastest})"
    lines.append(_at_least(text, shares[slowest] / shares[fastest], wanted))
    plain = rates[PLAIN.title]
    if MIXED.title in rates:
        share = _share(rates[MIXED.title], plain)
        lines.append(_at_least("mixed, of plain", share, MIXED_GOAL.of(is_compiled=is_compiled)))
    lines.append(_at_least("plain, of fixed answers by coroutines", _share(plain, rates[USUAL]), _USUAL_GOAL))
    if LOGGED in rates:
        share = _share(rates[LOGGED], rates[USUAL])
        lines.append(_at_least("with the graph log to a file, of the same", share, _LOGGED_GOAL))
    tails = [
        ours.load.p99_ms / theirs.load.p99_ms for ours, theirs in zip(of_name[PLAIN.title], of_name[USUAL], strict=True)
    ]
    tail = median(tails)
    lines.append(_verdict(f"plain, p99, of the same: at most {_TAIL_GOAL:g}", tail, is_reached=tail <= _TAIL_GOAL))
    return lines + _against_peers(turns, of_name[PLAIN.title])


def chart(found: dict[int, Turns]) -> Chart:
    """Return the picture: the median latency of what was measured with more than one number of connections."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for connections, turns in found.items():
        for row, those in turns.items():
            if row.name in _DRAWN or row.is_peer:
                lines.setdefault(row.name, []).append((connections, median(turn.load.p50_ms for turn in those)))
    several = {name: points for name, points in lines.items() if len(points) > 1}
    return Chart("Median latency against load", "connections, each asks as soon as it is answered", "ms", several)


_DRAWN: Final = (USUAL, PAIRWISE, PLAIN.title, "labels and a selector", POST_SHAPES[0].title, MIXED.title)


def _rates(turns: Turns) -> dict[str, list[float]]:
    return {row.name: [turn.load.exchanges_per_s for turn in those] for row, those in turns.items()}


def _share(values: list[float], bases: list[float]) -> float:
    return median(ratios(values, bases))


def _against_peers(turns: Turns, ours: list[Turn]) -> list[str]:
    lines = []
    for row, theirs in turns.items():
        if not row.is_peer:
            continue
        pairs = list(zip(ours, theirs, strict=True))
        rate = median(
            (our.load.exchanges_per_s / 2) / (their.load.exchanges_per_s / row.parties) for our, their in pairs
        )
        latency = median(our.load.p50_ms / their.load.p50_ms for our, their in pairs)
        lines.append(f"- plain against {row.name}: {_times(rate)} its meetings/s, {_times(latency)} its median latency")
    return lines


def _at_least(text: str, value: float, wanted: float) -> str:
    return _verdict(f"{text}: at least {wanted:.2f}", value, is_reached=value >= wanted)


def _verdict(text: str, value: float, *, is_reached: bool) -> str:
    return f"- {text}: {value:.2f}, {'reached' if is_reached else '**not reached**'}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:,.0f} times"
