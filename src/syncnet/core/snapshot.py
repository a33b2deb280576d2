"""The state of a machine as a value: what a log keeps so that it need not be replayed from the beginning.

Equal machines have equal snapshots, and a machine that was made of a snapshot goes on as the other would have.
How a snapshot becomes bytes is the matter of the logs.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncnet.core.commands import Offer
from syncnet.core.effects import Remembered, Synced
from syncnet.core.limits import Limits

__all__ = ["NamespaceSnapshot", "Snapshot"]


@dataclass(frozen=True, slots=True)
class NamespaceSnapshot:
    """One namespace: its counters, and its pending offers with their arrival numbers, by arrival."""

    namespace: str
    arrivals: int
    syncs: int
    misses: int
    standing: tuple[tuple[int, Offer], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a machine knows; every tuple has the eldest first.

    `limits` are those under which it came about: a machine with others would have decided otherwise.
    `syncs_forgotten` is the highest number of a sync in a namespace that was forgotten.
    """

    limits: Limits
    syncs_forgotten: int
    worlds: tuple[NamespaceSnapshot, ...]
    outcomes: tuple[Remembered, ...]
    trace: tuple[Synced, ...]
