"""Commands, outcomes and snapshots as bytes, for logs that keep them: MessagePack, with the names of the fields.

A record begins with a letter that says of what kind it is. A field that a record does not have takes its default, so
that a later version may add some. Equal values have equal bytes. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.core.commands import Abort, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Aborted, Effect, Remembered, Synced, TimedOut, Withdrawn
from syncnet.core.limits import Limits
from syncnet.core.outcomes import is_kept
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.errors import JournalError

__all__ = [
    "SavedSnapshot",
    "command_from_record",
    "outcomes_from_record",
    "record_of_command",
    "record_of_outcomes",
    "records_of_snapshot",
    "snapshot_from_records",
]

_encode: Final = msgspec.msgpack.Encoder().encode
_COMMANDS: Final[dict[bytes, type[Any]]] = {b"O": Offer, b"W": Withdraw, b"E": Expire, b"A": Abort}
_OUTCOMES: Final[dict[bytes, type[Any]]] = {b"S": Synced, b"T": TimedOut, b"A": Aborted, b"W": Withdrawn}
_COMMAND_LETTERS: Final = {kind: letter for letter, kind in _COMMANDS.items()}
_OUTCOME_LETTERS: Final = {kind: letter for letter, kind in _OUTCOMES.items()}
_COMMAND_DECODERS: Final = {letter: msgspec.msgpack.Decoder(kind) for letter, kind in _COMMANDS.items()}
_OUTCOME_DECODERS: Final[dict[bytes, msgspec.msgpack.Decoder[Any]]] = {
    b"S": msgspec.msgpack.Decoder(list[Synced]),
    b"T": msgspec.msgpack.Decoder(list[TimedOut]),
    b"A": msgspec.msgpack.Decoder(list[Aborted]),
    b"W": msgspec.msgpack.Decoder(list[Withdrawn]),
}
_OFFERS_PER_RECORD: Final = 1_000  # encoded at one go, while no other thread can work


def record_of_command(command: Command) -> bytes:
    """Return a command as bytes."""
    return _COMMAND_LETTERS[type(command)] + _encode(command)


def command_from_record(record: bytes) -> Command:
    """Return the command that was made into `record`.

    :raises JournalError: it is no such record.
    """
    command: Command = _decoded(_COMMAND_DECODERS, record)
    return command


def record_of_outcomes(effects: Iterable[Effect]) -> bytes | None:
    """Return what is to be kept of the effects of one command, as bytes; None where nothing is."""
    outcomes = [effect for effect in effects if is_kept(effect)]
    return _OUTCOME_LETTERS[type(outcomes[0])] + _encode(outcomes) if outcomes else None


def outcomes_from_record(record: bytes) -> list[Remembered]:
    """Return the outcomes that were made into `record`.

    :raises JournalError: it is no such record.
    """
    outcomes: list[Remembered] = _decoded(_OUTCOME_DECODERS, record)
    return outcomes


class _World(msgspec.Struct, array_like=True):
    namespace: str
    arrivals: int
    syncs: int
    misses: int
    standing: list[tuple[int, Offer]]


class _Head(msgspec.Struct):
    """The first record of a snapshot; `sha256` is the digest of the others.

    Outcomes and trace are kept elsewhere, each record for itself; here is only how many of the latest were remembered.
    """

    position: int
    limits: Limits
    syncs_forgotten: int
    outcomes_kept: int
    trace_kept: int
    sha256: bytes


_WORLDS: Final = msgspec.msgpack.Decoder(list[_World])
_HEAD: Final = msgspec.msgpack.Decoder(_Head)


class SavedSnapshot(NamedTuple):
    """A snapshot without its outcomes and its trace, and how many of the latest of each belong to it."""

    position: int
    snapshot: Snapshot
    outcomes_kept: int
    trace_kept: int


def records_of_snapshot(position: int, snapshot: Snapshot) -> list[bytes]:
    """Return a snapshot, without its outcomes and its trace, as records of bounded size; the first has the digest.

    `position` is that of the last command in it.
    """
    parts = [_encode(part) for part in _parts(snapshot.worlds)]
    head = _Head(
        position,
        snapshot.limits,
        snapshot.syncs_forgotten,
        len(snapshot.outcomes),
        len(snapshot.trace),
        _digest(parts),
    )
    return [_encode(head), *parts]


def snapshot_from_records(records: list[bytes]) -> SavedSnapshot:
    """Return the snapshot that `records` were made of.

    :raises JournalError: they are not those of one snapshot.
    """
    worlds: dict[str, NamespaceSnapshot] = {}
    try:
        head = _HEAD.decode(records[0])
        for part in records[1:]:
            for world in _WORLDS.decode(part):
                before = worlds.get(world.namespace)
                standing = (before.standing if before else ()) + tuple(world.standing)
                worlds[world.namespace] = NamespaceSnapshot(
                    world.namespace, world.arrivals, world.syncs, world.misses, standing
                )
    except msgspec.MsgspecError as error:
        raise JournalError(f"its snapshot cannot be read: {error}") from None
    if _digest(records[1:]) != head.sha256:
        raise JournalError("its snapshot does not have the digest that it should have")
    snapshot = Snapshot(head.limits, head.syncs_forgotten, tuple(worlds.values()), (), ())
    return SavedSnapshot(head.position, snapshot, head.outcomes_kept, head.trace_kept)


def _parts(worlds: tuple[NamespaceSnapshot, ...]) -> Iterator[list[_World]]:
    """Yield the worlds in parts of so many offers; a world with more of them is spread over several."""
    part: list[_World] = []
    room = _OFFERS_PER_RECORD
    for world in worlds:
        offers = iter(world.standing)
        while True:
            some = list(islice(offers, room))
            part.append(_World(world.namespace, world.arrivals, world.syncs, world.misses, some))
            room -= len(some) + 1
            if room > 0:
                break
            yield part
            part, room = [], _OFFERS_PER_RECORD
    if part:
        yield part


def _digest(parts: list[bytes]) -> bytes:
    whole = sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big"))
        whole.update(part)
    return whole.digest()


def _decoded(decoders: dict[bytes, Any], record: bytes) -> Any:
    try:
        return decoders[record[:1]].decode(memoryview(record)[1:])
    except (KeyError, msgspec.MsgspecError) as error:
        raise JournalError(f"a record cannot be read: {error!r}") from None
