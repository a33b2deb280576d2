"""The machine against every subset: few offers, all that can be said in an offer (G1, G2, G3, G5, G6).

Up to 8 pending offers, 3 events, 0 to 4 mates, mixed selectors, rosters and choices.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncnet.core.commands import Cause, Expire, Offer, Withdraw
from syncnet.core.effects import Effect, Pending, Synced, TimedOut, Withdrawn
from syncnet.core.machine import Machine
from tests.core import brute_force
from tests.core.offers import FEW_PAYLOAD_BYTES, offer

PENDING_MAX = 8
ACTORS = st.sampled_from(["A", "B", "C", "D", "E"])
EVENTS = st.lists(st.sampled_from(["coin", "choc", "tea"]), min_size=1, max_size=3, unique=True)
LABELS = st.none() | st.dictionaries(st.sampled_from(["k", "n", "actor"]), st.sampled_from(["1", "2", "A"]), max_size=2)
SELECTORS = st.none() | st.sampled_from(
    [
        "",
        "actor=A",
        "actor!=B",
        "actor in (A,B,C)",
        "actor notin (D,E)",
        "k=1",
        "k!=1",
        "k",
        "!k",
        "n>1",
        "n<2",
        "k in (1,2),n notin (1)",
        "actor!=A,k!=2",
    ]
)


PAYLOAD_BYTES = st.sampled_from([2, 2, 12, 20, 30, 60])


def with_payload(payload_bytes: int, mates: int) -> dict[str, Any]:
    """A payload of so many bytes, or of fewer where it would not allow so many mates."""
    fitting = min(payload_bytes, FEW_PAYLOAD_BYTES.sync_payload_bytes_max // (mates + 1))
    return {"payload": b"1" * fitting, "limits": FEW_PAYLOAD_BYTES}


class MachineAndBruteForce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pending: list[Offer] = []
        self.made = 0
        self.syncs = 0
        self.ended: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.machine = Machine()

    @precondition(lambda self: len(self.pending) < PENDING_MAX)
    @rule(
        actor=ACTORS, events=EVENTS, mates=st.integers(0, 4), labels=LABELS, selector=SELECTORS, payload=PAYLOAD_BYTES
    )
    def offer_with_mates(
        self,
        actor: str,
        events: list[str],
        mates: int,
        labels: dict[str, str] | None,
        selector: str | None,
        payload: int,
    ) -> None:
        terms: dict[str, Any] = {"mates": mates, "labels": labels, "selector": selector}
        self.arrive(offer(actor, *events, id=self.new_id(), **terms, **with_payload(payload, mates)))

    @precondition(lambda self: len(self.pending) < PENDING_MAX)
    @rule(
        actor=ACTORS,
        events=EVENTS,
        labels=LABELS,
        expect=st.sets(ACTORS, min_size=1, max_size=4),
        payload=PAYLOAD_BYTES,
    )
    def offer_with_roster(
        self, actor: str, events: list[str], labels: dict[str, str] | None, expect: set[str], payload: int
    ) -> None:
        self.arrive(
            offer(
                actor,
                *events,
                id=self.new_id(),
                expect=expect,
                labels=labels,
                **with_payload(payload, len({actor, *expect}) - 1),
            )
        )

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.pending))
        effects = self.machine.apply(Withdraw(1, "default", gone.id, Cause.DISCONNECTED))
        assert effects == (Withdrawn(1, gone, Cause.DISCONNECTED),)
        self.end([gone])

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        late = data.draw(st.sampled_from(self.pending))
        (effect,) = self.machine.apply(Expire(5, "default", late.id))
        assert isinstance(effect, TimedOut)
        assert effect.offer == late
        assert effect.missing >= 1
        self.end([late])

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def end_what_has_ended(self, data: st.DataObject) -> None:
        """G6: nothing happens to an offer that has ended."""
        gone = data.draw(st.sampled_from(sorted(self.ended)))
        assert self.machine.apply(Withdraw(1, "default", gone, Cause.WITHDRAWN)) == ()
        assert self.machine.apply(Expire(1, "default", gone)) == ()

    @invariant()
    def pending_offers_are_those_that_should_be(self) -> None:
        if hasattr(self, "machine"):
            assert self.machine.pending("default") == self.pending

    @invariant()
    def no_set_is_left_behind(self) -> None:
        """G3."""
        assert brute_force.set_left_behind(self.pending) is None

    def new_id(self) -> str:
        self.made += 1
        return f"offer-{self.made}"

    def arrive(self, newcomer: Offer) -> None:
        expected = brute_force.sync_of(newcomer, self.pending)
        first, *more = self.machine.apply(newcomer)
        assert isinstance(first, Pending)
        assert first.offer == newcomer
        assert newcomer.arrival > max([each.arrival for each in self.pending], default=0)
        self.pending.append(newcomer)
        wanted: list[Effect] = []
        if expected is not None:
            event, members = expected
            self.syncs += 1
            wanted.append(Synced(0, "default", event, self.syncs, tuple(members)))
            self.end(members)
        assert more == wanted

    def end(self, offers: list[Offer]) -> None:
        """G1: an offer that has ended is in no later sync, because `arrive` never sees it again."""
        for each in offers:
            assert each.id not in self.ended
            self.ended.add(each.id)
            self.pending.remove(each)


MachineAndBruteForce.TestCase.settings = settings(
    max_examples=int(os.environ.get("SYNCNET_EXAMPLES", "250")),
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMachineAndBruteForce = MachineAndBruteForce.TestCase
