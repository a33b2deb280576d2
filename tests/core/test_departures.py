"""Who left an event without a sync is remembered, within bounds."""

from syncnet.core.commands import Cause, Expire, Withdraw
from syncnet.core.departures import Departures
from syncnet.core.effects import TimedOut
from syncnet.core.limits import DEPARTED_S, DEPARTURES_MAX, DEPARTURES_PER_EVENT_MAX
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from tests.core.offers import offer

SECOND = 1_000_000_000


def total(departures: Departures) -> int:
    return sum(len(each) for _, _, each in departures.all())


def test_the_actors_of_an_event_are_bounded_and_the_latest_are_kept() -> None:
    departures = Departures()
    for number in range(DEPARTURES_PER_EVENT_MAX + 5):
        departures.note(offer(f"A{number}").spec, "withdrawn", 0)
    left = departures.of(offer("X").spec, 0, Steps(1_000))
    assert len(left) == DEPARTURES_PER_EVENT_MAX
    assert "A4" not in left
    assert "A5" in left


def test_the_actors_of_all_events_are_bounded() -> None:
    departures = Departures()
    for number in range(DEPARTURES_MAX + 7):
        departures.note(offer("A", f"e{number}").spec, "withdrawn", 0)
    assert total(departures) == DEPARTURES_MAX == departures._total
    assert departures.all()[0][1] == "e7"


def test_what_is_old_is_forgotten_when_others_leave() -> None:
    departures = Departures()
    departures.note(offer("A", "old").spec, "withdrawn", 0)
    departures.note(offer("A", "new").spec, "withdrawn", (DEPARTED_S + 1) * SECOND)
    assert [event for _, event, _ in departures.all()] == ["new"]


def test_a_sync_leaves_nothing_to_remember() -> None:
    machine = Machine()
    for number in range(3):
        machine.apply(offer("A", id=f"a{number}"))
        machine.apply(offer("B", id=f"b{number}"))
    assert machine.snapshot().departures == ()


def test_g4_a_restored_machine_says_the_same_of_who_left() -> None:
    machine, restored = Machine(), Machine()
    machine.apply(offer("A", "start", expect=["B", "C"]))
    machine.apply(Withdraw(SECOND, "default", "A", Cause.DISCONNECTED))
    machine.apply(offer("B", "start", expect=["A", "C"], at_ns=SECOND))
    restored.restore(machine.snapshot())
    for each in (machine, restored):
        (outcome,) = each.apply(Expire(3 * SECOND, "default", "B"))
        assert isinstance(outcome, TimedOut)
        assert [(left.actor, left.how, left.at_ns) for left in outcome.gave_up] == [("A", "disconnected", SECOND)]
        assert outcome.never_came == ("C",)
        assert outcome.missing_actors == ("A", "C")


def test_g4_other_limits_do_not_change_who_left() -> None:
    machine = Machine()
    machine.apply(offer("A"))
    machine.apply(Withdraw(SECOND, "default", "A", Cause.WITHDRAWN))
    before = machine.snapshot().departures
    assert before
    machine.change_limits(machine.limits.__class__(trace_syncs_max=3))
    assert machine.snapshot().departures == before
