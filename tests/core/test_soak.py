"""Memory is freed when offers have ended: indexes, label entries, rosters and caches do not leak.

`SYNCNET_SOAK_OFFERS` is the number of offers, each with new events, actors and labels; `make soak` makes a million.
"""

import gc
import os
import tracemalloc

from syncnet.core.commands import Abort, Cause, Command, Expire, Withdraw
from syncnet.core.effects import Refused
from syncnet.core.limits import DEPARTURES_MAX, Limits
from syncnet.core.machine import Machine
from syncnet.core.selectors import _parse_cached
from tests.core.offers import offer

OFFERS = int(os.environ.get("SYNCNET_SOAK_OFFERS", "20000"))
FIRST_OFFERS = min(10_000, OFFERS // 2)
OFFERS_PER_NUMBER = 4
WAVE = 100
"""Offers that are pending at once, under one common event and under events of their own."""
GROWTH_BYTES_MAX = 200_000
"""Far below the size of a leak of one entry for each offer: the smallest dict takes 64 bytes."""


def wave(machine: Machine, first: int) -> None:
    """Make new offers of all kinds, half of them with an id that the client chose, and end them in every way.

    The offers are synced, withdrawn, expired, aborted or refused.
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
    _parse_cached.cache_clear()  # this cache has a limit and is not under test
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_ended_offers_take_no_memory() -> None:
    """After all offers the memory is the same as after the first ten thousand, within a tenth and 200 kB.

    The trace and the outcomes are kept on purpose; their limits are set so that they are reached by then.
    """
    tracemalloc.start()
    try:
        machine = Machine(Limits(trace_syncs_max=500, outcomes_max=500))
        for first in range(0, FIRST_OFFERS // OFFERS_PER_NUMBER, WAVE):
            wave(machine, first)
        before = traced_bytes()
        for first in range(FIRST_OFFERS // OFFERS_PER_NUMBER, OFFERS // OFFERS_PER_NUMBER, WAVE):
            wave(machine, first)
            assert machine.pending_total == 0
        after = traced_bytes()
    finally:
        tracemalloc.stop()
    assert after < before * 1.1, f"{before} bytes after {FIRST_OFFERS} offers, {after} after {OFFERS}"
    assert after - before < GROWTH_BYTES_MAX, f"{after - before} bytes more after {OFFERS} offers"


def test_the_smallest_leak_is_detected() -> None:
    """The smallest possible leak is one short string for each offer."""
    tracemalloc.start()
    try:
        before = traced_bytes()
        leaked = {f"event-{number}": None for number in range(20_000 // 3)}
        grown = traced_bytes() - before
    finally:
        tracemalloc.stop()
    assert len(leaked) > 0
    assert grown > GROWTH_BYTES_MAX


def test_memory_of_many_pending_offers_is_freed_when_they_are_withdrawn() -> None:
    machine = Machine(Limits(trace_syncs_max=10))
    machine.apply(offer("P", "pair"))
    machine.apply(offer("Q", "pair"))  # a sync, so that the namespace and its tables are kept
    tracemalloc.start()
    try:
        for number in range(DEPARTURES_MAX):  # who left is remembered on purpose, so many times
            machine.apply(offer("A", f"event-{number}", "all", id=str(number)))
            machine.apply(Withdraw(0, "default", str(number), Cause.WITHDRAWN))
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
