"""A simulated node: the production node, logs and coordinator in one simulated process, and a front end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from syncnet.coordinator.cluster import ClusterCoordinator
from syncnet.coordinator.waiters import Result, Waiter
from syncnet.core.commands import Abort, Offer
from syncnet.core.effects import Aborted, Refused, Remembered, Synced, TimedOut, Withdrawn
from syncnet.errors import PROBLEMS, RetryableError, SyncnetError
from syncnet.log.cluster.node import Node
from syncnet.testing.simulator.events import MS
from syncnet.testing.simulator.process import Process
from syncnet.testing.simulator.stream import SimulatedStream, StreamServer
from syncnet.wire.answers import aborted_problem, encode_problem, encode_sync, timed_out_problem

__all__ = ["Answer", "SimulatedNode", "SimulatedRequest"]

_TIMERS_EVERY_NS: Final = 100 * MS
_IDS_AT_ONCE: Final = 100
_LEAVE_S: Final = 1.0
"""For how long a node that is stopped waits until its last entries are delivered."""


class Answer(Protocol):
    """Gets the answer to a request, at the client."""

    def __call__(self, status: int, code: str, rank: str, body: str) -> None:
        """Take the answer; the status is 0 where the connection was lost."""


class SimulatedRequest:
    """A request of a client for an offer: a waiter."""

    def __init__(self, node: SimulatedNode, offer: Offer, answer: Answer) -> None:
        self.node: SimulatedNode = node
        self.offer: Offer = offer
        self.results_total: int = 0
        """How many results the coordinator gave it: one at most."""
        self.is_connected: bool = True
        self.has_arrived: bool = False
        self._answer = answer

    # --- what the coordinator calls (see Waiter) -----------------------------------------------------------

    def charge(self, steps: int) -> None:
        """Do nothing."""

    def synced(self, synced: Synced, rank: int) -> None:
        """Answer with a sync."""
        self._send(200, "", str(rank), encode_sync(synced))

    def ended(self, result: Result) -> None:
        """Answer with a problem."""
        if isinstance(result, TimedOut):
            code, body = "timed-out", timed_out_problem(result)
        elif isinstance(result, Aborted):
            code, body = "aborted", aborted_problem(result)
        elif isinstance(result, Withdrawn):
            code, body = "withdrawn", encode_problem("withdrawn", "the offer was withdrawn")
        elif isinstance(result, Refused):
            code, body = result.code, encode_problem(result.code, result.reason)
        elif isinstance(result, SyncnetError):
            code, body = result.code, encode_problem(result.code, str(result))
        else:
            raise TypeError(f"expected an end without a sync, got {result!r}")
        self._send(PROBLEMS[code].status, code, "", body)

    # --- the connection ------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Lose the connection, on the side of the client; the node learns of it some time later."""
        self.is_connected = False
        self.node.process.call(self.node.latency(), self._disconnected)

    def lose(self) -> None:
        """Lose the connection, because the process has ended."""
        if self.is_connected:
            self.is_connected = False
            self._answer(0, "", "", "")

    def _disconnected(self) -> None:
        if self.has_arrived and not self.results_total:
            self.node.coordinator.disconnect(self.offer, self)

    def _send(self, status: int, code: str, rank: str, body: bytes) -> None:
        self.results_total += 1
        self.node.requests.discard(self)
        self.node.events.note(f"{self.node.name} answers {self.offer.id}: {status} {code}")
        self.node.events.later(self.node.latency(), partial(self._receive, status, code, rank, body.decode()))

    def _receive(self, status: int, code: str, rank: str, body: str) -> None:
        if self.is_connected:
            self.is_connected = False
            self._answer(status, code, rank, body)


class _Requests:
    """The requests that a node has not answered, in the order in which they came."""

    def __init__(self) -> None:
        self._requests: dict[int, SimulatedRequest] = {}

    def add(self, request: SimulatedRequest) -> None:
        self._requests[id(request)] = request

    def discard(self, request: SimulatedRequest) -> None:
        self._requests.pop(id(request), None)

    def all(self) -> list[SimulatedRequest]:
        return list(self._requests.values())


