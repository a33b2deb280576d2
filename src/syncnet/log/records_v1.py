"""Records of journals of version 1, for reading only: MessagePack with the names of the fields.

In that version a record held one command, or the outcomes of one command, or a part of a snapshot. The structures here
mirror the classes of that time and are turned into those of today.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.core.commands import Abort, Cause, Command, Expire, Offer, OfferSpec, Withdraw
from syncnet.core.effects import Aborted, Remembered, Synced, TimedOut, Withdrawn
from syncnet.core.outcomes import is_named
from syncnet.core.selectors import Bound, Requirement, Selector, make_selector, not_actor
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.core.trace import traced
from syncnet.errors import JournalError
from syncnet.log.records import limits_from_dict

__all__ = ["SavedSnapshot", "command_from_record", "outcomes_from_record", "snapshot_from_records", "with_past"]


class _Requirement(msgspec.Struct):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class _Selector(msgspec.Struct):
    requirements: tuple[_Requirement, ...]


class _Offer(msgspec.Struct):
    at_ns: int
    namespace: str
    id: str
    events: tuple[str, ...]
    actor: str
    mates: int
    roster: tuple[str, ...]
    labels: dict[str, str]
    selector: _Selector
    payload: bytes
    timeout_ns: int | None
    linger_ns: int = 0
    named: bool = False
    owner: str = ""


class _Withdraw(msgspec.Struct):
    at_ns: int
    namespace: str
    id: str
    cause: Cause
    made_ns: int | None = None
    owner: str | None = None


class _Expire(msgspec.Struct):
    at_ns: int
    namespace: str
    id: str
    made_ns: int | None = None


class _Abort(msgspec.Struct):
    at_ns: int
    namespace: str
    event: str
    actor: str
    id: str
    by: str
    reason: str


class _Synced(msgspec.Struct):
    at_ns: int
    namespace: str
    event: str
    sync: int
    members: tuple[_Offer, ...]


class _TimedOut(msgspec.Struct):
    at_ns: int
    offer: _Offer
    present: tuple[str, ...]
    missing: int
    missing_actors: tuple[str, ...]


class _Aborted(msgspec.Struct):
    at_ns: int
    offer: _Offer
    by: str
    reason: str


class _Withdrawn(msgspec.Struct):
    at_ns: int
    offer: _Offer
    cause: Cause


class _Namespace(msgspec.Struct, array_like=True):
    namespace: str
    arrivals: int
    syncs: int
    misses: int
    standing: list[tuple[int, _Offer]]


class _Head(msgspec.Struct):
    position: int
    limits: dict[str, int]
    syncs_forgotten: int
    outcomes_kept: int
    trace_kept: int
    sha256: bytes


_COMMANDS: Final[dict[bytes, msgspec.msgpack.Decoder[Any]]] = {
    b"O": msgspec.msgpack.Decoder(_Offer),
    b"W": msgspec.msgpack.Decoder(_Withdraw),
    b"E": msgspec.msgpack.Decoder(_Expire),
    b"A": msgspec.msgpack.Decoder(_Abort),
}
_OUTCOMES: Final[dict[bytes, msgspec.msgpack.Decoder[Any]]] = {
    b"S": msgspec.msgpack.Decoder(list[_Synced]),
    b"T": msgspec.msgpack.Decoder(list[_TimedOut]),
    b"A": msgspec.msgpack.Decoder(list[_Aborted]),
    b"W": msgspec.msgpack.Decoder(list[_Withdrawn]),
}
_NAMESPACES: Final = msgspec.msgpack.Decoder(list[_Namespace])
_HEAD: Final = msgspec.msgpack.Decoder(_Head)


class SavedSnapshot(NamedTuple):
    """A snapshot without its outcomes and its trace, and how many of the latest of each belong to it."""

    position: int
    snapshot: Snapshot
    outcomes_kept: int
    trace_kept: int


def command_from_record(record: bytes) -> Command:
    """Return the command of a record.

    :raises JournalError: it is no such record.
    """
    command = _decoded(_COMMANDS, record)
    match command:
        case _Withdraw(at_ns, namespace, id, cause, made_ns, owner):
            return Withdraw(at_ns, namespace, id, cause, made_ns, owner)
        case _Expire(at_ns, namespace, id, made_ns):
            return Expire(at_ns, namespace, id, made_ns)
        case _Abort(at_ns, namespace, event, actor, id, by, reason):
            return Abort(at_ns, namespace, event, actor, id, by, reason)
        case _:
            return _to_offer(command)


def outcomes_from_record(record: bytes) -> list[Remembered]:
    """Return the outcomes of a record.

    :raises JournalError: it is no such record.
    """
    return [_to_outcome(outcome) for outcome in _decoded(_OUTCOMES, record)]


def snapshot_from_records(records: list[bytes]) -> SavedSnapshot:
    """Return the snapshot that `records` were made of.

    :raises JournalError: they are not those of one snapshot.
    """
    namespaces: dict[str, NamespaceSnapshot] = {}
    digest = sha256()
    try:
        head = _HEAD.decode(records[0])
        for part in records[1:]:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
            for each in _NAMESPACES.decode(part):
                before = namespaces.get(each.namespace)
                pending = (before.pending if before else ()) + tuple(map(_to_pending, each.standing))
                namespaces[each.namespace] = NamespaceSnapshot(
                    each.namespace, each.arrivals, each.syncs, each.misses, pending
                )
    except msgspec.MsgspecError as error:
        raise JournalError(f"its snapshot cannot be read: {error}") from None
    if digest.digest() != head.sha256:
        raise JournalError("its snapshot does not have the digest that it should have")
    snapshot = Snapshot(limits_from_dict(head.limits), head.syncs_forgotten, tuple(namespaces.values()), (), ())
    return SavedSnapshot(head.position, snapshot, head.outcomes_kept, head.trace_kept)


def with_past(saved: SavedSnapshot, ended: list[Remembered]) -> Snapshot:
    """Return a snapshot with the outcomes and the trace that belong to it: the latest so many of all that `ended`.

    :raises JournalError: some of them are not there.
    """
    named = [outcome for outcome in ended if is_named(outcome)]
    syncs = [outcome for outcome in ended if isinstance(outcome, Synced)]
    if len(named) < saved.outcomes_kept or len(syncs) < saved.trace_kept:
        raise JournalError("outcomes that belong to its snapshot are not there")
    return Snapshot(
        saved.snapshot.limits,
        saved.snapshot.syncs_forgotten,
        saved.snapshot.namespaces,
        tuple(named[len(named) - saved.outcomes_kept :]),
        tuple(map(traced, syncs[len(syncs) - saved.trace_kept :])),
    )


def _decoded(decoders: dict[bytes, msgspec.msgpack.Decoder[Any]], record: bytes) -> Any:
    try:
        return decoders[record[:1]].decode(memoryview(record)[1:])
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        raise JournalError(f"a record cannot be read: {error!r}") from None


def _to_outcome(outcome: _Synced | _TimedOut | _Aborted | _Withdrawn) -> Remembered:
    match outcome:
        case _Synced(at_ns, namespace, event, sync, members):
            return Synced(at_ns, namespace, event, sync, tuple(map(_to_offer, members)))
        case _TimedOut(at_ns, offer, present, missing, missing_actors):
            return TimedOut(at_ns, _to_offer(offer), present, missing, missing_actors)
        case _Aborted(at_ns, offer, by, reason):
            return Aborted(at_ns, _to_offer(offer), by, reason)
        case _Withdrawn(at_ns, offer, cause):
            return Withdrawn(at_ns, _to_offer(offer), cause)


def _to_pending(pending: tuple[int, _Offer]) -> Offer:
    offer = _to_offer(pending[1])
    offer.arrival = pending[0]
    return offer


def _to_offer(offer: _Offer) -> Offer:
    spec = OfferSpec(
        offer.namespace,
        offer.events,
        offer.actor,
        offer.mates,
        offer.roster,
        offer.labels,
        _to_selector(offer.selector.requirements, offer.actor),
        offer.timeout_ns,
        offer.linger_ns,
        offer.owner,
        sum(map(len, offer.events)),
    )
    return Offer(spec, offer.id, offer.at_ns, offer.payload, len(offer.payload), offer.named)


def _to_selector(parts: tuple[_Requirement, ...], actor: str) -> Selector:
    requirements: set[Requirement] = set()
    bounds: set[Bound] = set()
    for part in parts:
        match part.operator:
            case "=" | "in" | "!=" | "notin":
                values = tuple(sorted(set(part.values)))
                requirements.add((part.key, part.operator in ("!=", "notin"), values))
            case "exists" | "!":
                requirements.add((part.key, part.operator == "exists", (None,)))
            case "<" | ">":
                bounds.add((part.key, part.operator, int(part.values[0])))
            case other:
                raise JournalError(f"a record cannot be read: expected the operator of a selector, got {other!r}")
    selector, default = make_selector(requirements, bounds), not_actor(actor)
    return default if selector == default else selector
