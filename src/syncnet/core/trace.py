"""The trace: the syncs of all namespaces in the order in which they happened, the latest so many of them.

Bounded by number (`--trace-keep`) and by weight; the eldest are forgotten first. A sync keeps its number for ever.

Payloads that are objects of the program are not kept, lest the trace keep them alive: nobody could say how large they
are. A sync of the lane is kept in brief, and written out when somebody asks for it: most syncs are forgotten unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from syncnet.core.effects import Synced
from syncnet.core.limits import Limits
from syncnet.core.terms import Pair, written_out

__all__ = ["Trace"]


@dataclass(slots=True)
class _Entry:
    synced: Synced
    weight_bytes: int


_PAIR_BYTES = 1_024  # about what a brief entry takes; its terms are shared


class Trace:
    """The latest syncs of one machine."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._syncs: deque[_Entry | Pair] = deque()
        self._weight_bytes = 0

    def add(self, synced: Synced, weight_bytes: int) -> None:
        """Put a sync, whose members weigh so much, at the end, and forget what is above the bounds."""
        for offer in synced.members:
            if type(offer.payload) is not bytes:
                synced = replace(synced, members=tuple(replace(each, payload=b"") for each in synced.members))
                break
        self._syncs.append(_Entry(synced, weight_bytes))
        self._weight_bytes += weight_bytes
        self._forget()

    def add_pairs(self, pairs: Iterable[Pair]) -> None:
        """Put syncs of the lane at the end, and forget what is above the bounds."""
        for pair in pairs:
            self._syncs.append(pair)
            self._weight_bytes += _PAIR_BYTES
        self._forget()

    def all(self) -> list[Synced]:
        """Return the syncs that are kept, the eldest first."""
        return [_synced(entry) for entry in self._syncs]

    def of(self, namespace: str, after: int, syncs_max: int) -> list[Synced]:
        """Return the syncs of a namespace whose numbers are above `after`, the eldest first, at most so many."""
        later = (entry for entry in self._syncs if _is_later(entry, namespace, after))
        return [_synced(entry) for entry in islice(later, syncs_max)]

    def _forget(self) -> None:
        limits = self._limits
        while len(self._syncs) > limits.trace_syncs_max or self._weight_bytes > limits.trace_bytes_max:
            eldest = self._syncs.popleft()
            self._weight_bytes -= eldest.weight_bytes if isinstance(eldest, _Entry) else _PAIR_BYTES


def _is_later(entry: _Entry | Pair, namespace: str, after: int) -> bool:
    if isinstance(entry, _Entry):
        return entry.synced.sync > after and entry.synced.namespace == namespace
    return entry[0] > after and entry[1].key[0] == namespace


def _synced(entry: _Entry | Pair) -> Synced:
    return entry.synced if isinstance(entry, _Entry) else written_out(entry)
