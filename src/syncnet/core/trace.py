"""The trace: the syncs of all namespaces in the order in which they happened, the latest so many of them.

It is bounded by number (`--trace-keep`) and by weight; the oldest are forgotten first. A sync keeps its number for
ever. Payloads are not kept, only their sizes: they may be large, secret, or objects that the program wants to release.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from syncnet.core.effects import Synced
from syncnet.core.limits import PAGE_BYTES_MAX, Limits

__all__ = ["Trace", "TracedMember", "TracedSync", "traced"]

TracedMember: TypeAlias = tuple[str, str, dict[str, str], int]
"""What the trace keeps of a member: id, actor, labels and the size of its payload in bytes."""


class TracedSync:
    """What the trace keeps of a sync; `members` are in order of arrival."""

    __slots__ = ("at_ns", "event", "members", "namespace", "sync", "weight_bytes")

    def __init__(
        self, at_ns: int, namespace: str, event: str, sync: int, members: list[TracedMember], weight_bytes: int
    ) -> None:
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.event: str = event
        self.sync: int = sync
        self.members: list[TracedMember] = members
        self.weight_bytes: int = weight_bytes

    def _key(self) -> tuple[object, ...]:
        return self.at_ns, self.namespace, self.event, self.sync, self.members, self.weight_bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TracedSync) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.namespace, self.sync))


def traced(synced: Synced) -> TracedSync:
    """Return what the trace keeps of a sync."""
    members: list[TracedMember] = []
    weight_bytes = 0
    for offer in synced.members:
        spec = offer.spec
        weight_bytes += spec.weight_bytes
        members += ((offer.id, spec.actor, spec.labels, offer.weight_bytes - spec.weight_bytes),)
    return TracedSync(synced.at_ns, synced.namespace, synced.event, synced.sync, members, weight_bytes)


class Trace:
    """The latest syncs of one machine."""

    def __init__(self, limits: Limits) -> None:
        self._syncs_max: int = limits.trace_syncs_max
        self._bytes_max: int = limits.trace_bytes_max
        self._syncs: deque[TracedSync] = deque()
        self._syncs_total = 0  # its length; to count is cheaper than to ask
        self._weight_bytes = 0

    def add(self, sync: TracedSync) -> None:
        """Put a sync at the end, and forget what is above the bounds."""
        self._syncs.append(sync)
        self._syncs_total += 1
        self._weight_bytes += sync.weight_bytes
        while self._syncs_total > self._syncs_max or self._weight_bytes > self._bytes_max:
            self._syncs_total -= 1
            self._weight_bytes -= self._syncs.popleft().weight_bytes

    def all(self) -> list[TracedSync]:
        """Return the syncs that are kept, the oldest first."""
        return list(self._syncs)

    def since(self, after: int) -> list[TracedSync]:
        """Return the syncs with numbers above `after`, the latest first, of a trace of one namespace."""
        found: list[TracedSync] = []
        for sync in reversed(self._syncs):
            if sync.sync <= after:
                break
            found.append(sync)
        return found

    def of(self, namespace: str, after: int, syncs_max: int) -> list[TracedSync]:
        """Return the syncs of a namespace with numbers above `after`, the oldest first.

        At most `syncs_max`, and so many that they weigh `PAGE_BYTES_MAX` or less, but at least one.
        """
        found: list[TracedSync] = []
        weight_bytes = 0
        for sync in self._syncs:
            if sync.sync > after and sync.namespace == namespace:
                weight_bytes += sync.weight_bytes
                if found and (len(found) == syncs_max or weight_bytes > PAGE_BYTES_MAX):
                    break
                found.append(sync)
        return found
