"""What every door promises, with the same expectations: the rules and guarantees of semantics.md, seen by a program."""

from typing import Any

import pytest

from syncnet import AbortedError, Member, RefusedError, Sync, TimedOutError, UsageError, WithdrawnError
from tests.contract.front_ends import Door, until_pending

PATIENT_S = 600


def test_two_meet_and_see_the_same(door: Door) -> None:
    """G1, G7: both are told one sync, with the same members and payloads; one of them is the leader."""
    vm = door.begin("coin", actor="VM", payload={"price": [1, None, "ä"]})
    until_pending(door, 1)
    cust = door.begin("coin", actor="CUST", payload="please")
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
    assert door.stats() == {}


def test_syncs_are_numbered(door: Door) -> None:
    for number in (1, 2, 3):
        vm, cust = door.begin("coin", actor="VM"), door.begin("coin", actor="CUST")
        assert {vm.outcome().number, cust.outcome().number} == {number}


def test_one_alone_syncs_at_once_where_it_wants_nobody(door: Door) -> None:
    sync = door.begin("coin", actor="VM", mates=0).outcome()
    assert (sync.payloads, sync.rank) == ({"VM": ""}, 0)


def test_g2_an_actor_does_not_meet_itself(door: Door) -> None:
    one, other = door.begin("coin", actor="VM"), door.begin("coin", actor="VM")
    until_pending(door, 2)
    cust = [door.begin("coin", actor="CUST") for _ in range(2)]
    numbers = [party.outcome().number for party in (one, other, *cust)]
    assert sorted(numbers) == [1, 1, 2, 2]


def test_g5_who_waits_longest_is_served_first(door: Door) -> None:
    waiting = []
    for actor in ("A", "B", "C"):
        # Two of the three could meet; the selectors see to it that none of them does.
        waiting.append(door.begin("coin", actor=actor, labels={"side": "left"}, selector="side=right"))
        until_pending(door, len(waiting))
    for number, party in enumerate(waiting, 1):
        sync = door.begin("coin", actor="X", labels={"side": "right"}, selector="side=left").outcome()
        assert sync.number == party.outcome().number == number


def test_a_barrier_of_ten(door: Door) -> None:
    """G1: all or none."""
    parties = [door.begin("start", actor=f"party-{each}", mates=9, payload=each) for each in range(9)]
    until_pending(door, 9)
    parties.append(door.begin("start", actor="party-9", mates=9, payload=9))
    syncs = [party.outcome() for party in parties]
    assert {sync.number for sync in syncs} == {1}
    assert sorted(sync.rank for sync in syncs) == list(range(10))
    assert syncs[0].payloads == {f"party-{each}": each for each in range(10)}


def test_a_roster(door: Door) -> None:
    names = ["ANNA", "BEN", "CLARA"]
    early = [door.begin("start", actor="ANNA", expect=names), door.begin("start", actor="BEN", expect="CLARA,ANNA")]
    dora = door.begin("start", actor="DORA")
    until_pending(door, 3)
    syncs = [party.outcome() for party in (*early, door.begin("start", actor="CLARA", expect=names))]
    assert {tuple(sorted(sync.payloads)) for sync in syncs} == {("ANNA", "BEN", "CLARA")}
    assert list(door.stats()["start"]) == ["DORA"]
    dora.cancel()


def test_labels_and_selectors(door: Door) -> None:
    """G2."""
    iron = door.begin("play", actor="ANNA", labels={"tier": "iron"})
    until_pending(door, 1)
    picky = door.begin("play", actor="BEN", selector="tier=gold")
    until_pending(door, 2)
    gold = door.begin("play", actor="CLARA", labels={"tier": "gold"}, selector="actor=BEN").outcome()
    assert [member.actor for member in picky.outcome().members] == ["BEN", "CLARA"]
    assert gold.members[1].labels == {"actor": "CLARA", "tier": "gold"}
    iron.cancel()


def test_a_choice_takes_what_happens_first_and_leaves_the_other(door: Door) -> None:
    vm = door.begin("choc", "toffee", actor="VM")
    until_pending(door, 1)
    assert door.begin("toffee", actor="CUST").outcome().event == "toffee"
    assert vm.outcome().event == "toffee"
    assert door.stats() == {}


def test_namespaces_are_worlds_apart(door: Door) -> None:
    vm = door.begin("coin", actor="VM", namespace="ci-17")
    other = door.begin("coin", actor="CUST")
    until_pending(door, 1)
    assert door.begin("coin", actor="CUST", namespace="ci-17").outcome().number == vm.outcome().number == 1
    other.cancel()


