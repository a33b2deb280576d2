"""The timer wheel: never early, at most a slot late, and nothing is left of a timer that was removed."""

import logging
import os
import random
import threading
import time
import tracemalloc

import pytest

from syncnet.coordinator.timers import Timers
from tests.coordinator.fakes import SECOND_NS, SLOT_NS
from tests.end_to_end.running import until

SEED = int(os.environ.get("SYNCNET_SEED", "20261124"))
HOUR_NS = 3_600 * SECOND_NS


class Wheel:
    """Timers without a thread, and their clock. Each fires its name, which is noted with the time."""

    def __init__(self) -> None:
        self.now_ns = 12_345
        self.fired: list[tuple[str, int]] = []
        self.timers = Timers(threading.RLock(), self.fire, lambda: self.now_ns, threaded=False)

    def fire(self, name: str) -> None:
        self.fired.append((name, self.now_ns))

    def add(self, delay_ns: int, name: str) -> int:
        return self.timers.add(delay_ns, ("default", name), name)

    def remove(self, tick: int, name: str) -> None:
        self.timers.remove(tick, ("default", name))

    def names(self) -> list[str]:
        return [name for name, _ in self.fired]


@pytest.fixture
def wheel() -> Wheel:
    return Wheel()


def test_a_timer_fires_once_never_early_and_at_most_a_slot_late() -> None:
    print(f"SYNCNET_SEED={SEED}")
    chance = random.Random(SEED)
    wheel = Wheel()
    due: dict[str, int] = {}
    fired: dict[str, int] = {}
    for number in range(2_000):
        delay_ns = chance.choice([0, 1, SLOT_NS, chance.randrange(SLOT_NS), chance.randrange(SECOND_NS)])
        wheel.add(delay_ns, str(number))
        due[str(number)] = wheel.now_ns + delay_ns
        left_ns = wheel.timers.fire_due()
        assert left_ns > 0
        wheel.now_ns += chance.choice([0, 1, left_ns - 1, left_ns, chance.randrange(left_ns + 1)])
        wheel.timers.fire_due()
    while (left_ns := wheel.timers.fire_due()) != -1:
        wheel.now_ns += left_ns
    for name, at_ns in wheel.fired:
        assert name not in fired
        fired[name] = at_ns
        assert due[name] < at_ns <= due[name] + SLOT_NS, name
    assert fired.keys() == due.keys()


def test_a_delay_that_is_over_fires_with_the_next_slot(wheel: Wheel) -> None:
    wheel.add(-HOUR_NS, "late")
    left_ns = wheel.timers.fire_due()
    assert 0 < left_ns <= SLOT_NS
    wheel.now_ns += left_ns - 1
    assert wheel.timers.fire_due() == 1
    wheel.now_ns += 1
    assert wheel.timers.fire_due() == -1
    assert wheel.names() == ["late"]


def test_slots_fire_in_order_whatever_the_order_of_adding(wheel: Wheel) -> None:
    for seconds in (3, 1, 2):
        wheel.add(seconds * SECOND_NS, str(seconds))
    wheel.now_ns += HOUR_NS
    assert wheel.timers.fire_due() == -1
    assert wheel.names() == ["1", "2", "3"]


def test_a_removed_timer_does_not_fire_and_its_empty_slot_is_skipped(wheel: Wheel) -> None:
    tick = wheel.add(SECOND_NS, "removed")
    wheel.add(2 * SECOND_NS, "kept")
    wheel.remove(tick, "removed")
    assert SECOND_NS < wheel.timers.fire_due() <= 2 * SECOND_NS + SLOT_NS, "it waits for no empty slot"
    wheel.now_ns += 3 * SECOND_NS
    assert wheel.timers.fire_due() == -1
    assert wheel.names() == ["kept"]


def test_removing_one_of_a_slot_leaves_the_others(wheel: Wheel) -> None:
    ticks = {wheel.add(SECOND_NS, name) for name in ("a", "b", "c")}
    (tick,) = ticks
    wheel.remove(tick, "b")
    wheel.remove(tick, "no such timer")
    wheel.now_ns += 2 * SECOND_NS
    wheel.timers.fire_due()
    assert wheel.names() == ["a", "c"]
    wheel.remove(tick, "a")  # it has fired: nothing happens


def test_a_slot_that_was_emptied_can_be_used_again(wheel: Wheel) -> None:
    for turn in range(3):
        wheel.remove(wheel.add(SECOND_NS, f"removed-{turn}"), f"removed-{turn}")
    wheel.add(SECOND_NS, "kept")
    wheel.now_ns += 2 * SECOND_NS
    assert wheel.timers.fire_due() == -1
    assert wheel.names() == ["kept"]


