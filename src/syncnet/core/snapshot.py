"""The state of a machine as a value: what a log keeps so that it need not be replayed from the beginning.

Equal machines have equal snapshots, and a machine that was restored from a snapshot continues as the original does.
The logs turn snapshots into bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncnet.core.commands import Offer
from syncnet.core.departures import EventDepartures
from syncnet.core.effects import Remembered
from syncnet.core.limits import Limits
from syncnet.core.trace import TracedSync

__all__ = ["NamespaceSnapshot", "Snapshot"]


@dataclass(frozen=True)
class NamespaceSnapshot:
    """One namespace: its counters, and its pending offers by arrival."""

    namespace: str
    arrivals: int
    syncs: int
    exhausted: int
    pending: tuple[Offer, ...]


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a machine; every tuple has the oldest first.

    `limits` are those under which it was decided; with other limits the decisions could have been different.
    `syncs_forgotten` is the highest number of a sync in a namespace that was forgotten.
    """

    limits: Limits
    syncs_forgotten: int
    namespaces: tuple[NamespaceSnapshot, ...]
    outcomes: tuple[Remembered, ...]
    trace: tuple[TracedSync, ...]
    departures: tuple[EventDepartures, ...] = ()
