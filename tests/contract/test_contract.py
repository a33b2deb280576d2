"""The rules and guarantees of semantics.md as a program sees them, with the same expectations for every front end."""

from typing import Any

import pytest

from syncnet import AbortedError, Member, RefusedError, Sync, TimedOutError, UsageError, WithdrawnError
from tests.contract.front_ends import FrontEnd, until_pending

LONG_TIMEOUT_S = 600


def test_g1_g7_both_members_get_the_same_sync(front_end: FrontEnd) -> None:
    """G1, G7: both get one sync, with the same members and payloads; one of them is the leader."""
    vm = front_end.begin("coin", actor="VM", payload={"price": [1, None, "ä"]})
    until_pending(front_end, 1)
    cust = front_end.begin("coin", actor="CUST", payload="please")
    first, second = vm.outcome(), cust.outcome()
    assert first.event == second.event == "coin"
    assert first.number == second.number == 1
    assert first.payloads == second.payloads == {"VM": {"price": [1, None, "ä"]}, "CUST": "please"}
    assert first.members == second.members
    assert [type(member) for member in first.members] == [Member, Member]
    assert [(member.actor, member.payload) for member in first.members] == [
        ("VM", {"price": [1, None, "ä"]}),
        ("CUST", "please"),
    ]
    assert [dict(member.labels) for member in first.members] == [{"actor": "VM"}, {"actor": "CUST"}]
    assert len({member.id for member in first.members}) == 2
    assert (first.rank, first.leader, second.rank, second.leader) == (0, True, 1, False)
    assert front_end.stats() == {}


def test_syncs_are_numbered_in_order(front_end: FrontEnd) -> None:
    for number in (1, 2, 3):
        vm, cust = front_end.begin("coin", actor="VM"), front_end.begin("coin", actor="CUST")
        assert {vm.outcome().number, cust.outcome().number} == {number}


def test_an_offer_with_no_mates_syncs_at_once(front_end: FrontEnd) -> None:
    sync = front_end.begin("coin", actor="VM", mates=0).outcome()
    assert (sync.payloads, sync.rank) == ({"VM": ""}, 0)


def test_g2_an_actor_does_not_sync_with_itself(front_end: FrontEnd) -> None:
    one, other = front_end.begin("coin", actor="VM"), front_end.begin("coin", actor="VM")
    until_pending(front_end, 2)
    cust = [front_end.begin("coin", actor="CUST") for _ in range(2)]
    numbers = [party.outcome().number for party in (one, other, *cust)]
    assert sorted(numbers) == [1, 1, 2, 2]


def test_g5_the_oldest_offer_is_served_first(front_end: FrontEnd) -> None:
    waiting = []
    for actor in ("A", "B", "C"):
        # The selectors prevent that two of these three sync with each other.
        waiting.append(front_end.begin("coin", actor=actor, labels={"side": "left"}, selector="side=right"))
        until_pending(front_end, len(waiting))
    for number, party in enumerate(waiting, 1):
        sync = front_end.begin("coin", actor="X", labels={"side": "right"}, selector="side=left").outcome()
        assert sync.number == party.outcome().number == number


def test_g1_a_barrier_of_ten(front_end: FrontEnd) -> None:
    """G1: a sync happens for all members or for none."""
    parties = [front_end.begin("start", actor=f"party-{each}", mates=9, payload=each) for each in range(9)]
    until_pending(front_end, 9)
    parties.append(front_end.begin("start", actor="party-9", mates=9, payload=9))
    syncs = [party.outcome() for party in parties]
    assert {sync.number for sync in syncs} == {1}
    assert sorted(sync.rank for sync in syncs) == list(range(10))
    assert syncs[0].payloads == {f"party-{each}": each for each in range(10)}


def test_a_roster_syncs_exactly_its_actors(front_end: FrontEnd) -> None:
    names = ["ANNA", "BEN", "CLARA"]
    early = [
        front_end.begin("start", actor="ANNA", expect=names),
        front_end.begin("start", actor="BEN", expect="CLARA,ANNA"),
    ]
    dora = front_end.begin("start", actor="DORA")
    until_pending(front_end, 3)
    syncs = [party.outcome() for party in (*early, front_end.begin("start", actor="CLARA", expect=names))]
    assert {tuple(sorted(sync.payloads)) for sync in syncs} == {("ANNA", "BEN", "CLARA")}
    assert list(front_end.stats()["start"]) == ["DORA"]
    dora.cancel()