@pytest.mark.parametrize("step_ns", [0, SLOT_NS], ids=["in one slot", "each in a slot of its own"])
def test_timers_that_were_removed_take_no_memory(wheel: Wheel, step_ns: int) -> None:
    """Most offers end long before their timeout: of a hundred thousand with an hour to go nothing is left."""
    wheel.add(2 * HOUR_NS, "kept")

    def add_and_remove(timers: int) -> None:
        for _ in range(timers):
            wheel.remove(wheel.add(HOUR_NS, "x"), "x")
            wheel.now_ns += step_ns

    add_and_remove(5_000)
    tracemalloc.start()
    try:
        add_and_remove(100_000)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 200_000
    wheel.now_ns += 3 * HOUR_NS
    assert wheel.timers.fire_due() == -1
    assert wheel.names() == ["kept"]


def test_a_model_of_plain_lists_fires_the_same() -> None:
    """Timers are added and removed at random, enough of them that emptied slots are forgotten again and again."""
    print(f"SYNCNET_SEED={SEED}")
    chance = random.Random(SEED)
    wheel = Wheel()
    live: dict[str, int] = {}
    expected: set[str] = set()
    for number in range(20_000):
        name = str(number)
        live[name] = wheel.add(chance.randrange(10 * SECOND_NS), name)
        while len(live) > 20:
            gone = chance.choice(list(live))
            wheel.remove(live.pop(gone), gone)
        wheel.now_ns += chance.randrange(2 * SLOT_NS)
        expected |= {each for each, tick in live.items() if tick * SLOT_NS <= wheel.now_ns}
        live = {each: tick for each, tick in live.items() if tick * SLOT_NS > wheel.now_ns}
        left_ns = wheel.timers.fire_due()
        assert left_ns == (min(live.values()) * SLOT_NS - wheel.now_ns if live else -1)
    assert sorted(wheel.names()) == sorted(expected)


def test_cleared_timers_do_not_fire(wheel: Wheel) -> None:
    wheel.add(SECOND_NS, "a")
    wheel.timers.clear()
    wheel.now_ns += HOUR_NS
    assert wheel.timers.fire_due() == -1
    assert wheel.fired == []


def test_a_callback_may_add_and_remove_timers() -> None:
    now_ns = 0
    fired: list[str] = []

    def fire(name: str) -> None:
        fired.append(name)
        if name == "first":
            timers.remove(second, ("default", "second"))
            timers.add(0, ("default", "third"), "third")

    timers = Timers(threading.RLock(), fire, lambda: now_ns, threaded=False)
    timers.add(0, ("default", "first"), "first")
    second = timers.add(SECOND_NS, ("default", "second"), "second")
    now_ns = HOUR_NS
    assert timers.fire_due() > 0
    now_ns += SECOND_NS
    assert timers.fire_due() == -1
    assert fired == ["first", "third"]


def test_a_failing_callback_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    now_ns = 0
    fired: list[str] = []

    def fire(name: str) -> None:
        if name == "bad":
            raise ValueError("a bug in a callback")
        fired.append(name)

    timers = Timers(threading.RLock(), fire, lambda: now_ns, threaded=False)
    for name in ("a", "bad", "b"):
        timers.add(0, ("default", name), name)
    timers.add(SECOND_NS, ("default", "later"), "later")
    now_ns = HOUR_NS
    with caplog.at_level(logging.ERROR, "syncnet"):
        assert timers.fire_due() == -1
    assert fired == ["a", "b", "later"]
    assert "a bug: a timer could not be handled" in caplog.text
    assert "a bug in a callback" in caplog.text


# --- the thread --------------------------------------------------------------------------------------------


def timer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "syncnet-timers"]


def test_the_thread_starts_with_the_first_timer_and_ends_when_the_timers_are_closed() -> None:
    before = timer_threads()
    lock = threading.RLock()
    fired: list[str] = []
    timers = Timers(lock, fired.append, time.monotonic_ns)
    assert timer_threads() == before
    with lock:
        timers.add(HOUR_NS, ("default", "never"), "never")
        timers.add(1, ("default", "soon"), "soon")  # before the time until which the thread sleeps
    assert len(timer_threads()) == len(before) + 1
    until(lambda: fired == ["soon"], lambda: f"{fired} fired")
    with lock:
        timers.add(1, ("default", "again"), "again")
    until(lambda: fired == ["soon", "again"], lambda: f"{fired} fired")
    timers.close()
    assert timer_threads() == before
    with lock:
        timers.add(1, ("default", "closed"), "closed")
    assert timer_threads() == before
    timers.close()


def test_without_a_thread_none_is_started(wheel: Wheel) -> None:
    before = timer_threads()
    wheel.add(1, "a")
    assert timer_threads() == before
    wheel.timers.close()
