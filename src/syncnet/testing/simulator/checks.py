"""The checks after a run: the guarantees, over what the clients saw, the log says, and the nodes have come to.

The log of each namespace is replayed here by a few plain lines, from its first entry on, without snapshots. What they
make of it is what every node must have made of it, and what every client must have heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

from syncnet.core.commands import Cause, Claim, NodeLost, Offer
from syncnet.core.effects import Attached, Effect, Pending, Synced, Withdrawn
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.log.cluster.entries import commands_of, message_from
from syncnet.log.cluster.stream import Entry
from syncnet.testing.checker import Checker, Violation, broken_rules
from syncnet.testing.checker import Offer as CheckedOffer
from syncnet.testing.simulator.clients import Client, Wish
from syncnet.testing.simulator.cluster import Cluster
from syncnet.testing.simulator.events import SECOND
from syncnet.testing.simulator.nodes import SimulatedNode

__all__ = ["check_nodes", "check_records", "check_waiting"]

_MEMBERS_MAX: Final = 4
_PRESENT_NS: Final = 45 * SECOND
"""In so much time all see that a client is lost, however long its node and the others are cut off in a run."""
_TRACED_MAX: Final = 1_000_000


class Replayed:
    """What the entries of a namespace make."""

    def __init__(self, entries: list[Entry]) -> None:
        self.machine = Machine()
        self.position = 0
        self.at_ns = 0
        self.batches: dict[str, int] = {}
        self.effects: list[Effect] = []
        self.sync_positions: dict[int, int] = {}
        """The position of the entry in which each sync happened."""
        self.disconnects: list[tuple[int, int, Offer]] = []
        """For each offer whose client had disconnected the positions at which it was last asked for and withdrawn."""
        self._asked: dict[str, int] = {}
        self._lost: set[str] = set()
        for entry in entries:
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        message = message_from(entry.data)
        self.position, self.at_ns = entry.position, max(self.at_ns, entry.at_ns)
        if message.node in self._lost or message.batch <= self.batches.get(message.node, 0):
            return
        self.batches[message.node] = message.batch
        for command in commands_of(message):
            command.at_ns = self.at_ns
            if isinstance(command, Offer | Claim):
                command.node = message.node
            elif isinstance(command, NodeLost):
                command.by = "" if command.node == message.node else message.node
            effects = self.machine.apply(command)
            self.effects += effects
            for effect in effects:
                if isinstance(effect, Synced):
                    self.sync_positions[effect.sync] = entry.position
                elif isinstance(effect, Pending | Attached):
                    self._asked[effect.offer.id] = entry.position
                elif isinstance(effect, Withdrawn) and effect.cause == Cause.DISCONNECTED:
                    self.disconnects.append((self._asked[effect.offer.id], entry.position, effect.offer))
            if isinstance(command, NodeLost):
                self._lose(command)

    def _lose(self, command: NodeLost) -> None:
        self.batches.pop(command.node, None)
        self.batches.setdefault(command.by, 0)
        if command.node:
            self._lost.add(command.node)


# --- before the clients withdraw what is pending -----------------------------------------------------------


def check_waiting(cluster: Cluster, clients: list[Client]) -> Iterator[Violation]:
    """Check, when faults have ended and time has passed, that nobody waits who should not."""
    by_token = {wish.token: wish for client in clients for wish in client.wishes}
    for node in cluster.alive():
        for request in node.requests.all():
            if not request.is_connected:
                continue
            offer = request.offer
            pending = node.coordinator.machine.pending_offer(offer.spec.namespace, offer.id)
            if pending is None or pending.waiter is not request:
                yield Violation("hang", f"{_token(offer)} waits at {node.name}, and is not pending there: {pending}")
    for namespace in cluster.namespaces:
        pending_offers = Replayed(cluster.server.archive.get(namespace, [])).machine.pending(namespace)
        wishes = [by_token[_token(offer)] for offer in pending_offers]
        for offer, wish in zip(pending_offers, wishes, strict=True):
            if not wish.is_connected:
                yield Violation("ghost", f"{wish.token} is pending for {offer.node}, and its client is not connected")
        yield from _missed_syncs(namespace, wishes)


def _missed_syncs(namespace: str, wishes: list[Wish]) -> Iterator[Violation]:
    """Yield the sets of pending offers that can sync (G3), as the checker understands the rules."""
    offers = [_checked(wish) for wish in wishes]
    for event in sorted({event for offer in offers for event in offer.events}):
        of_event = [offer for offer in offers if event in offer.events][:15]
        for size in range(1, _MEMBERS_MAX + 1):
            for some in combinations(of_event, size):
                if not any(True for _ in broken_rules(event, list(some))):
                    yield Violation("missed", f"{namespace}: {[offer.token for offer in some]} can sync for {event}")


# --- at the end ----------------------------------------------------------------------------------------------


def check_nodes(cluster: Cluster) -> Iterator[Violation]:
    """Check that all nodes have the state that the log says, and that no waiter was called twice."""
    for node in cluster.all_nodes:
        for request in node.all_requests:
            if request.results_total > 1:
                yield Violation("twice", f"{_token(request.offer)} got {request.results_total} results at {node.name}")
    for namespace in cluster.namespaces:
        expected = Replayed(cluster.server.archive.get(namespace, []))
        digests = {}
        for node in cluster.alive():
            yield from _check_state(node, namespace, expected)
            digests.update({log.digest: node.name for log in node.node.logs if log.namespace == namespace})
        if len(digests) > 1:
            yield Violation("state", f"the digests of {namespace} differ: {digests}")


def _check_state(node: SimulatedNode, namespace: str, expected: Replayed) -> Iterator[Violation]:
    log = next((log for log in node.node.logs if log.namespace == namespace), None)
    if log is None or not log.is_ready:
        yield Violation("state", f"{node.name} does not take part in {namespace}")
        return
    has = {"position": log.position, "time": log.at_ns, "batches": log.batches}
    has |= _state(node.coordinator.machine.by_namespace[namespace])  # type: ignore[attr-defined]
    wanted = {"position": expected.position, "time": expected.at_ns, "batches": expected.batches}
    wanted |= _state(expected.machine)
    for name, value in wanted.items():
        if has[name] != value:
            yield Violation("state", f"{node.name} has as {name} of {namespace} {has[name]}, expected {value}")


def _state(machine: Machine) -> dict[str, Any]:
    snapshot: Snapshot = machine.snapshot()
    pending = [(offer.id, offer.node, offer.asked) for each in snapshot.namespaces for offer in each.pending]
    return {
        "pending": pending,
        "namespaces": [each for each in snapshot.namespaces if each.syncs or each.pending],
        "outcomes": snapshot.outcomes,
        "trace": snapshot.trace,
        "departures": snapshot.departures,
    }


def check_records(cluster: Cluster, clients: list[Client], clock_jumps_s: float) -> Iterator[Violation]:
    """Check what the clients recorded, and that the log says the same."""
    checker = Checker(clock_jumps_s)
    for client in clients:
        checker.read_lines(client.lines)
    traces: list[dict[str, Any]] = []
    for namespace in cluster.namespaces:
        replayed = Replayed(cluster.server.archive.get(namespace, []))
        traces += [_trace(node.coordinator.machine, namespace) for node in cluster.alive()]
        traces.append(_trace(replayed.machine, namespace))
        yield from _check_heard(checker, namespace, replayed)
        yield from _check_lingers(cluster, namespace, replayed)
        yield from _check_presence(cluster, clients, namespace, replayed)
    checker.read_lines(traces)
    checker.check()
    yield from checker.violations


def _check_heard(checker: Checker, namespace: str, replayed: Replayed) -> Iterator[Violation]:
    """Yield the outcomes that clients heard and the log does not have."""
    logged = {
        (effect.sync, _token(offer))
        for effect in replayed.effects
        if isinstance(effect, Synced)
        for offer in effect.members
    }
    for (of_namespace, sync), tokens in checker.members.items():
        if of_namespace == namespace:
            for token in tokens:
                if (sync, token) not in logged:
                    yield Violation("not-in-log", f"{token} heard of the sync {sync} of {namespace}")


def _check_presence(cluster: Cluster, clients: list[Client], namespace: str, replayed: Replayed) -> Iterator[Violation]:
    """Yield the syncs with an offer whose client had disconnected long before (G6).

    An offer that lingers is left out: where no node took part in the namespace, its linger begins when one does.
    """
    given_up = {wish.token: wish.given_up_ns for client in clients for wish in client.wishes}
    for effect in replayed.effects:
        if isinstance(effect, Synced):
            at_ns = cluster.server.stored_ns[replayed.sync_positions[effect.sync]]
            for offer in effect.members:
                lost_ns = given_up[_token(offer)]
                lingers = offer.named and offer.linger_ns
                if lost_ns is not None and not lingers and at_ns - lost_ns > _PRESENT_NS:
                    waited_s = (at_ns - lost_ns) / SECOND
                    text = (
                        f"{_token(offer)} is in the sync {effect.sync} of {namespace}, {waited_s} s after it was lost"
                    )
                    yield Violation("late-ghost", text)


def _check_lingers(cluster: Cluster, namespace: str, replayed: Replayed) -> Iterator[Violation]:
    """Yield the offers that were withdrawn before their linger was over, counted from when they were last asked for."""
    for asked, withdrawn, offer in replayed.disconnects:
        lasted_ns = cluster.server.stored_ns[withdrawn] - cluster.server.stored_ns[asked]
        if offer.named and lasted_ns < offer.linger_ns:
            text = f"lingered for {lasted_ns / SECOND} s, expected {offer.linger_ns / SECOND} s"
            yield Violation("early-withdrawal", f"{_token(offer)} of {namespace} {text}")


def _trace(machine: Machine, namespace: str) -> dict[str, Any]:
    syncs = [
        {
            "sync": sync.sync,
            "event": sync.event,
            "members": [{"id": each[0], "actor": each[1]} for each in sync.members],
        }
        for sync in machine.trace(namespace, 0, _TRACED_MAX)
    ]
    return {"what": "trace", "at": 0, "namespace": namespace, "syncs": syncs}


def _checked(wish: Wish) -> CheckedOffer:
    return CheckedOffer(wish.token, wish.namespace, wish.named, wish.parameters, 0)


def _token(offer: Offer) -> str:
    """Return the beginning of the payload, a JSON text."""
    return bytes(offer.payload).decode()[1:].partition("|")[0]