def test_g2_selectors_match_labels(front_end: FrontEnd) -> None:
    iron = front_end.begin("play", actor="ANNA", labels={"tier": "iron"})
    until_pending(front_end, 1)
    selecting = front_end.begin("play", actor="BEN", selector="tier=gold")
    until_pending(front_end, 2)
    gold = front_end.begin("play", actor="CLARA", labels={"tier": "gold"}, selector="actor=BEN").outcome()
    assert [member.actor for member in selecting.outcome().members] == ["BEN", "CLARA"]
    assert gold.members[1].labels == {"actor": "CLARA", "tier": "gold"}
    iron.cancel()


def test_labels_can_be_a_text_as_in_a_url(front_end: FrontEnd) -> None:
    vm = front_end.begin("coin", actor="VM", labels=" tier = gold ,zone=eu")
    until_pending(front_end, 1)
    cust = front_end.begin("coin", actor="CUST", labels={"tier": "gold"}, selector="tier=gold,zone=eu").outcome()
    assert dict(cust.members[0].labels) == {"actor": "VM", "tier": "gold", "zone": "eu"}
    assert vm.outcome().number == cust.number


def test_an_empty_selector_selects_everything(front_end: FrontEnd) -> None:
    """Its own actor too, which the default excludes."""
    one = front_end.begin("coin", actor="VM", selector="")
    until_pending(front_end, 1)
    assert front_end.begin("coin", actor="VM", selector="").outcome().number == one.outcome().number


def test_a_choice_syncs_on_one_event_only(front_end: FrontEnd) -> None:
    vm = front_end.begin("choc", "toffee", actor="VM")
    until_pending(front_end, 1)
    assert front_end.begin("toffee", actor="CUST").outcome().event == "toffee"
    assert vm.outcome().event == "toffee"
    assert front_end.stats() == {}


def test_namespaces_are_separate(front_end: FrontEnd) -> None:
    vm = front_end.begin("coin", actor="VM", namespace="ci-17")
    other = front_end.begin("coin", actor="CUST")
    until_pending(front_end, 1)
    assert front_end.begin("coin", actor="CUST", namespace="ci-17").outcome().number == vm.outcome().number == 1
    other.cancel()


def test_g6_a_timeout_says_who_was_missing(front_end: FrontEnd) -> None:
    ben = front_end.begin("start", actor="BEN", mates=2)
    until_pending(front_end, 1)
    with pytest.raises(TimedOutError) as caught:
        front_end.begin("start", actor="ANNA", expect=["BEN", "CLARA"], timeout="20ms").outcome()
    assert caught.value.waited_s >= 0.02
    assert caught.value.missing == 1
    assert caught.value.missing_actors == ("CLARA",)
    assert caught.value.retry_safe
    with pytest.raises(TimedOutError) as caught:
        front_end.begin("start", actor="CLARA", mates=2, timeout=0.01).outcome()
    assert caught.value.present == ("BEN",)
    assert (caught.value.missing, caught.value.missing_actors) == (1, ())
    ben.cancel()
    assert front_end.stats() == {}


def test_g6_an_offer_that_timed_out_is_in_no_later_sync(front_end: FrontEnd) -> None:
    for _ in range(2):
        with pytest.raises(TimedOutError) as caught:
            front_end.begin("coin", actor="VM", timeout=0.01).outcome()
        assert (caught.value.present, caught.value.missing) == ((), 1)
    cust = front_end.begin("coin", actor="CUST", timeout=LONG_TIMEOUT_S)
    until_pending(front_end, 1)
    assert front_end.begin("coin", actor="VM", timeout=LONG_TIMEOUT_S).outcome().number == cust.outcome().number == 1


