"""Nodes of a cluster, one step after another: what the simulator found, as short scripts. Time is simulated."""

from __future__ import annotations

from typing import Any

import pytest

from syncnet.core.commands import Claim
from syncnet.core.machine import Machine
from syncnet.core.validation import make_offer
from syncnet.testing.simulator.events import MS, SECOND, Events
from syncnet.testing.simulator.nodes import SimulatedNode
from syncnet.testing.simulator.stream import StreamServer

LEASE_S = 5.0
ALL_LOST_S = 3 * LEASE_S


class Asked:
    """A request: `code` is that of its answer, `sync` for a sync, empty while none has come."""

    def __init__(self) -> None:
        self.code = ""

    def __call__(self, status: int, code: str, rank: str, body: str) -> None:
        self.code = "sync" if status == 200 else code or "lost"


class Script:
    """A cluster without faults but those of the test."""

    def __init__(self) -> None:
        self.events = Events(1)
        self.server = StreamServer(self.events, int(0.6 * LEASE_S * SECOND), 120 * SECOND, 1_000_000)

    def start(self, name: str, snapshot_commands: int = 10_000) -> SimulatedNode:
        return SimulatedNode(self.server, name, LEASE_S, snapshot_commands)

    def wait(self, seconds: float) -> None:
        self.events.run(int(seconds * SECOND))

    def ask(self, node: SimulatedNode, actor: str, id: str = "", **options: Any) -> Asked:
        asked = Asked()
        offer = make_offer(
            at_ns=0,
            id=id or "none",
            events=["coin"],
            actor=actor,
            named=bool(id),
            payload=f'"{actor}|"'.encode(),
            **options,
        )
        node.offer(offer, asked, named=bool(id))
        return asked


@pytest.fixture
def script() -> Script:
    return Script()


def test_offers_at_two_nodes_sync(script: Script) -> None:
    one = script.ask(script.start("n1"), "A")
    other = script.ask(script.start("n2"), "B")
    script.wait(1)
    assert (one.code, other.code) == ("sync", "sync")


def test_a_node_that_returns_to_a_namespace_does_not_use_its_numbers_again(script: Script) -> None:
    one, two = script.start("n1"), script.start("n2")
    script.ask(one, "A")
    script.ask(two, "B")
    script.wait(90)
    assert one.node.logs == []
    first, second = script.ask(one, "C"), script.ask(two, "D")
    script.wait(1)
    assert (first.code, second.code) == ("sync", "sync")


def test_a_node_publishes_nothing_before_it_has_the_whole_state(script: Script) -> None:
    one = script.start("n1", snapshot_commands=2)
    for actor in "ABCDEF":
        script.ask(one, actor)
    script.wait(1)
    two = script.start("n2", snapshot_commands=2)
    script.ask(two, "G")
    stored = len(script.server.archive["default"])
    while len(script.server.archive["default"]) == stored:
        script.events.run(MS // 10)
    assert two.node.logs[0].is_ready


def test_a_timeout_is_not_early_when_the_clock_of_the_log_is_set_back(script: Script) -> None:
    node = script.start("n1")
    script.ask(node, "A", mates=2)
    script.wait(20)
    script.server.skew_ns = -60 * SECOND
    asked = script.ask(node, "B", timeout_s=5)
    script.wait(4)
    assert asked.code == ""
    script.wait(2)
    assert asked.code == "timed-out"


def test_a_claim_names_the_present_name_of_its_node(script: Script) -> None:
    one, two = script.start("n1"), script.start("n2")
    asked = script.ask(one, "A", id="a", linger_s=1)
    script.ask(two, "B", mates=5)
    script.wait(2)
    two.node.logs[0].enter_loss("n1-1")
    script.wait(2)
    pending = two.coordinator.machine.pending_offer("default", "a")
    assert pending is not None
    assert (pending.node, one.node.name) == ("n1-2", "n1-2")
    one.kill()
    script.wait(ALL_LOST_S)
    assert two.coordinator.machine.pending_offer("default", "a") is None
    assert asked.code == "lost"


def test_offers_of_a_node_that_leaves_linger_at_one_that_takes_part(script: Script) -> None:
    one, two, three = script.start("n1"), script.start("n2"), script.start("n3")
    asked = script.ask(two, "A", id="a", linger_s=1)
    script.ask(three, "B", mates=5)
    script.wait(2)
    assert one.node.logs == []  # it lives, and would not see that the offer is left to it
    two.leave()
    script.wait(1)
    assert asked.code == "draining"
    script.wait(ALL_LOST_S)
    assert three.coordinator.machine.pending_offer("default", "a") is None


def test_a_node_that_cannot_leave_does_not_say_that_its_offers_are_withdrawn(script: Script) -> None:
    node = script.start("n1")
    asked = script.ask(node, "A")
    script.wait(1)
    node.stream.cut()
    node.leave()
    script.wait(2)
    assert asked.code == "cluster"


def test_no_offer_syncs_with_one_whose_node_died_long_ago(script: Script) -> None:
    node = script.start("n1")
    script.ask(node, "A")
    script.wait(1)
    node.kill()
    script.wait(ALL_LOST_S)
    asked = script.ask(script.start("n2"), "B", timeout_s=3)
    script.wait(5)
    assert asked.code == "timed-out"


def test_a_node_learns_from_a_snapshot_that_it_was_lost(script: Script) -> None:
    one, two = script.start("n1", 2), script.start("n2", 2)
    script.ask(one, "A")
    script.ask(two, "B")
    script.wait(90)
    script.ask(two, "C", mates=5)
    script.wait(1)
    two.node.logs[0].enter_loss("n1-1")
    script.ask(two, "D", mates=5)
    script.wait(1)
    assert one.node.name == "n1-1"
    asked = script.ask(one, "E", timeout_s=1)
    script.wait(5)
    assert asked.code == "timed-out"


@pytest.mark.parametrize(("asked", "node"), [(0, "n2"), (1, "n1")])
def test_a_claim_has_no_effect_when_the_offer_was_asked_for_since(asked: int, node: str) -> None:
    machine = Machine()
    offer = make_offer(at_ns=1, id="a", events=["coin"], actor="A", named=True)
    offer.node = "n1"
    machine.offer(offer)
    offer.asked = asked
    machine.apply(Claim(2, "default", "a", "n2", 1, 0))
    assert offer.node == node
