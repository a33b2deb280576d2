"""What one arrival costs in the core while very many offers wait: apply() alone, no log, no HTTP, no futures.

For each way in which offers may wait without syncing, an arrival that does not sync and one that does are timed with
10, 1,000, 10,000 and 100,000 pending. What is put back to keep their number is not timed. Quoted are the medians of
several rounds, and the ratio of the cost with many pending to that with 10, from the same run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any, Final

from syncnet.core.commands import Cause, Command, Offer, Withdraw, make_offer
from syncnet.core.effects import Missed, Synced
from syncnet.core.machine import Machine
from syncnet.core.selectors import parse_selector

_PENDING: Final = (10, 1_000, 10_000, 100_000)
_PARTIES: Final = (10, 100, 1_000, 10_000)
_ROUNDS: Final = 5
_ARRIVALS: Final = 200
_BARRIER_PARTIES_TIMED: Final = 10_000

_ids: Final[Iterator[int]] = count()


def _offer(actor: str, event: str = "coin", **given: Any) -> Offer:
    if "selector" in given:
        given["selector"] = parse_selector(given["selector"])
    return make_offer(at_ns=0, id=f"{next(_ids)}", events=(event,), actor=actor, **given)


@dataclass(frozen=True)
class _Case:
    """One way to wait. `number` tells offers apart; the mate of a waiting offer syncs with that one, and no other."""

    name: str
    waiting: Callable[[int], Offer]
    mate: Callable[[int], Offer]
    stranger: Callable[[int], Offer]


_CASES: Final = (
    _Case(
        "(a) other events",
        waiting=lambda n: _offer("W", f"event-{n}"),
        mate=lambda n: _offer("M", f"event-{n}"),
        stranger=lambda n: _offer("S", f"nobody-{n}"),
    ),
    _Case(
        "(b) selectors `actor=X` aimed at others",
        waiting=lambda n: _offer("W", selector=f"actor=X{n}"),
        mate=lambda n: _offer(f"X{n}"),
        stranger=lambda n: _offer(f"S{n}", selector="actor=NOBODY"),
    ),
    _Case(
        "(c) one actor, default selectors",
        waiting=lambda _: _offer("W"),
        mate=lambda n: _offer(f"M{n}"),
        stranger=lambda _: _offer("W"),
    ),
    _Case(
        "(d) `k in (…)` and `k!=v` mixed",
        waiting=lambda n: _offer(
            f"W{n % 5000}",
            labels={"side": "left", "room": f"r{n}"},
            selector=f"side!=left,room in (r{n},r{n}-spare),tier notin (t{n % 7},none)",
        ),
        mate=lambda n: _offer("M", labels={"side": "right", "room": f"r{n}"}, selector=f"room in (r{n}),side!=right"),
        stranger=lambda n: _offer(f"S{n}", labels={"side": "left"}, selector="side!=right,tier notin (none)"),
    ),
    _Case(
        "(e) rosters of three",
        waiting=lambda n: _offer(f"A{n}", expect=[f"B{n}", "REFEREE"]),
        mate=lambda n: _offer("REFEREE", expect=[f"A{n}", f"B{n}"]),
        stranger=lambda n: _offer("REFEREE", expect=[f"A{n}", f"C{n}"]),
    ),
)


def report() -> str:
    """Return the measured costs as two tables in Markdown."""
    return "\n".join(["## matching", "", *_arrivals(), "", *_barriers(), ""])


def _timed_us(machine: Machine, command: Command) -> tuple[float, bool]:
    start = time.perf_counter()
    effects = machine.apply(command)
    us = (time.perf_counter() - start) * 1e6
    assert not any(isinstance(effect, Missed) for effect in effects)
    return us, any(isinstance(effect, Synced) for effect in effects)


def _arrivals() -> list[str]:
    lines = [
        "| µs for one arrival, with so many pending | " + " | ".join(f"{n:,}" for n in _PENDING) + " | 100,000 : 10 |",
        "| --- |" + " --- |" * (len(_PENDING) + 1),
    ]
    for case in _CASES:
        costs = [_case_us(case, pending) for pending in _PENDING]
        for kind, which in (("not synced", 0), ("synced", 1)):
            row = [cost[which] for cost in costs]
            shown = " | ".join(f"{us:.1f}" for us in row)
            lines.append(f"| {case.name}, {kind} | {shown} | {row[-1] / row[0]:.2f} |")
    return lines


def _case_us(case: _Case, pending: int) -> tuple[float, float]:
    """Return the medians over the rounds of the cost of an arrival that does not sync, and of one that does."""
    machine = Machine(pending_offers_max=10**9)
    # For rosters the third one is there already, for the pairs that will be completed.
    for number in range(pending):
        machine.apply(case.waiting(number))
    gc.collect()
    gc.freeze()
    lonely, together = [], []
    for round_number in range(_ROUNDS):
        lonely.append(_round_us(machine, lambda n: _one_stranger(machine, case, n), pending, round_number))
        together.append(_round_us(machine, lambda n: _one_mate(machine, case, n), pending, round_number))
    gc.unfreeze()
    return median(lonely), median(together)


def _round_us(machine: Machine, one: Callable[[int], float], pending: int, round_number: int) -> float:
    step = 7919  # a prime, to take them in no order
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
    waiting = case.waiting(number)
    if waiting.roster:  # the second of three; the mate is the third
        machine.apply(_offer(f"B{number}", expect=waiting.roster))
    us, synced = _timed_us(machine, case.mate(number))
    assert synced
    machine.apply(waiting)
    return us


def _barriers() -> list[str]:
    lines = [
        "| barrier of so many parties, default selectors | "
        + " | ".join(f"{n:,}" for n in _PARTIES)
        + " | 10,000 : 10 |",
        "| --- |" + " --- |" * (len(_PARTIES) + 1),
    ]
    costs = [median(_barrier_us(parties) for _ in range(_ROUNDS)) for parties in _PARTIES]
    lines.append("| µs per party | " + " | ".join(f"{us:.1f}" for us in costs) + f" | {costs[-1] / costs[0]:.2f} |")
    return lines


def _barrier_us(parties: int) -> float:
    """Return the cost per party of barriers one after the other, of so many parties each."""
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
