"""What the log of a cluster needs of a replicated stream, and of the event loop.

All methods return at once. Callbacks are called later, one at a time, on the thread of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["Entry", "Follower", "Following", "Saved", "Scheduler", "Stream", "StreamError"]


class StreamError(Exception):
    """A call of the stream failed. `is_certain` says that it is known to have had no effect."""

    def __init__(self, message: str, *, is_certain: bool = False) -> None:
        super().__init__(message)
        self.is_certain = is_certain


class Entry(NamedTuple):
    """One entry of the stream. `position` grows from entry to entry, with gaps; `at_ns` is when it was stored."""

    position: int
    at_ns: int
    data: bytes


class Saved(NamedTuple):
    """A snapshot that was saved; `revision` names it when it is to be replaced."""

    revision: int
    data: bytes


class Follower(Protocol):
    """Gets the entries of a namespace, in order."""

    def entry(self, entry: Entry) -> None:
        """Take the next entry; one may come twice."""

    def caught_up(self) -> None:
        """Note that all entries have come that were there when the following began."""

    def broken(self, reason: str) -> None:
        """Note that no more entries come: some that should come next were purged."""


class Following(Protocol):
    """The delivery of a namespace's entries."""

    def stop(self) -> None:
        """Deliver no more entries."""


class Stream(Protocol):
    """A replicated stream of entries, with one order for each namespace, and a store of snapshots and leases."""

    @property
    def is_connected(self) -> bool:
        """Whether the stream can be reached, as far as is known."""

    @property
    def entry_bytes_max(self) -> int:
        """How long the data of an entry may be."""

    def publish(self, namespace: str, entry_id: str, data: bytes, done: Callable[[StreamError | None], None]) -> None:
        """Store an entry, unless one of that id was stored some time before."""

    def follow(self, namespace: str, position: int, follower: Follower) -> Following:
        """Deliver the entries from `position` on, the one at `position` included; from the first one with 0.

        Where the entry at `position` is not the first to come, entries were purged, and `follower` is broken.
        """

    def load(self, namespace: str, done: Callable[[Saved | StreamError | None], None]) -> None:
        """Load the snapshot of a namespace; None: there is none."""

    def save(self, namespace: str, data: bytes, revision: int, done: Callable[[int | StreamError], None]) -> None:
        """Save a snapshot in place of the one of that revision (0: there was none); `done` gets the new revision."""

    def purge(self, namespace: str, position: int) -> None:
        """Remove the entries before `position`; it does not matter whether that succeeds."""

    def renew(self, node: str, done: Callable[[StreamError | None], None]) -> None:
        """Renew the lease of a node."""

    def release(self, node: str) -> None:
        """End the lease of a node."""

    def nodes(self, done: Callable[[frozenset[str] | StreamError], None]) -> None:
        """Return the nodes whose leases last."""


class Scheduler(Protocol):
    """The event loop and the clocks."""

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function soon, on the thread of the loop; any thread may ask for it."""

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function after a delay, on the thread of the loop, where this is called."""

    def monotonic_ns(self) -> int:
        """Return the time of a clock that is never set."""

    def time_ns(self) -> int:
        """Return the time, in nanoseconds since the Unix epoch."""

    def new_name(self) -> str:
        """Return a name for a node that no other has."""
