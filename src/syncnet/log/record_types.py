"""What the records of a log hold, as the decoder checks it. `records.py` has the way from and to the core's classes.

A field that a record does not have takes its default, so that a later version may add some at the end.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from syncnet.core.commands import Cause
from syncnet.core.limits import MATES_UNBOUNDED
from syncnet.core.selectors import Bound, Requirement
from syncnet.core.trace import TracedMember

__all__ = [
    "AbortRecord",
    "AbortedRecord",
    "ClaimRecord",
    "CommandRecord",
    "DepartureRow",
    "EventDeparturesRecord",
    "ExpireRecord",
    "Head",
    "NamespaceRecord",
    "NodeLostRecord",
    "OfferRecord",
    "OutcomeRecord",
    "PendingRecord",
    "SyncedRecord",
    "TimedOutRecord",
    "TracedSyncRecord",
    "WithdrawRecord",
    "WithdrawnRecord",
]

DepartureRow: TypeAlias = tuple[str, str, int, bytes]


class OfferRecord(msgspec.Struct, array_like=True, tag=0):
    """An offer; `selector` is None for the default one."""

    id: str
    at_ns: int
    payload: bytes
    named: bool
    namespace: str
    events: tuple[str, ...]
    actor: str
    mates: int
    roster: tuple[str, ...]
    labels: dict[str, str]
    selector: tuple[list[Requirement], list[Bound]] | None
    timeout_ns: int | None
    linger_ns: int
    owner: str
    mates_most: int = MATES_UNBOUNDED
    node: str = ""


class WithdrawRecord(msgspec.Struct, array_like=True, tag=1):
    """A `Withdraw`."""

    at_ns: int
    namespace: str
    id: str
    cause: Cause
    made_ns: int | None
    owner: str | None
    asked: int | None


class ExpireRecord(msgspec.Struct, array_like=True, tag=2):
    """An `Expire`."""

    at_ns: int
    namespace: str
    id: str
    made_ns: int | None


class AbortRecord(msgspec.Struct, array_like=True, tag=3):
    """An `Abort`."""

    at_ns: int
    namespace: str
    event: str
    actor: str
    id: str
    by: str
    reason: str


class NodeLostRecord(msgspec.Struct, array_like=True, tag=4):
    """A `NodeLost`."""

    at_ns: int
    namespace: str
    node: str
    by: str


class ClaimRecord(msgspec.Struct, array_like=True, tag=5):
    """A `Claim`."""

    at_ns: int
    namespace: str
    id: str
    node: str
    made_ns: int
    asked: int


class SyncedRecord(msgspec.Struct, array_like=True, tag=0):
    """A `Synced`."""

    at_ns: int
    namespace: str
    event: str
    sync: int
    members: list[OfferRecord]


class TimedOutRecord(msgspec.Struct, array_like=True, tag=1):
    """A `TimedOut`."""

    at_ns: int
    offer: OfferRecord
    present: tuple[str, ...]
    missing: int
    missing_actors: tuple[str, ...]
    gave_up: tuple[DepartureRow, ...] = ()
    never_came: tuple[str, ...] = ()
    reasons: tuple[tuple[str, str, str], ...] = ()


class AbortedRecord(msgspec.Struct, array_like=True, tag=2):
    """An `Aborted`."""

    at_ns: int
    offer: OfferRecord
    by: str
    reason: str


class WithdrawnRecord(msgspec.Struct, array_like=True, tag=3):
    """A `Withdrawn`."""

    at_ns: int
    offer: OfferRecord
    cause: Cause


class EventDeparturesRecord(msgspec.Struct, array_like=True):
    """The departures of one event."""

    namespace: str
    event: str
    departures: list[DepartureRow]


class TracedSyncRecord(msgspec.Struct, array_like=True):
    """A `TracedSync`."""

    at_ns: int
    namespace: str
    event: str
    sync: int
    members: list[TracedMember]
    weight_bytes: int


class PendingRecord(msgspec.Struct, array_like=True):
    """A pending offer, with what changes of it."""

    offer: OfferRecord
    arrival: int
    asked: int


class NamespaceRecord(msgspec.Struct, array_like=True):
    """A namespace, with all or some of its pending offers."""

    namespace: str
    arrivals: int
    syncs: int
    exhausted: int
    pending: list[PendingRecord]


class Head(msgspec.Struct):
    """The head of a snapshot, which says what belongs to it.

    `position` is that of the last command in it. `parts_first` and `parts_last` are the numbers of the records that
    hold its namespaces, and `sha256` is their digest. Of the outcomes that were ever kept `outcomes_last` were counted
    until then, and the latest `outcomes_kept` belong to it; likewise of the syncs of the trace. `journal` is the id of
    the journal, empty in one of an earlier version, and `digest` that of the commands up to `position`
    (`last_commit.py`).
    """

    position: int = 0
    limits: dict[str, int] = {}
    syncs_forgotten: int = 0
    parts_first: int = 1
    parts_last: int = 0
    sha256: bytes = b""
    outcomes_last: int = 0
    outcomes_kept: int = 0
    trace_last: int = 0
    trace_kept: int = 0
    journal: bytes = b""
    digest: bytes = b""


CommandRecord: TypeAlias = OfferRecord | WithdrawRecord | ExpireRecord | AbortRecord | NodeLostRecord | ClaimRecord
OutcomeRecord: TypeAlias = SyncedRecord | TimedOutRecord | AbortedRecord | WithdrawnRecord
