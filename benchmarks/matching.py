"""What one arrival costs in the core while very many offers are pending: apply() alone, no log, no HTTP, no futures.

Each case is one reason why pending offers do not sync. An arrival that does not sync and one that does are timed with
10, 1,000, 10,000 and 100,000 pending offers. Restoring their number is not timed. Every round measures all sizes one
after the other. The ratio of the largest to the smallest is taken within its round; the medians are printed. Of one
event, up to 16 pending offers are scanned and more are indexed, so the smallest size of most cases is a scan.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.chart import Chart
from benchmarks.figures import machine, table
from syncnet.core.commands import Cause, Command, Offer, Withdraw
from syncnet.core.effects import SearchExhausted, Synced
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.selectors import parse_selector
from syncnet.core.validation import make_offer

_PENDING: Final = (10, 1_000, 10_000, 100_000)
_PARTIES: Final = (10, 100, 1_000, 10_000)
_ROUNDS: Final = 9
_ARRIVALS: Final = 200
_BARRIER_PARTIES_TIMED: Final = 10_000
_PICTURE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-matching.svg"

_ids: Final[Iterator[int]] = count()


def _offer(actor: str, event: str = "coin", **given: Any) -> Offer:
    if "selector" in given:
        given["selector"] = parse_selector(given["selector"])
    return make_offer(at_ns=0, id=f"{next(_ids)}", events=(event,), actor=actor, **given)


@dataclass(frozen=True)
class _Case:
    """One case. Offers differ by a number; the mate of a pending offer syncs with that one and no other."""

    name: str
    pending_offer: Callable[[int], Offer]
    mate: Callable[[int], Offer]
    stranger: Callable[[int], Offer]


_CASES: Final = (
    _Case(
        "(a) other events",
        pending_offer=lambda n: _offer("W", f"event-{n}"),
        mate=lambda n: _offer("M", f"event-{n}"),
        stranger=lambda n: _offer("S", f"absent-{n}"),
    ),
    _Case(
        "(b) selectors `actor=X` aimed at others",
        pending_offer=lambda n: _offer("W", selector=f"actor=X{n}"),
        mate=lambda n: _offer(f"X{n}"),
        stranger=lambda n: _offer(f"S{n}", selector="actor=ABSENT"),
    ),
    _Case(
        "(c) one actor, default selectors",
        pending_offer=lambda _: _offer("W"),
        mate=lambda n: _offer(f"M{n}"),
        stranger=lambda _: _offer("W"),
    ),
    _Case(
        "(d) `k in (…)` and `k!=v` mixed",
        pending_offer=lambda n: _offer(
            f"W{n % 5000}",
            labels={"side": "left", "room": f"r{n}"},
            selector=("", f"room in (r{n},r{n}-spare),")[n % 2] + f"actor!=W{n % 5000},side!=left,tier notin (none)",
        ),
        mate=lambda n: _offer("M", labels={"side": "right", "room": f"r{n}"}, selector=f"room in (r{n}),side!=right"),
        stranger=lambda n: _offer(f"S{n}", labels={"side": "left"}, selector="side!=right,tier notin (none)"),
    ),
    _Case(
        "(e) rosters of three",
        pending_offer=lambda n: _offer(f"A{n}", expect=[f"B{n}", "REFEREE"]),
        mate=lambda n: _offer("REFEREE", expect=[f"A{n}", f"B{n}"]),
        stranger=lambda n: _offer("REFEREE", expect=[f"A{n}", f"C{n}"]),
    ),
)


def report() -> str:
    """Return the measured costs as two Markdown tables; draw the picture of the first."""
    return "\n".join(["## Matching", "", machine(), "", *_arrivals(), "", *_barriers(), ""])


def _timed_us(machine: Machine, command: Command) -> tuple[float, bool]:
    start = time.perf_counter()
    effects = machine.apply(command)
    us = (time.perf_counter() - start) * 1e6
    assert not any(isinstance(effect, SearchExhausted) for effect in effects)
    return us, any(isinstance(effect, Synced) for effect in effects)


def _arrivals() -> list[str]:
    found: dict[str, list[list[float]]] = {}
    for case in _CASES:
        found[f"{case.name}, not synced"], found[f"{case.name}, synced"] = _case_us(case)
    _PICTURE.write_text(_chart(found).svg())
    head = ("µs for one arrival, with so many pending", *(f"{n:,}" for n in _PENDING), "100,000 : 10")
    return table(head, [_row(name, rounds_us) for name, rounds_us in found.items()])


def _row(name: str, rounds_us: list[list[float]]) -> tuple[str, ...]:
    """Return a row: the median over the rounds for each size, and the median ratio of the largest to the smallest."""
    medians = [f"{median(us):.1f}" for us in zip(*rounds_us, strict=True)]
    return (name, *medians, f"{median(us[-1] / us[0] for us in rounds_us):.2f}")


def _chart(found: dict[str, list[list[float]]]) -> Chart:
    lines = {
        name.removesuffix(", synced"): [
            (float(pending), median(us)) for pending, us in zip(_PENDING, zip(*rounds_us, strict=True), strict=True)
        ]
        for name, rounds_us in found.items()
        if not name.endswith("not synced")
    }
    return Chart("Cost of an arrival that syncs", "pending offers", "µs", lines)


def _case_us(case: _Case) -> tuple[list[list[float]], list[list[float]]]:
    """Return the costs, for each round and size, of an arrival that does not sync and of one that does."""
    machines = []
    for pending in _PENDING:
        machines.append(
            Machine(Limits(pending_offers_max=10**9, pending_per_namespace_max=10**9, pending_bytes_max=10**12))
        )
        for number in range(pending):
            machines[-1].apply(case.pending_offer(number))
    gc.collect()
    gc.freeze()
    not_synced, synced = [], []
    for round_number in range(_ROUNDS):
        sized = list(zip(machines, _PENDING, strict=True))
        not_synced.append([_round_us(each, partial(_one_stranger, each, case), n, round_number) for each, n in sized])
        synced.append([_round_us(each, partial(_one_mate, each, case), n, round_number) for each, n in sized])
    gc.unfreeze()
    return not_synced, synced


def _round_us(machine: Machine, one: Callable[[int], float], pending: int, round_number: int) -> float:
    step = 7919  # a prime, to visit them out of order
    numbers = [(round_number * _ARRIVALS + each) * step % pending for each in range(_ARRIVALS)]
    assert machine.pending_total == pending
    return sum(map(one, numbers)) / len(numbers)


def _one_stranger(machine: Machine, case: _Case, number: int) -> float:
    stranger = case.stranger(number)
    us, synced = _timed_us(machine, stranger)
    assert not synced
    machine.apply(Withdraw(0, stranger.namespace, stranger.id, Cause.WITHDRAWN))
    return us


def _one_mate(machine: Machine, case: _Case, number: int) -> float:
    pending = case.pending_offer(number)
    if pending.roster:  # the second of three members; the mate is the third
        machine.apply(_offer(f"B{number}", expect=pending.roster))
    us, synced = _timed_us(machine, case.mate(number))
    assert synced
    machine.apply(pending)
    return us


def _barriers() -> list[str]:
    head = ("barrier of so many parties, default selectors", *(f"{n:,}" for n in _PARTIES), "10,000 : 10")
    rounds_us = [[_barrier_us(parties) for parties in _PARTIES] for _ in range(_ROUNDS)]
    return table(head, [_row("µs per party", rounds_us)])


def _barrier_us(parties: int) -> float:
    """Return the cost per party of barriers of so many parties, one after the other."""
    machine = Machine()
    total_us = 0.0
    barriers = _BARRIER_PARTIES_TIMED // parties
    gc.collect()
    for _ in range(barriers):
        offers = [_offer(f"P{number}", mates=parties - 1) for number in range(parties)]
        start = time.perf_counter()
        for each in offers:
            effects = machine.apply(each)
        total_us += (time.perf_counter() - start) * 1e6
        assert isinstance(effects[-1], Synced)
        assert machine.pending_total == 0
    return total_us / barriers / parties
