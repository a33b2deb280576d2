"""A runtime inside a program against every subset (G1, G2, G3, G5, G6, G7).

Offers are sent, waited for by tasks of asyncio, uvloop and trio and by threads, withdrawn and cancelled; what comes of
it is compared with `tests/core/brute_force.py`.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from syncnet import Offer, Syncnet, WithdrawnError
from syncnet.core.commands import Offer as CoreOffer
from tests.core import brute_force
from tests.core.offers import offer as core_offer
from tests.local.waiters import Wait, Waiter

PENDING_MAX = 7
ACTORS = st.sampled_from(["A", "B", "C"])
EVENTS = st.sampled_from(["coin", "choc"])
WAYS = st.sampled_from(["asyncio", "uvloop", "trio", "threads"])


class Runtime(RuleBasedStateMachine):
    ways: dict[str, Wait]

    def __init__(self) -> None:
        super().__init__()
        self.net = Syncnet()
        self.pending: list[CoreOffer] = []  # as the model has them; the ids are ours
        self.offers: dict[str, Offer] = {}
        self.waiters: dict[str, Waiter] = {}
        self.ours: dict[str, str] = {}  # the model's id of each of syncnet's
        self.syncs = 0

    @precondition(lambda self: len(self.pending) < PENDING_MAX)
    @rule(actor=ACTORS, event=EVENTS, way=WAYS | st.none())
    def send_a_plain_offer(self, actor: str, event: str, way: str | None) -> None:
        self.send((event,), actor, way)

    @precondition(lambda self: len(self.pending) < PENDING_MAX)
    @rule(
        actor=ACTORS,
        events=st.lists(EVENTS, min_size=1, max_size=2, unique=True),
        way=WAYS | st.none(),
        mates=st.integers(0, 3),
        selector=st.sampled_from([None, "actor=A", "actor!=B", "", "k=1"]),
        labels=st.sampled_from([None, {"k": "1"}]),
    )
    def send_any_offer(self, actor: str, events: list[str], way: str | None, **more: Any) -> None:
        self.send(tuple(events), actor, way, **more)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """G6."""
        gone = data.draw(st.sampled_from(self.pending))
        self.pending.remove(gone)
        assert self.offers[gone.id].withdraw()
        assert not self.offers[gone.id].withdraw()
        self.expect_withdrawn(gone.id)

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def cancel_a_waiter(self, data: st.DataObject) -> None:
        """G6: the offer is withdrawn by that; where it has synced, the sync stands."""
        id = data.draw(st.sampled_from(sorted(self.waiters)))
        was_pending = any(offer.id == id for offer in self.pending)
        self.pending = [offer for offer in self.pending if offer.id != id]
        self.waiters.pop(id).cancel()
        if was_pending:
            self.expect_withdrawn(id)
        else:
            assert self.offers[id].result(0).event

    @rule()
    def look(self) -> None:
        pending = [self.ours[offer.id] for offer in self.net.coordinator.machine.pending("default")]
        assert pending == [offer.id for offer in self.pending], "in order of arrival"
        assert self.net.coordinator.machine.totals("default")[1] == self.syncs

    def send(self, events: tuple[str, ...], actor: str, way: str | None, **more: Any) -> None:
        payload = object()
        id = f"offer-{len(self.offers)}"
        made = self.offers[id] = self.net.send(*events, actor=actor, payload=payload, **more)
        self.ours[made.id] = id
        newcomer = core_offer(actor, *events, id=id, **more)
        expected = brute_force.sync_of(newcomer, self.pending)
        if way is not None:
            self.waiters[id] = self.ways[way](made)
        if expected is None:
            assert not made.done()
            self.pending.append(newcomer)
            return
        event, members = expected
        self.syncs += 1
        for rank, member in enumerate(members):
            if member in self.pending:
                self.pending.remove(member)
            self.expect_synced(member.id, event, [each.id for each in members], rank)

    def expect_synced(self, id: str, event: str, members: list[str], rank: int) -> None:
        sync = self.waiters[id].outcome() if id in self.waiters else self.offers[id].result(0)
        assert (sync.event, sync.number, sync.rank) == (event, self.syncs, rank)
        assert [self.ours[member.id] for member in sync.members] == members
        for member in sync.members:  # the very objects
            assert member.payload is self.offers[self.ours[member.id]].payload

    def expect_withdrawn(self, id: str) -> None:
        self.waiters.pop(id, None)
        with pytest.raises(WithdrawnError):
            self.offers[id].result(0)

    def teardown(self) -> None:
        self.look()
        self.net.close()
        assert all(offer.done() for offer in self.offers.values())


def test_against_every_subset(ways: dict[str, Wait]) -> None:
    Runtime.ways = ways
    run_state_machine_as_test(
        Runtime,
        settings=settings(
            max_examples=int(os.environ.get("SYNCNET_EXAMPLES", "150")),
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
