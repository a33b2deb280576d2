"""Memory returns to where it was when the offers are gone: books, label entries, rosters and caches do not leak.

`SYNCNET_SOAK_OFFERS` says how many offers of ever new events, actors and labels; `make soak` sends a million.
"""

import gc
import os
import tracemalloc

from syncnet.core.commands import Abort, Cause, Command, Expire, Withdraw
from syncnet.core.effects import Refused
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.selectors import _parse_cached
from tests.core.offers import offer

OFFERS = int(os.environ.get("SYNCNET_SOAK_OFFERS", "20000"))
FIRST_OFFERS = min(10_000, OFFERS // 2)
OFFERS_OF_A_NUMBER = 4
WAVE = 100
"""Offers that are pending at once, in one event and in events of their own."""
GROWTH_BYTES_MAX = 200_000
"""Far below what any entry that stays behind for each offer would come to: the smallest dict takes 64 bytes."""


def wave(machine: Machine, first: int) -> None:
    """Let offers of all sorts come that nobody has seen before, half of them with an id of their client's choice.

    They end in every way there is: synced, withdrawn, expired, aborted or refused.
    """
    ids = []
    for number in range(first, first + WAVE):
        labels = {f"key-{number}": f"v{number}", "team": f"t{number % 7}"}
        named = number % 2 == 0
        one = offer(
            f"A{number}",
            f"event-{number}",
            "everyone",
            id=str(number),
            labels=labels,
            named=named,
            **(
                {"expect": [f"B{number}", f"C{number}"]}
                if number % 3 == 0
                else {"selector": f"key-{number + WAVE} in (v1,v{number})", "mates": 2}
            ),
        )
        machine.apply(one)
        ids.append(one.id)
        machine.apply(offer("P", f"pair-{number}", id=f"p{number}", named=named))
        machine.apply(offer("Q", f"pair-{number}", id=f"q{number}", named=named))
        (refused,) = machine.apply(offer(f"R{number}", f"event-{number}", id=one.id, named=named))
        assert isinstance(refused, Refused)
    for number, id in enumerate(ids, first):
        end: Command = (
            Expire(0, "default", id),
            Withdraw(0, "default", id, Cause.WITHDRAWN),
            Abort(0, "default", f"event-{number}", "", "", "", "soak"),
            Abort(0, "default", "", f"A{number}", "", "", "soak"),
        )[number // 2 % 4]
        assert len(machine.apply(end)) == 1


def traced_bytes() -> int:
    _parse_cached.cache_clear()  # bounded by itself, and not the subject
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_memory_comes_back() -> None:
    """After all of them it is where it was after the first ten thousand, within a tenth, and within a few bytes.

    What a machine remembers on purpose fills first, so its bounds are such that they are met by then.
    """
    tracemalloc.start()
    try:
        machine = Machine(Limits(trace_syncs_max=500, outcomes_max=500))
        for first in range(0, FIRST_OFFERS // OFFERS_OF_A_NUMBER, WAVE):
            wave(machine, first)
        before = traced_bytes()
        for first in range(FIRST_OFFERS // OFFERS_OF_A_NUMBER, OFFERS // OFFERS_OF_A_NUMBER, WAVE):
            wave(machine, first)
            assert machine.pending_total == 0
        after = traced_bytes()
    finally:
        tracemalloc.stop()
    assert after < before * 1.1, f"{before} bytes after {FIRST_OFFERS} offers, {after} after {OFFERS}"
    assert after - before < GROWTH_BYTES_MAX, f"{after - before} bytes more after {OFFERS} offers"


def test_a_leak_would_be_seen() -> None:
    """The smallest leak there could be: one short text for each offer."""
    tracemalloc.start()
    try:
        before = traced_bytes()
        leaked = {f"event-{number}": None for number in range(20_000 // 3)}
        grown = traced_bytes() - before
    finally:
        tracemalloc.stop()
    assert len(leaked) > 0
    assert grown > GROWTH_BYTES_MAX


def test_many_that_wait_at_once_and_go_leave_nothing() -> None:
    machine = Machine(Limits(trace_syncs_max=10))  # a trace may be long; it must not be longer
    machine.apply(offer("P", "pair"))
    machine.apply(offer("Q", "pair"))  # so that the namespace is remembered, and its tables with it
    tracemalloc.start()
    try:
        before = traced_bytes()
        for number in range(20_000):
            machine.apply(offer("A", f"event-{number}", "all", id=str(number)))
        full = traced_bytes() - before
        for number in range(20_000):
            machine.apply(Withdraw(0, "default", str(number), Cause.WITHDRAWN))
        left = traced_bytes() - before
    finally:
        tracemalloc.stop()
    assert full > 100 * GROWTH_BYTES_MAX / 20
    assert left < GROWTH_BYTES_MAX, f"{left} of {full} bytes left"
