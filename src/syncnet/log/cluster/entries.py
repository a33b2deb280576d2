"""Entries and snapshots of a cluster's log as bytes. Both begin with the version of their format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from syncnet.core.commands import Command
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.errors import ClusterError, JournalError
from syncnet.log.records import (
    commands_from_record,
    departures_from_record,
    is_of_departures,
    limits_as_dict,
    limits_from_dict,
    namespaces_from_record,
    outcomes_from_record,
    records_of_commands,
    records_of_departures,
    records_of_namespaces,
    records_of_outcomes,
    records_of_trace,
    trace_from_record,
)

__all__ = ["Message", "State", "commands_of", "message_from", "message_of", "snapshot_of", "state_from", "state_of"]

_VERSION: Final = 1

_T = TypeVar("_T", "Message", "State")


class Message(msgspec.Struct, array_like=True):
    """What an entry holds: the commands of one node, and what it says of itself.

    `batch` numbers the entries of the node in its namespace, upwards. `position` is that of the last entry which the
    node had applied, `digest` that of its state then, and `saved` the position of the last snapshot that it knows.
    """

    version: int
    node: str
    batch: int
    position: int
    digest: bytes
    saved: int
    commands: list[bytes]


class State(msgspec.Struct):
    """The state of a namespace after the entry at `position`: what a snapshot holds.

    `at_ns` is the time of that entry. `batches` has the number of the last entry of each node, and `lost` the time when
    each lost node was lost. `older` are the positions and times of earlier snapshots, `parts` the records of the state.
    """

    version: int
    position: int
    at_ns: int
    digest: bytes
    batches: dict[str, int]
    lost: dict[str, int]
    older: list[tuple[int, int]]
    limits: dict[str, int]
    syncs_forgotten: int
    parts: list[bytes]


_encode: Final = msgspec.msgpack.Encoder().encode
_MESSAGE: Final = msgspec.msgpack.Decoder(Message)
_STATE: Final = msgspec.msgpack.Decoder(State)


def message_of(node: str, batch: int, position: int, digest: bytes, saved: int, commands: Sequence[Command]) -> bytes:
    """Return an entry."""
    records = [record for _, record in records_of_commands(1, commands)]
    return _encode(Message(_VERSION, node, batch, position, digest, saved, records))


def message_from(data: bytes) -> Message:
    """Return what an entry holds.

    :raises ClusterError: it cannot be read, or is of another version.
    """
    return _decoded(_MESSAGE, data)


def commands_of(message: Message) -> list[Command]:
    """Return the commands of an entry.

    :raises ClusterError: they cannot be read.
    """
    try:
        return [command for record in message.commands for command in commands_from_record(record)]
    except JournalError as error:
        raise ClusterError(f"an entry of the log cannot be read: {error}") from None


def state_of(
    position: int,
    at_ns: int,
    digest: bytes,
    batches: dict[str, int],
    lost: dict[str, int],
    older: list[tuple[int, int]],
    snapshot: Snapshot,
) -> bytes:
    """Return the state of a namespace as bytes."""
    namespaces = [(each, [offer.asked for offer in each.pending]) for each in snapshot.namespaces]
    parts = list(records_of_namespaces(namespaces))
    parts += records_of_departures(snapshot.departures)
    parts += [record for _, record in records_of_outcomes(1, snapshot.outcomes)]
    parts += [record for _, record in records_of_trace(1, snapshot.trace)]
    limits = limits_as_dict(snapshot.limits)
    return _encode(
        State(_VERSION, position, at_ns, digest, batches, lost, older, limits, snapshot.syncs_forgotten, parts)
    )


def state_from(data: bytes) -> State:
    """Return the state of a namespace.

    :raises ClusterError: it cannot be read, or is of another version.
    """
    return _decoded(_STATE, data)


def snapshot_of(state: State) -> Snapshot:
    """Return the state of the machine.

    :raises ClusterError: it cannot be read.
    """
    namespaces: dict[str, NamespaceSnapshot] = {}
    departures, outcomes, trace = [], [], []
    try:
        for part in state.parts:
            if part[:1] == b"N":
                for each in namespaces_from_record(part):
                    before = namespaces.get(each.namespace)
                    pending = (before.pending if before else ()) + each.pending
                    namespaces[each.namespace] = NamespaceSnapshot(
                        each.namespace, each.arrivals, each.syncs, each.exhausted, pending
                    )
            elif is_of_departures(part):
                departures += departures_from_record(part)
            elif part[:1] == b"O":
                outcomes += outcomes_from_record(part)
            else:
                trace += trace_from_record(part)
    except JournalError as error:
        raise ClusterError(f"a snapshot cannot be read: {error}") from None
    limits = limits_from_dict(state.limits)
    past = tuple(outcomes), tuple(trace), tuple(departures)
    return Snapshot(limits, state.syncs_forgotten, tuple(namespaces.values()), *past)


def _decoded(decoder: msgspec.msgpack.Decoder[_T], data: bytes) -> _T:
    try:
        decoded = decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ClusterError(f"the log of the cluster cannot be read: {error}") from None
    if decoded.version != _VERSION:
        raise ClusterError(
            f"the log of the cluster has version {decoded.version}, and this server reads version {_VERSION}"
        )
    return decoded