def test_g6_an_offer_that_is_cancelled_is_in_no_later_sync(front_end: FrontEnd) -> None:
    """G6: whether or not other offers are pending."""
    for others in (0, 1):
        waiting = [front_end.begin("coin", actor="VM") for _ in range(others)]
        until_pending(front_end, others)
        cancelled = front_end.begin("coin", actor="VM")
        until_pending(front_end, others + 1)
        cancelled.cancel()
        until_pending(front_end, others)
        for party in waiting:
            cust = front_end.begin("coin", actor="CUST")
            assert cust.outcome() == sync_seen_by(party.outcome(), 1)
    assert front_end.stats() == {}


def sync_seen_by(sync: Sync, rank: int) -> Sync:
    return Sync(sync.happened(), rank)


def test_g6_a_withdrawn_offer_gets_withdrawn_error(front_end: FrontEnd) -> None:
    vm = front_end.begin("coin", actor="VM", id="vm-1")
    until_pending(front_end, 1)
    assert front_end.withdraw("vm-1")
    with pytest.raises(WithdrawnError):
        vm.outcome()
    assert front_end.withdraw("vm-1"), "a second withdrawal succeeds too"
    assert not front_end.withdraw("vm-2")
    assert front_end.stats() == {}


def test_an_abort_ends_all_offers_of_an_event(front_end: FrontEnd) -> None:
    parties = [front_end.begin("coin", actor=actor, mates=5) for actor in ("A", "B", "C")]
    until_pending(front_end, 3)
    assert front_end.abort(event="choc", reason="not needed") == 0
    assert front_end.abort(event="coin", reason="the mint is closed", by="MINT") == 3
    for party in parties:
        with pytest.raises(AbortedError) as caught:
            party.outcome()
        assert (caught.value.by, caught.value.reason) == ("MINT", "the mint is closed")
    assert front_end.stats() == {}


def test_g7_repeating_an_offer_by_its_id_gets_the_same_sync(front_end: FrontEnd) -> None:
    vm = front_end.begin("coin", actor="VM", id="vm-1", payload=1)
    until_pending(front_end, 1)
    cust = front_end.begin("coin", actor="CUST", id="cust-1").outcome()
    first = vm.outcome()
    assert [member.id for member in first.members] == ["vm-1", "cust-1"]
    assert front_end.begin("coin", actor="VM", id="vm-1", payload=1).outcome() == first
    assert front_end.begin("coin", actor="CUST", id="cust-1").outcome() == cust
    with pytest.raises(RefusedError) as caught:
        front_end.begin("coin", actor="VM", id="vm-1", payload=2).outcome()
    assert caught.value.code == "id-reused"
    assert not caught.value.retry_safe


@pytest.mark.parametrize(
    ("parameter", "offer"),
    [
        ("actor", {"actor": "no blanks here"}),
        ("actor", {"actor": ""}),
        ("event", {"actor": "VM", "event": ""}),
        ("mates", {"actor": "VM", "mates": -1}),
        ("expect", {"actor": "VM", "expect": ["A", "A"]}),
        ("mates", {"actor": "VM", "expect": ["A"], "mates": 1}),
        ("labels", {"actor": "VM", "labels": {"k": "no blanks"}}),
        ("labels", {"actor": "VM", "labels": "tier"}),
        ("labels", {"actor": "VM", "labels": "k=v,k=w"}),
        ("selector", {"actor": "VM", "selector": "k in"}),
        ("timeout", {"actor": "VM", "timeout": "soon"}),
        ("namespace", {"actor": "VM", "namespace": "/"}),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(front_end: FrontEnd, parameter: str, offer: dict[str, object]) -> None:
    options: dict[str, Any] = {"event": "coin", **offer}
    with pytest.raises(UsageError, match=parameter) as caught:
        front_end.begin(options.pop("event"), **options).outcome()
    assert not caught.value.retry_safe
    assert front_end.stats() == {}


def test_stats_list_the_pending_offers(front_end: FrontEnd) -> None:
    vm = front_end.begin("coin", actor="VM", id="vm-1", labels={"k": "v"}, payload="abc")
    until_pending(front_end, 1)
    entry = front_end.stats()["coin"]["VM"]["vm-1"]
    assert entry["params"]["labels"] == {"actor": "VM", "k": "v"}
    assert entry["params"]["selector"] == "actor!=VM"
    assert entry["params"]["mates"] == 1
    assert entry["created_at"].endswith("Z")
    vm.cancel()
