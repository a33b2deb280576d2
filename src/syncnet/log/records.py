"""Commands, outcomes, syncs of the trace and pending offers as bytes, for logs that keep them.

A record is a letter that says of what kind it is, and a list in MessagePack. The core's classes are plain ones, which
may be compiled, so the encoder does not see them: they are written as tuples, made here by hand, and read as structures
of the same fields, which are checked. A field that a record does not have takes its default, so that a later version
may add some at the end. Equal values have equal bytes. Knows nothing of files.

A record is bounded in bytes, because the encoder holds the interpreter's lock while it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final, TypeAlias

import msgspec

from syncnet.core.commands import Abort, Claim, Command, Expire, NodeLost, Offer, OfferSpec, Withdraw
from syncnet.core.departures import Departure, EventDepartures
from syncnet.core.effects import Aborted, Reason, Remembered, Synced, TimedOut, Withdrawn, offers_of
from syncnet.core.limits import MATES_UNBOUNDED, Limits
from syncnet.core.selectors import make_selector, not_actor
from syncnet.core.snapshot import NamespaceSnapshot
from syncnet.core.trace import TracedSync
from syncnet.errors import JournalError
from syncnet.log.record_types import (
    AbortedRecord,
    AbortRecord,
    ClaimRecord,
    CommandRecord,
    DepartureRow,
    EventDeparturesRecord,
    ExpireRecord,
    Head,
    NamespaceRecord,
    NodeLostRecord,
    OfferRecord,
    OutcomeRecord,
    PendingRecord,
    SyncedRecord,
    TimedOutRecord,
    TracedSyncRecord,
    WithdrawnRecord,
    WithdrawRecord,
)

__all__ = [
    "Head",
    "commands_from_record",
    "departures_from_record",
    "head_from_record",
    "is_of_departures",
    "limits_as_dict",
    "limits_from_dict",
    "namespaces_from_record",
    "outcomes_from_record",
    "record_of_head",
    "records_of_commands",
    "records_of_departures",
    "records_of_namespaces",
    "records_of_outcomes",
    "records_of_trace",
    "trace_from_record",
]

Row: TypeAlias = tuple[int, bytes]
"""The number of the first item of a record, and the record."""

_encode: Final = msgspec.msgpack.Encoder().encode
_RECORD_BYTES_MAX: Final = 1_048_576
"""Where a record ends, by the reckoning below; one item may be larger."""
_OFFER_BYTES: Final = 512
"""What an offer counts for, without its payload. It is above what most take, to bound the time of encoding, too."""
_DEPARTURE_BYTES: Final = 128
_DEFAULT_SELECTOR_BYTES: Final = not_actor("").weight_bytes

_COMMANDS: Final = msgspec.msgpack.Decoder(list[CommandRecord])
_OUTCOMES: Final = msgspec.msgpack.Decoder(list[OutcomeRecord])
_TRACE: Final = msgspec.msgpack.Decoder(list[TracedSyncRecord])
_NAMESPACES: Final = msgspec.msgpack.Decoder(list[NamespaceRecord])
_DEPARTURES: Final = msgspec.msgpack.Decoder(list[EventDeparturesRecord])
_HEAD: Final = msgspec.msgpack.Decoder(Head)

# --- to bytes ----------------------------------------------------------------------------------------------


def records_of_commands(first: int, commands: Iterable[Command]) -> list[Row]:
    """Return commands as records; `first` is the position of the first command."""
    return list(_rows(b"C", first, map(_from_command, commands)))


def records_of_outcomes(first: int, outcomes: Iterable[Remembered]) -> Iterator[Row]:
    """Yield outcomes as records; `first` is the number of the first outcome."""
    return _rows(b"O", first, map(_from_outcome, outcomes))


def records_of_trace(first: int, trace: Iterable[TracedSync]) -> Iterator[Row]:
    """Yield syncs of the trace as records; `first` is the number of the first sync."""
    return _rows(b"T", first, map(_from_traced, trace))


def records_of_namespaces(namespaces: Iterable[tuple[NamespaceSnapshot, Sequence[int]]]) -> Iterator[bytes]:
    """Yield namespaces as records; with each come the `asked` of its pending offers.

    A namespace that does not fit into one record is spread over several.
    """
    part: list[tuple[Any, ...]] = []
    size_bytes = 0
    for each, asked in namespaces:
        pending: list[tuple[Any, ...]] = []
        part.append((each.namespace, each.arrivals, each.syncs, each.exhausted, pending))
        size_bytes += _OFFER_BYTES
        for offer, times in zip(each.pending, asked, strict=True):
            if size_bytes > _RECORD_BYTES_MAX:
                yield b"N" + _encode(part)
                pending = []
                part = [(each.namespace, each.arrivals, each.syncs, each.exhausted, pending)]
                size_bytes = 0
            pending.append((_from_offer(offer), offer.arrival, times))
            size_bytes += _OFFER_BYTES + offer.payload_bytes
        if size_bytes > _RECORD_BYTES_MAX:
            yield b"N" + _encode(part)
            part = []
            size_bytes = 0
    if part:
        yield b"N" + _encode(part)


def records_of_departures(events: Iterable[EventDepartures]) -> Iterator[bytes]:
    """Yield as records who left each event."""
    for _, record in _rows(b"D", 1, map(_from_departures, events)):
        yield record


def record_of_head(head: Head) -> bytes:
    """Return the head of a snapshot as a record."""
    return b"H" + _encode(head)


def limits_as_dict(limits: Limits) -> dict[str, int]:
    """Return limits by name."""
    return {each.name: getattr(limits, each.name) for each in fields(limits)}


def _rows(letter: bytes, first: int, items: Iterable[tuple[tuple[Any, ...], int]]) -> Iterator[Row]:
    """Yield items, each with what it counts for, as records."""
    part: list[tuple[Any, ...]] = []
    size_bytes = 0
    for item, item_bytes in items:
        part.append(item)
        size_bytes += item_bytes
        if size_bytes > _RECORD_BYTES_MAX:
            yield first, letter + _encode(part)
            first += len(part)
            part = []
            size_bytes = 0
    if part:
        yield first, letter + _encode(part)


def _from_command(command: Command) -> tuple[tuple[Any, ...], int]:
    if isinstance(command, Offer):
        return _from_offer(command), _OFFER_BYTES + command.payload_bytes
    if isinstance(command, Withdraw):
        of_offer = (command.id, command.cause.value, command.made_ns, command.owner, command.asked)
        return (1, command.at_ns, command.namespace, *of_offer), _OFFER_BYTES
    if isinstance(command, Expire):
        return (2, command.at_ns, command.namespace, command.id, command.made_ns), _OFFER_BYTES
    if isinstance(command, NodeLost):
        return (4, command.at_ns, command.namespace, command.node, command.by), _OFFER_BYTES
    if isinstance(command, Claim):
        claim = (command.id, command.node, command.made_ns, command.asked)
        return (5, command.at_ns, command.namespace, *claim), _OFFER_BYTES
    words = (command.event, command.actor, command.id, command.by, command.reason)
    return (3, command.at_ns, command.namespace, *words), _OFFER_BYTES


def _from_outcome(outcome: Remembered) -> tuple[tuple[Any, ...], int]:
    size_bytes = 0
    for offer in offers_of(outcome):
        size_bytes += _OFFER_BYTES + offer.payload_bytes
    if isinstance(outcome, Synced):
        members = [_from_offer(offer) for offer in outcome.members]
        return (0, outcome.at_ns, outcome.namespace, outcome.event, outcome.sync, members), size_bytes
    ended = _from_offer(outcome.offer)
    if isinstance(outcome, TimedOut):
        who = (outcome.present, outcome.missing, outcome.missing_actors)
        reasons = [(each.actor, each.event, each.reason) for each in outcome.reasons]
        why = (_departure_rows(outcome.gave_up), outcome.never_came, reasons)
        return (1, outcome.at_ns, ended, *who, *why), size_bytes
    if isinstance(outcome, Aborted):
        return (2, outcome.at_ns, ended, outcome.by, outcome.reason), size_bytes
    return (3, outcome.at_ns, ended, outcome.cause.value), size_bytes


def _from_traced(sync: TracedSync) -> tuple[tuple[Any, ...], int]:
    item = (sync.at_ns, sync.namespace, sync.event, sync.sync, sync.members, sync.weight_bytes)
    return item, _OFFER_BYTES * len(sync.members)


def _from_departures(of_event: EventDepartures) -> tuple[tuple[Any, ...], int]:
    namespace, event, departures = of_event
    return (namespace, event, _departure_rows(departures)), _OFFER_BYTES + _DEPARTURE_BYTES * len(departures)


def _departure_rows(departures: Iterable[Departure]) -> list[DepartureRow]:
    return [(each.actor, each.how, each.at_ns, each.roster_key) for each in departures]


def _from_offer(offer: Offer) -> tuple[Any, ...]:
    spec = offer.spec
    selector = spec.selector
    requirements = selector.requirements
    # The weight is compared too: a client may have written what is the default, and that weighs something else.
    is_default = selector.weight_bytes == _DEFAULT_SELECTOR_BYTES and requirements == (("actor", True, (spec.actor,)),)
    record = (
        0,
        offer.id,
        offer.at_ns,
        offer.payload,
        offer.named,
        spec.namespace,
        spec.events,
        spec.actor,
        spec.mates,
        spec.roster,
        spec.labels,
        None if is_default else (requirements, selector.bounds),
        spec.timeout_ns,
        spec.linger_ns,
        spec.owner,
    )
    if offer.node:
        return (*record, spec.mates_most, offer.node)
    return record if spec.mates_most == MATES_UNBOUNDED else (*record, spec.mates_most)


# --- from bytes --------------------------------------------------------------------------------------------


def commands_from_record(record: bytes) -> list[Command]:
    """Return the commands of a record.

    :raises JournalError: it is no such record.
    """
    return [_to_command(each) for each in _decoded(b"C", _COMMANDS, record)]


def outcomes_from_record(record: bytes) -> list[Remembered]:
    """Return the outcomes of a record.

    :raises JournalError: it is no such record.
    """
    return [_to_outcome(each) for each in _decoded(b"O", _OUTCOMES, record)]


def trace_from_record(record: bytes) -> list[TracedSync]:
    """Return the syncs of the trace of a record.

    :raises JournalError: it is no such record.
    """
    return [
        TracedSync(each.at_ns, each.namespace, each.event, each.sync, each.members, each.weight_bytes)
        for each in _decoded(b"T", _TRACE, record)
    ]


def namespaces_from_record(record: bytes) -> list[NamespaceSnapshot]:
    """Return the namespaces of a record, each with those of its pending offers that are in it.

    :raises JournalError: it is no such record.
    """
    return [
        NamespaceSnapshot(
            each.namespace, each.arrivals, each.syncs, each.exhausted, tuple(map(_to_pending, each.pending))
        )
        for each in _decoded(b"N", _NAMESPACES, record)
    ]


def departures_from_record(record: bytes) -> list[EventDepartures]:
    """Return who left each event, of a record.

    :raises JournalError: it is no such record.
    """
    return [
        (each.namespace, each.event, tuple([Departure(*row) for row in each.departures]))
        for each in _decoded(b"D", _DEPARTURES, record)
    ]


def is_of_departures(record: bytes) -> bool:
    """Return whether a part of a snapshot says who left the events, not which offers are pending."""
    return record[:1] == b"D"


def head_from_record(record: bytes) -> Head:
    """Return the head of a snapshot.

    :raises JournalError: it is no such record.
    """
    head: Head = _decoded(b"H", _HEAD, record)
    return head


def limits_from_dict(values: dict[str, int]) -> Limits:
    """Return limits by name; one that is missing has its default, and one that is not known is left out."""
    known = {each.name for each in fields(Limits)}
    return Limits(**{name: value for name, value in values.items() if name in known})


def _decoded(letter: bytes, decoder: msgspec.msgpack.Decoder[Any], record: bytes) -> Any:
    try:
        if record[:1] != letter:
            raise JournalError(f"a record cannot be read: expected one of the kind {letter!r}, got {record[:1]!r}")
        return decoder.decode(memoryview(record)[1:])
    except (TypeError, msgspec.MsgspecError) as error:
        raise JournalError(f"a record cannot be read: {error!r}") from None


def _to_command(command: CommandRecord) -> Command:
    match command:
        case OfferRecord():
            return _to_offer(command)
        case WithdrawRecord(at_ns, namespace, id, cause, made_ns, owner, asked):
            return Withdraw(at_ns, namespace, id, cause, made_ns, owner, asked)
        case ExpireRecord(at_ns, namespace, id, made_ns):
            return Expire(at_ns, namespace, id, made_ns)
        case AbortRecord(at_ns, namespace, event, actor, id, by, reason):
            return Abort(at_ns, namespace, event, actor, id, by, reason)
        case NodeLostRecord(at_ns, namespace, node, by):
            return NodeLost(at_ns, namespace, node, by)
        case ClaimRecord(at_ns, namespace, id, node, made_ns, asked):
            return Claim(at_ns, namespace, id, node, made_ns, asked)


def _to_outcome(outcome: OutcomeRecord) -> Remembered:
    match outcome:
        case SyncedRecord(at_ns, namespace, event, sync, members):
            return Synced(at_ns, namespace, event, sync, tuple(map(_to_offer, members)))
        case TimedOutRecord(at_ns, offer, present, missing, missing_actors, left, never_came, reasons):
            gave_up = tuple([Departure(*row) for row in left])
            why = tuple([Reason(*row) for row in reasons])
            return TimedOut(at_ns, _to_offer(offer), present, missing, missing_actors, gave_up, never_came, why)
        case AbortedRecord(at_ns, offer, by, reason):
            return Aborted(at_ns, _to_offer(offer), by, reason)
        case WithdrawnRecord(at_ns, offer, cause):
            return Withdrawn(at_ns, _to_offer(offer), cause)


def _to_pending(pending: PendingRecord) -> Offer:
    offer = _to_offer(pending.offer)
    offer.arrival, offer.asked = pending.arrival, pending.asked
    return offer


def _to_offer(offer: OfferRecord) -> Offer:
    if offer.selector is None:
        selector = not_actor(offer.actor)
    else:
        requirements, bounds = offer.selector
        selector = make_selector(set(requirements), set(bounds))
    spec = OfferSpec(
        offer.namespace,
        offer.events,
        offer.actor,
        offer.mates,
        offer.roster,
        offer.labels,
        selector,
        offer.timeout_ns,
        offer.linger_ns,
        offer.owner,
        sum(map(len, offer.events)),
    )
    spec.mates_most = offer.mates_most
    made = Offer(spec, offer.id, offer.at_ns, offer.payload, len(offer.payload), offer.named)
    made.node = offer.node
    return made
