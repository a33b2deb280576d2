"""The trace: the syncs of all namespaces in the order in which they happened, the latest so many of them.

Bounded by number (`--trace-keep`) and by weight; the eldest are forgotten first. A sync keeps its number for ever.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from syncnet.core.effects import Synced
from syncnet.core.limits import Limits

__all__ = ["Trace"]


class Trace:
    """The latest syncs of one machine."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._syncs: deque[tuple[Synced, int]] = deque()
        self._weight_bytes = 0

    def add(self, synced: Synced, weight_bytes: int) -> None:
        """Put a sync, whose members weigh so much, at the end, and forget what is above the bounds."""
        self._syncs.append((synced, weight_bytes))
        self._weight_bytes += weight_bytes
        while len(self._syncs) > self._limits.trace_syncs_max or self._weight_bytes > self._limits.trace_bytes_max:
            self._weight_bytes -= self._syncs.popleft()[1]

    def all(self) -> list[Synced]:
        """Return the syncs that are kept, the eldest first."""
        return [synced for synced, _ in self._syncs]

    def of(self, namespace: str, after: int, syncs_max: int) -> list[Synced]:
        """Return the syncs of a namespace whose numbers are above `after`, the eldest first, at most so many."""
        later = (synced for synced, _ in self._syncs if synced.namespace == namespace and synced.sync > after)
        return list(islice(later, syncs_max))
