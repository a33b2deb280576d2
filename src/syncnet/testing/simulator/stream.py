"""A simulated stream: what NATS JetStream does for a cluster, with everything that can go wrong on the way.

`StreamServer` is the replicated server: entries, snapshots, leases. `SimulatedStream` is the connection of one process
to it (a `Stream`). A request reaches the server or not, its answer reaches the process or not, and a request may reach
the server long after the process has given it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from syncnet.log.cluster.stream import Entry, Follower, Saved, StreamError
from syncnet.testing.simulator.events import MS, SECOND, Events
from syncnet.testing.simulator.process import EPOCH_NS, Process

__all__ = ["RequestFaults", "SimulatedStream", "StreamServer"]

_PUBLISH_NS: Final = 2 * SECOND
_REQUEST_NS: Final = 5 * SECOND


@dataclass
class RequestFaults:
    """How often what happens to a request."""

    lost: float = 0.0
    answer_lost: float = 0.0
    refused: float = 0.0
    late: float = 0.0
    """It reaches the server, perhaps long after the process has given it up."""


class StreamServer:
    """The server of the stream. It keeps what was purged in `archive`, for the checks after a run."""

    def __init__(self, events: Events, lease_ns: int, duplicates_ns: int, entry_bytes_max: int) -> None:
        self.events: Events = events
        self.entry_bytes_max: int = entry_bytes_max
        self.skew_ns: int = 0
        """By how much its clock is wrong."""
        self.faults: RequestFaults = RequestFaults()
        self.latency_ns: int = 2 * MS
        self.entries: dict[str, list[Entry]] = {}
        self.archive: dict[str, list[Entry]] = {}
        self.stored_ns: dict[int, int] = {}
        """The true time at which the entry of a position was stored."""
        self.leases: dict[str, int] = {}
        self.followings: list[_Following] = []
        self._lease_ns = lease_ns
        self._duplicates_ns = duplicates_ns
        self._ids: dict[str, int] = {}
        self._snapshots: dict[str, Saved] = {}
        self._position = 0
        self._revision = 0

    def store(self, namespace: str, entry_id: str, data: bytes) -> None:
        """Store an entry, unless one of that id was stored a short time before."""
        now_ns = self.events.now_ns
        before_ns = self._ids.get(entry_id)
        if before_ns is not None and now_ns - before_ns <= self._duplicates_ns:
            return
        self._ids[entry_id] = now_ns
        self._position += self.events.random.randint(1, 3)  # other namespaces have entries too
        entry = Entry(self._position, EPOCH_NS + now_ns + self.skew_ns, data)
        self.stored_ns[self._position] = now_ns
        self.entries.setdefault(namespace, []).append(entry)
        self.archive.setdefault(namespace, []).append(entry)
        self.events.note(f"stream stores {entry.position} {entry_id}")
        for following in list(self.followings):
            if following.namespace == namespace:
                following.push(entry)

    def load(self, namespace: str) -> Saved | None:
        """Return the snapshot of a namespace."""
        return self._snapshots.get(namespace)

    def save(self, namespace: str, data: bytes, revision: int) -> int:
        """Save a snapshot in place of another.

        :raises StreamError: it is not that one.
        """
        saved = self._snapshots.get(namespace)
        if revision != (saved.revision if saved else 0):
            raise StreamError("another snapshot was saved", is_certain=True)
        self._revision += 1
        self._snapshots[namespace] = Saved(self._revision, data)
        self.events.note(f"stream saves a snapshot of {namespace}: {self._revision}")
        return self._revision

    def purge(self, namespace: str, position: int) -> None:
        """Remove the entries before a position."""
        kept = [entry for entry in self.entries.get(namespace, []) if entry.position >= position]
        self.entries[namespace] = kept
        self.events.note(f"stream purges {namespace} up to {position}")

    def renew(self, node: str) -> None:
        """Renew a lease."""
        self.leases[node] = self.events.now_ns + self._lease_ns

    def release(self, node: str) -> None:
        """End a lease."""
        self.leases.pop(node, None)

    def nodes(self) -> frozenset[str]:
        """Return the nodes whose leases last."""
        return frozenset(name for name, until_ns in self.leases.items() if until_ns > self.events.now_ns)


class SimulatedStream:
    """The connection of a process to the server (a `Stream`)."""

    def __init__(self, server: StreamServer, process: Process) -> None:
        self.server: StreamServer = server
        self.process: Process = process
        self.is_up: bool = True
        """Whether messages pass; the process learns of it some time later."""
        self._is_connected = True
        self._cuts = 0

    @property
    def is_connected(self) -> bool:
        """Whether the server can be reached, as far as the process knows."""
        return self._is_connected

    @property
    def entry_bytes_max(self) -> int:
        """How long the data of an entry may be."""
        return self.server.entry_bytes_max

    def cut(self) -> None:
        """Let no message pass."""
        self.is_up = False
        self._cuts += 1
        self.process.call(self._events.between(0.5, 4), partial(self._notice, self._cuts))
        for following in self._own_followings():
            following.interrupt()

    def heal(self) -> None:
        """Let messages pass again."""
        if self.is_up:
            return
        self.is_up = True
        self._cuts += 1
        self.process.call(self._events.between(0, 1), self._reconnect)

    def restart_consumers(self) -> None:
        """Let all consumers begin anew with the last entry that they delivered."""
        for following in self._own_followings():
            following.interrupt()
            self.process.call(self._latency(), following.begin)

    # --- what the log calls (see Stream) -------------------------------------------------------------------

    def publish(self, namespace: str, entry_id: str, data: bytes, done: Callable[[StreamError | None], None]) -> None:
        """Store an entry."""
        self._request(partial(self.server.store, namespace, entry_id, data), done, _PUBLISH_NS, can_be_refused=True)

    def follow(self, namespace: str, position: int, follower: Follower) -> _Following:
        """Deliver the entries from `position` on."""
        following = _Following(self, namespace, position, follower)
        self.server.followings.append(following)
        self.process.call(self._latency(), following.begin)
        return following

    def load(self, namespace: str, done: Callable[[Saved | StreamError | None], None]) -> None:
        """Load the snapshot of a namespace."""
        self._request(partial(self.server.load, namespace), done, _REQUEST_NS)

    def save(self, namespace: str, data: bytes, revision: int, done: Callable[[int | StreamError], None]) -> None:
        """Save a snapshot."""
        self._request(partial(self.server.save, namespace, data, revision), done, _REQUEST_NS)

    def purge(self, namespace: str, position: int) -> None:
        """Remove the entries before `position`."""
        self._request(partial(self.server.purge, namespace, position), _ignore, _REQUEST_NS)

    def renew(self, node: str, done: Callable[[StreamError | None], None]) -> None:
        """Renew the lease of a node."""
        self._request(partial(self.server.renew, node), done, _REQUEST_NS)

    def release(self, node: str) -> None:
        """End the lease of a node."""
        self._request(partial(self.server.release, node), _ignore, _REQUEST_NS)

    def nodes(self, done: Callable[[frozenset[str] | StreamError], None]) -> None:
        """Return the nodes whose leases last."""
        self._request(self.server.nodes, done, _REQUEST_NS)

    # --- inside --------------------------------------------------------------------------------------------

    @property
    def _events(self) -> Events:
        return self.server.events

    def _own_followings(self) -> list[_Following]:
        return [each for each in self.server.followings if each.stream is self]

    def _latency(self) -> int:
        return int(self.server.latency_ns * self._events.random.expovariate(1.0))

    def _notice(self, cut: int) -> None:
        if cut == self._cuts:
            self._is_connected = False

    def _reconnect(self) -> None:
        self._is_connected = True
        for following in self._own_followings():
            self.process.call(self._latency(), following.begin)

    def _request(
        self, execute: Callable[[], Any], done: Callable[[Any], None], timeout_ns: int, *, can_be_refused: bool = False
    ) -> None:
        """Let the server execute something; `done` gets the result, or a `StreamError` when the timeout has passed."""
        request = _Request(self, execute, done)
        faults, events = self.server.faults, self._events
        self.process.call(timeout_ns, request.time_out)
        if not self.is_up or events.chance(faults.lost):
            return
        if can_be_refused and events.chance(faults.refused):
            self.process.call(self._latency(), request.refuse)
            return
        is_late = events.chance(faults.late)
        delay_ns = events.between(0, 8) if is_late else self._latency()
        events.later(delay_ns, partial(request.arrive, is_late=is_late))


class _Request:
    """A request on its way."""

    def __init__(self, stream: SimulatedStream, execute: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._stream = stream
        self._execute = execute
        self._done = done
        self._is_answered = False

    def arrive(self, *, is_late: bool) -> None:
        """Execute the request at the server, unless it is lost on the way."""
        stream = self._stream
        if not (stream.is_up or is_late):  # one that is late was sent before the connection was cut
            return
        try:
            result = self._execute()
        except StreamError as error:
            result = error
        events = stream.server.events
        if stream.is_up and not events.chance(stream.server.faults.answer_lost):
            stream.process.call(stream._latency(), partial(self._answer, result))

    def refuse(self) -> None:
        """Answer that the server did not execute it."""
        self._answer(StreamError("refused by the simulator", is_certain=True))

    def time_out(self) -> None:
        """Answer that nobody knows what happened."""
        self._answer(StreamError("no answer came in time"))

    def _answer(self, result: Any) -> None:
        if not self._is_answered:
            self._is_answered = True
            self._done(result)


class _Following:
    """The delivery of a namespace's entries to one process, in order, each after a delay of its own."""

    def __init__(self, stream: SimulatedStream, namespace: str, position: int, follower: Follower) -> None:
        self.stream: SimulatedStream = stream
        self.namespace: str = namespace
        self._position = position  # of the last entry that was delivered, or from which to begin
        self._follower = follower
        self._is_active = False
        self._is_stopped = False
        self._is_first = True
        self._has_caught_up = False
        self._begun = 0
        self._coming: list[Entry] = []
        self._is_delivering = False

    def stop(self) -> None:
        """Deliver no more entries."""
        self._is_stopped = True
        self.interrupt()
        if self in self.stream.server.followings:
            self.stream.server.followings.remove(self)

    def interrupt(self) -> None:
        """Lose what is on its way."""
        self._is_active = self._is_delivering = False
        self._begun += 1
        self._coming = []

    def begin(self) -> None:
        """Deliver what the server has from the last position on, and what comes later."""
        if self._is_active or self._is_stopped or not self.stream.is_up:
            return
        self._is_active, self._is_first = True, True
        entries = self.stream.server.entries.get(self.namespace, [])
        self._coming = [entry for entry in entries if entry.position >= self._position]
        if self._coming:
            self._deliver_soon()
        else:
            self._note_caught_up()

    def push(self, entry: Entry) -> None:
        """Deliver a new entry."""
        if self._is_active:
            self._coming.append(entry)
            self._deliver_soon()

    def _deliver_soon(self) -> None:
        if not self._is_delivering and self._coming:
            self._is_delivering = True
            self.stream.process.call(self.stream._latency(), partial(self._deliver, self._begun))

    def _deliver(self, begun: int) -> None:
        """Deliver some entries, those that came in one packet."""
        if begun != self._begun:
            return
        self._is_delivering = False
        for _ in range(self.stream.server.events.random.choice([1, 1, 3, 10])):
            if not self._coming or begun != self._begun:
                break
            entry = self._coming.pop(0)
            if self._is_first and self._position and entry.position != self._position:
                self.stop()
                self._follower.broken("entries were purged that this node had not applied")
                return
            self._is_first, self._position = False, entry.position
            self.stream.server.events.note(f"{self.stream.process.name} gets {self.namespace} {entry.position}")
            self._follower.entry(entry)
            if not self._coming and begun == self._begun:
                self._note_caught_up()
        self._deliver_soon()

    def _note_caught_up(self) -> None:
        if not self._has_caught_up:
            self._has_caught_up = True
            self._follower.caught_up()


def _ignore(_: object) -> None:
    """Do nothing with a result."""
