"""Few pending offers of an event are scanned, many are indexed. The results are the same; only the number decides."""

import random

import pytest

from syncnet.core.candidates import profile_of
from syncnet.core.commands import Abort, Cause, Expire, Withdraw
from syncnet.core.effects import Aborted, SearchExhausted, TimedOut
from syncnet.core.limits import SCANNED_OFFERS_MAX, Limits
from syncnet.core.machine import Machine
from syncnet.core.matching import _IndexWalk, _scan
from syncnet.core.offer_list import OfferList
from syncnet.core.present import compatible_offers
from syncnet.core.steps import Steps
from tests.core.offers import offer, synced
from tests.core.test_matching_against_a_plain_scan import FIRST_SEED, WORLDS, Style


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + WORLDS))
def test_g4_the_scan_and_the_index_find_the_same_set(seed: int) -> None:
    style, chance = Style(seed), random.Random(seed)
    for _ in range(40):
        pending, indexed = OfferList(), OfferList()
        event = style.events[0]
        for number in range(1, chance.randrange(2, SCANNED_OFFERS_MAX + 1)):
            one = style.offer(str(number))
            one.arrival = number
            pending.add(one)
        for number in range(SCANNED_OFFERS_MAX + 1):  # fill the list up, so that the index is made, and empty it again
            filler = offer("filler", event, id=f"filler-{number}", mates=9_999)
            filler.arrival = 1_000 + number
            indexed.add(filler)
        for one in pending.offers.values():
            indexed.add(one)
        for arrival in [each for each in indexed.offers if each >= 1_000]:
            indexed.remove(indexed.offers[arrival])
        newcomer = style.offer("newcomer")
        newcomer.arrival = 100
        assert indexed.index is not None or not pending.offers
        if newcomer.mates and indexed.index is not None:
            scanned = _scan(pending.offers, len(pending.offers), newcomer.spec, Steps(10**9))
            walk = _IndexWalk(indexed.index, profile_of(newcomer.spec), Steps(10**9), 10**9)
            assert scanned == walk.smallest_set()


def test_an_index_is_made_of_many_offers_and_dropped_when_none_is_pending() -> None:
    offers = OfferList()
    made = [offer("A", id=str(number)) for number in range(SCANNED_OFFERS_MAX + 1)]
    for number, one in enumerate(made, 1):
        one.arrival = number
        assert offers.index is None
        offers.add(one)
    assert offers.index is not None
    offers.remove(made[0])
    assert offers.index is not None, "it is kept until no offer is pending"
    assert list(offers.offers.values()) == made[1:]
    machine = Machine()
    for one in made:
        machine.apply(offer("A", id=one.id))
    machine.apply(Abort(0, "default", "coin", "", "", "ops", "because"))
    assert machine.pending_total == 0
    assert machine._namespaces == {}
    for one in made:
        machine.apply(offer("A", id=one.id))
    lists = machine._namespaces["default"].lists
    assert lists["coin"].index is not None
    machine.apply(offer("B", "tea", id="tea"))
    machine.apply(Abort(0, "default", "coin", "", "", "ops", "because"))
    assert list(lists) == ["tea"], "the list is dropped with its index"
    machine.apply(offer("A", id="1"))
    assert lists["coin"].index is None


def test_g5_the_oldest_offer_syncs_first_whether_the_list_is_short_or_long() -> None:
    for length in (4, SCANNED_OFFERS_MAX + 4):
        machine = Machine()
        for number in range(1, length + 1):
            machine.apply(offer("A", id=str(number)))
        machine.apply(Withdraw(0, "default", "2", Cause.WITHDRAWN))
        assert synced(machine.apply(offer("B"))) == [["1", "B"]]
        machine.apply(offer("C", "coin", "other", id="choice", selector="actor=Z"))
        assert synced(machine.apply(offer("B"))) == [["3", "B"]]
        machine.apply(Withdraw(0, "default", "choice", Cause.WITHDRAWN))
        assert synced(machine.apply(offer("B"))) == [["4", "B"]]
        assert machine.pending_total == length - 4


def test_a_timeout_among_offers_of_the_same_actor_reports_no_actor_as_present() -> None:
    for length in (2, SCANNED_OFFERS_MAX + 2):
        machine = Machine()
        for number in range(1, length + 1):
            machine.apply(offer("A", id=str(number)))
        (timed_out,) = machine.apply(Expire(0, "default", "1"))
        assert isinstance(timed_out, TimedOut)
        assert (timed_out.present, timed_out.missing) == ((), 1)
        aborted = machine.apply(Abort(0, "default", "coin", "", "", "ops", "because"))
        assert [type(each) for each in aborted] == [Aborted] * (length - 1)


def test_g3_offers_of_an_exhausted_search_are_found_by_a_restored_machine_too() -> None:
    machine = Machine(Limits(search_steps_max=20))
    for number in range(30):
        machine.apply(offer(f"X{number}", mates=2, labels={"x": ""}, selector="!x"))
    for actor in ("A", "B"):
        (_, exhausted) = machine.apply(offer(actor))
        assert isinstance(exhausted, SearchExhausted)
    for number in range(30):
        machine.apply(Withdraw(0, "default", f"X{number}", Cause.WITHDRAWN))
    restored = Machine()
    restored.restore(machine.snapshot())
    for actor, mate in (("B", "A"), ("A", "B")):
        effects = machine.apply(offer(actor, id=f"{actor}2"))
        assert synced(effects) == [[mate, f"{actor}2"]]
        assert restored.apply(offer(actor, id=f"{actor}2")) == effects


def test_g4_the_present_offers_do_not_depend_on_history_even_where_the_steps_are_used_up() -> None:
    """Two lists of the same offers: in one a class is listed early, because an offer of it was there before."""
    made = []
    for number in range(1, 61):
        one = offer(f"A{number % 50}", id=str(number), selector="")
        one.arrival = number
        made.append(one)
    grown, restored = OfferList(), OfferList()
    for one in made:
        grown.add(one)
    for one in made[:10]:
        grown.remove(one)
    for one in made[10:]:
        restored.add(one)
    for steps in (10, 25, 50, 100, 10_000):
        found = [compatible_offers(offers, made[-1], 30, Steps(steps)) for offers in (grown, restored)]
        assert found[0] == found[1]
        assert found[0] == sorted(found[0], key=lambda one: one.arrival)
    assert len(found[0]) == 30


def test_g8_a_large_offer_is_indexed_by_its_own_arrival_and_not_by_that_of_another() -> None:
    """So the arrival that makes the index adds few words of others."""
    offers = OfferList()
    small = offer("A", labels={"a": "1", "b": "2"}, selector="a,b")
    large = offer("B", labels={f"k{number}": "" for number in range(60)})
    for number, one in enumerate((small, large), 1):
        one.arrival = number
        assert offers.index is None
        offers.add(one)
    assert offers.index is not None
    for one in (small, large):
        offers.remove(one)


def test_g4_an_offer_with_too_many_labels_to_be_listed_is_found_by_them() -> None:
    """It has many labels and many events; others want one of its labels, and it wants one of theirs."""
    machine = Machine()
    events = [f"e{number}" for number in range(40)]
    for number in range(SCANNED_OFFERS_MAX + 4):
        labels = {f"k{other}": str(number) for other in range(30)}
        wide = offer(f"W{number}", *events, labels=labels, selector=f"side=right,k1={number}")
        assert len(machine.apply(wide)) == 1
    found = machine.apply(offer("N", "e39", labels={"side": "right", "k1": "11"}, selector="k7 in (11,12)"))
    assert synced(found) == [["W11", "N"]]