def test_a_timeout_tells_who_was_missing(door: Door) -> None:
    """G6."""
    ben = door.begin("start", actor="BEN", mates=2)
    until_pending(door, 1)
    with pytest.raises(TimedOutError) as caught:
        door.begin("start", actor="ANNA", expect=["BEN", "CLARA"], timeout="20ms").outcome()
    assert caught.value.waited_s >= 0.02
    assert caught.value.missing == 1
    assert caught.value.missing_actors == ("CLARA",)
    assert caught.value.retry_safe
    with pytest.raises(TimedOutError) as caught:
        door.begin("start", actor="CLARA", mates=2, timeout=0.01).outcome()
    assert caught.value.present == ("BEN",)
    assert (caught.value.missing, caught.value.missing_actors) == (1, ())
    ben.cancel()
    assert door.stats() == {}


def test_g6_a_plain_offer_that_timed_out_is_gone(door: Door) -> None:
    for _ in range(2):
        with pytest.raises(TimedOutError) as caught:
            door.begin("coin", actor="VM", timeout=0.01).outcome()
        assert (caught.value.present, caught.value.missing) == ((), 1)
    cust = door.begin("coin", actor="CUST", timeout=PATIENT_S)
    until_pending(door, 1)
    assert door.begin("coin", actor="VM", timeout=PATIENT_S).outcome().number == cust.outcome().number == 1


def test_g6_one_that_is_cancelled_is_gone(door: Door) -> None:
    """Both where it was the only one, and where others wait with it."""
    for others in (0, 1):
        waiting = [door.begin("coin", actor="VM") for _ in range(others)]
        until_pending(door, others)
        gone = door.begin("coin", actor="VM")
        until_pending(door, others + 1)
        gone.cancel()
        until_pending(door, others)
        for party in waiting:
            cust = door.begin("coin", actor="CUST")
            assert cust.outcome() == sync_seen_by(party.outcome(), 1)
    assert door.stats() == {}


def sync_seen_by(sync: Sync, rank: int) -> Sync:
    return Sync(sync.happened(), rank)


def test_g6_one_that_is_withdrawn_by_its_id_is_told_so(door: Door) -> None:
    vm = door.begin("coin", actor="VM", id="vm-1")
    until_pending(door, 1)
    assert door.withdraw("vm-1")
    with pytest.raises(WithdrawnError):
        vm.outcome()
    assert door.withdraw("vm-1"), "it still is"
    assert not door.withdraw("vm-2")
    assert door.stats() == {}


def test_an_abort_ends_all_of_an_event(door: Door) -> None:
    parties = [door.begin("coin", actor=actor, mates=5) for actor in ("A", "B", "C")]
    until_pending(door, 3)
    assert door.abort(event="choc", reason="nobody wants it") == 0
    assert door.abort(event="coin", reason="the mint is closed", by="MINT") == 3
    for party in parties:
        with pytest.raises(AbortedError) as caught:
            party.outcome()
        assert (caught.value.by, caught.value.reason) == ("MINT", "the mint is closed")
    assert door.stats() == {}


def test_g7_asking_again_by_id_is_told_the_same(door: Door) -> None:
    vm = door.begin("coin", actor="VM", id="vm-1", payload=1)
    until_pending(door, 1)
    cust = door.begin("coin", actor="CUST", id="cust-1").outcome()
    first = vm.outcome()
    assert [member.id for member in first.members] == ["vm-1", "cust-1"]
    assert door.begin("coin", actor="VM", id="vm-1", payload=1).outcome() == first
    assert door.begin("coin", actor="CUST", id="cust-1").outcome() == cust
    with pytest.raises(RefusedError) as caught:
        door.begin("coin", actor="VM", id="vm-1", payload=2).outcome()
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
        ("selector", {"actor": "VM", "selector": "k in"}),
        ("timeout", {"actor": "VM", "timeout": "soon"}),
        ("namespace", {"actor": "VM", "namespace": "/"}),
    ],
)
def test_what_does_not_do_is_refused_by_name(door: Door, parameter: str, offer: dict[str, object]) -> None:
    said: dict[str, Any] = {"event": "coin", **offer}
    with pytest.raises(UsageError, match=parameter) as caught:
        door.begin(said.pop("event"), **said).outcome()
    assert not caught.value.retry_safe
    assert door.stats() == {}


def test_stats_tell_what_is_pending(door: Door) -> None:
    vm = door.begin("coin", actor="VM", id="vm-1", labels={"k": "v"}, payload="abc")
    until_pending(door, 1)
    entry = door.stats()["coin"]["VM"]["vm-1"]
    assert entry["params"]["labels"] == {"actor": "VM", "k": "v"}
    assert entry["params"]["selector"] == "actor!=VM"
    assert entry["params"]["mates"] == 1
    assert entry["created_at"].endswith("Z")
    vm.cancel()