class SimulatedNode:
    """A node of the simulated cluster, from the start of its process to its end."""

    def __init__(self, server: StreamServer, name: str, lease_s: float, snapshot_commands: int) -> None:
        self.name: str = name
        self.events = server.events
        self.process: Process = Process(server.events, name)
        self.stream: SimulatedStream = SimulatedStream(server, self.process)
        self.requests: _Requests = _Requests()
        self.all_requests: list[SimulatedRequest] = []
        self.is_leaving: bool = False
        self._ids = 0
        self.node: Node = Node(self.stream, self.process, lease_s, snapshot_commands=snapshot_commands)
        self.coordinator: ClusterCoordinator = ClusterCoordinator(
            self.node,
            time_ns=self.process.time_ns,
            monotonic_ns=self.process.monotonic_ns,
            new_ids=self._new_ids,
            timer_thread=False,
        )
        self.node.start()
        self._fire_timers()

    def latency(self) -> int:
        """Return how long a message between a client and this node takes."""
        return int(MS * self.events.random.expovariate(1.0))

    # --- what clients ask ----------------------------------------------------------------------------------

    def offer(self, offer: Offer, answer: Answer, *, named: bool) -> SimulatedRequest:
        """Send an offer to this node; the answer comes later."""
        request = SimulatedRequest(self, offer, answer)
        offer.waiter = request
        self.all_requests.append(request)
        self.requests.add(request)
        self.process.call(self.latency(), partial(self._offer, request, named))
        return request

    def withdraw(self, namespace: str, id: str, done: Callable[[int], None]) -> None:
        """Send a DELETE to this node; `done` gets the status, if any comes."""
        self.process.call(self.latency(), partial(self._withdraw, namespace, id, done))

    def abort(self, abort: Abort) -> None:
        """Send an abort to this node."""
        self.process.call(self.latency(), partial(self.coordinator.abort, abort, _ignore))

    def take_part(self, namespace: str) -> None:
        """Ask for the state of a namespace."""
        self.process.call(self.latency(), partial(self.coordinator.when_ready, namespace, _ignore))

    # --- what happens to it --------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        for request in self.requests.all():
            self.events.later(self.latency(), request.lose)

    def leave(self) -> None:
        """Stop as a server does on SIGTERM: withdraw its offers, wait for that a little, and end."""
        self.is_leaving = True
        self.process.call(0, self.coordinator.drain)
        self.process.call(0, self.coordinator.leave)
        self.process.later(_LEAVE_S, self._close)

    # --- inside --------------------------------------------------------------------------------------------

    def _close(self) -> None:
        self.coordinator.close()
        self.kill()

    def _offer(self, request: SimulatedRequest, named: bool) -> None:
        offer = request.offer
        if not named:
            offer.id = self.coordinator.new_id()
        offer.at_ns = self.coordinator.now_ns()
        if not request.is_connected:
            self.requests.discard(request)
            return
        request.has_arrived = True
        try:
            self.coordinator.offer(offer)
        except SyncnetError as error:
            waiter: Waiter = request
            waiter.ended(error)

    def _withdraw(self, namespace: str, id: str, done: Callable[[int], None]) -> None:
        self.coordinator.withdraw(namespace, id, partial(self._withdrawn, done))

    def _withdrawn(self, done: Callable[[int], None], result: Sequence[Remembered] | RetryableError) -> None:
        status = 503 if isinstance(result, RetryableError) else 204 if result else 404
        self.events.later(self.latency(), partial(done, status))

    def _fire_timers(self) -> None:
        self.coordinator.fire_due_timers()
        self.process.call(_TIMERS_EVERY_NS, self._fire_timers)

    def _new_ids(self) -> list[str]:
        self._ids += 1
        return [f"{self.name}.{self._ids}.{number}" for number in range(_IDS_AT_ONCE)]


def _ignore(_: object) -> None:
    """Do nothing with a result."""
