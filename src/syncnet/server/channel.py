"""The happenings of one namespace, numbered, kept for a while, and encoded once.

A channel numbers its happenings 1, 2, 3 … and keeps the latest. A position is the number of the latest happening that
a reader knows, and the epoch of the channel: a random word, because the numbers begin anew with each channel.

Laws

1. A happening is encoded when the first reader gets it, once. What nobody gets is never encoded.
2. A channel takes `_TAKEN_PER_S` happenings in a second, after a pause up to `KEPT_MAX` at once. Those above that are
   only counted: each gets a number, and a gap takes the place of all that were left out in a row.
3. What is kept is bounded. A reader that wants more than is kept gets a gap too, with how much it missed.

This module does not know HTTP and does no I/O. `put` and `take` are called under the coordinator's lock, all else is
used on the event loop only.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, NamedTuple

import msgspec

from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Pending, Synced
from syncnet.core.offer_list import first_offers
from syncnet.view.json_log import document

__all__ = ["CHUNK_BYTES_MAX", "FRAMINGS", "KEPT_MAX", "Channel", "Framing", "Happening", "Position", "parse_position"]

KEPT_MAX: Final = 10_000
"""Happenings that a channel keeps."""

_TAKEN_PER_S: Final = 2_000
"""Happenings that a channel takes in a second. To take, encode and send one costs some ten microseconds, so they use a
small share of the processor however long the load lasts, and a lone reader gets all that are taken."""

_REFILL_EVERY_S: Final = 1.0
"""How often a channel that has left something out takes happenings again: a reader gets few gaps, and long pieces of
what happened between them."""

_KEPT_BYTES_MAX: Final = 8_388_608

_HEAVY_BYTES: Final = 16_384  # an effect with more (of payloads) is encoded at once, which releases it

_LISTED_MAX: Final = 1_000  # pending offers at the start of a stream

CHUNK_BYTES_MAX: Final = 16_384
"""What a reader gets in one interval at most; a single happening may be larger."""

_EPOCH_BYTES: Final = 4

_POSITION: Final = re.compile(r"([0-9a-f]{8})\.([0-9]{1,19})")

_encode: Final = msgspec.json.Encoder().encode


class Position(NamedTuple):
    """What a reader knows: the happenings up to `number` of the channel with this epoch."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


def parse_position(text: str) -> Position:
    """Return the position that `str` of it gave.

    :raises ValueError: it is none.
    """
    match = _POSITION.fullmatch(text)
    if match is None:
        raise ValueError("expected a position such as 3f9a0c12.1042")
    return Position(match[1], int(match[2]))


class Happening:
    """One happening, encoded when that is first needed. It takes `numbers` of its channel: one."""

    __slots__ = ("_effect", "_encoded", "weight_bytes")
    numbers: ClassVar[int] = 1

    def __init__(self, effect: Effect) -> None:
        self._effect: Effect | None = effect
        self._encoded: tuple[str, bytes] | None = None
        if isinstance(effect, Synced):
            weight_bytes = 0
            for member in effect.members:
                weight_bytes += member.weight_bytes
        else:
            weight_bytes = effect.offer.weight_bytes
        self.weight_bytes: int = weight_bytes if weight_bytes <= _HEAVY_BYTES else len(self.encoded()[1])

    def encoded(self) -> tuple[str, bytes]:
        """Return its kind and its JSON object."""
        if self._encoded is None:
            assert self._effect is not None  # noqa: S101 - one of the two is always there
            self._encoded = _encoded(document(self._effect))
            self._effect = None
        return self._encoded


class _LeftOut:
    """The place of happenings that were only counted, in a row: `numbers` of them."""

    __slots__ = ("_encoded", "numbers")
    weight_bytes: ClassVar[int] = 0

    def __init__(self, namespace: str, numbers: int) -> None:
        self.numbers: int = numbers
        self._encoded = _gap(namespace, numbers)

    def encoded(self) -> tuple[str, bytes]:
        """Return the gap, as `Happening.encoded` does."""
        return self._encoded


class Framing(NamedTuple):
    """How a happening is written; `frame` gets the position (empty: the reader cannot resume here), kind and JSON."""

    media_type: str
    start: bytes
    heartbeat: bytes
    frame: Callable[[str, str, bytes], bytes]


def _as_sse(position: str, name: str, body: bytes) -> bytes:
    id = f"id: {position}\n" if position else ""
    return f"{id}event: {name}\ndata: ".encode() + _as_jsonl(position, name, body) + b"\n"


def _as_jsonl(position: str, _: str, body: bytes) -> bytes:
    return (f'{{"position":"{position}",'.encode() + body[1:] if position else body) + b"\n"


FRAMINGS: Final = {
    "sse": Framing("text/event-stream", b"retry: 2000\n\n", b":\n\n", _as_sse),
    "jsonl": Framing("application/jsonl", b"", b"\n", _as_jsonl),
}
"""The formats of a stream; the JSON objects are the same in both. A quiet `jsonl` stream gets empty lines."""


class Channel:
    """The happenings of one namespace, or of all (`ANY_NAMESPACE`)."""

    def __init__(self, namespace: str) -> None:
        self.namespace: Final[str] = namespace
        self.readers: int = 0
        self.left_s: float = 0.0
        """When its last reader left."""
        self.is_due: bool = False
        """Its readers are to be woken at the end of the interval."""
        self.kept: dict[int, Happening | _LeftOut] = {}
        """In order, by the first of their numbers."""
        self.kept_bytes: int = 0
        self._chunks: dict[tuple[Position, str, int], tuple[bytes, Position]] = {}
        self._opening: tuple[Position, list[tuple[str, bytes]]] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._epoch = secrets.token_hex(_EPOCH_BYTES)
        self._latest = 0
        self._oldest = 1  # the first number of the oldest that is kept, or will be
        self._queue: list[Effect] = []
        self._room = KEPT_MAX  # so many more may be put into the queue
        self._refilled_s = 0.0
        self._left_out = 0

    # --- under the coordinator's lock ----------------------------------------------------------------------

    def put(self, effect: Effect) -> None:
        """Put one happening into the queue, or count it where there is no room."""
        if self._room:
            self._room -= 1
            self._queue.append(effect)
        else:
            self._left_out += 1

    def take(self, now_s: float, *, is_whole: bool) -> tuple[list[Effect], int]:
        """Return what is in the queue, and how many happenings were left out after that.

        Those are returned once there is room again, so that they become one gap; with `is_whole` in any case.
        """
        queue, self._queue = self._queue, []
        left_out = 0
        passed_s = now_s - self._refilled_s
        is_time = passed_s >= _REFILL_EVERY_S
        if is_time or is_whole:
            left_out, self._left_out = self._left_out, 0
        if is_time:
            self._refilled_s = now_s
            self._room = min(KEPT_MAX, self._room + int(_TAKEN_PER_S * passed_s))
        return queue, left_out

    # --- what is kept --------------------------------------------------------------------------------------

    @property
    def is_leaving_out(self) -> bool:
        """Whether happenings were left out for which there is no gap yet."""
        return self._left_out > 0

    @property
    def latest(self) -> Position:
        """The position of a reader that knows all happenings."""
        return Position(self._epoch, self._latest)

    def add(self, happening: Happening | _LeftOut) -> None:
        """Add one happening, and forget what is above the bounds."""
        self.is_due = True
        self.kept[self._latest + 1] = happening
        self._latest += happening.numbers
        self.kept_bytes += happening.weight_bytes
        while len(self.kept) > KEPT_MAX or self.kept_bytes > _KEPT_BYTES_MAX:
            self.forget_oldest()

    def leave_out(self, happenings: int) -> None:
        """Add a gap in place of so many happenings."""
        self._opening = None  # a new reader is to begin after the gap
        self.add(_LeftOut(self.namespace, happenings))

    def forget_oldest(self) -> None:
        """Forget one happening."""
        oldest = self.kept.pop(self._oldest)
        self._oldest += oldest.numbers
        self.kept_bytes -= oldest.weight_bytes

    def missed(self, position: Position) -> int | None:
        """Return how many happenings after `position` are no longer kept; None: it is no position of this channel."""
        number = position.number
        if position.epoch != self._epoch or number > self._latest:
            return None
        if number < self._oldest - 1:
            return self._oldest - 1 - number
        return 0 if number == self._latest or number + 1 in self.kept else None  # in the midst of a gap there is none

    def read(self, position: Position, output: str, bytes_max: int) -> tuple[bytes, Position]:
        """Return what comes after a position, at most `bytes_max` (but at least one happening), and the new position.

        Where some of it is no longer kept, a gap says how many happenings were missed, and the latest follow.
        """
        if position == self.latest:
            return b"", position
        key = position, output, bytes_max
        if key not in self._chunks:
            self._chunks[key] = self._read(position, output, bytes_max)
        return self._chunks[key]

    def _read(self, position: Position, output: str, bytes_max: int) -> tuple[bytes, Position]:
        missed = self.missed(position)
        if missed == 0:
            return self._read_kept(position.number, output, bytes_max)
        frame = FRAMINGS[output].frame
        first, size = self._latest, 0
        for happening in reversed(self.kept.values()):
            if isinstance(happening, _LeftOut):  # this gap then covers it too
                break
            size += len(frame(f"{self._epoch}.{first}", *happening.encoded()))
            if size > bytes_max and first < self._latest:
                break
            first -= 1
        if missed is not None:
            missed = first - position.number
        data, after = self._read_kept(first, output, bytes_max)
        return self.gap(missed, output, Position(self._epoch, first)) + data, after

    def _read_kept(self, number: int, output: str, bytes_max: int) -> tuple[bytes, Position]:
        frame = FRAMINGS[output].frame
        parts: list[bytes] = []
        size = 0
        while number < self._latest:
            happening = self.kept[number + 1]
            after = number + happening.numbers
            part = frame(f"{self._epoch}.{after}", *happening.encoded())
            size += len(part)
            if parts and size > bytes_max:
                break
            parts.append(part)
            number = after
        return b"".join(parts), Position(self._epoch, number)

    def gap(self, missed: int | None, output: str, position: Position | None = None) -> bytes:
        """Return the gap for a reader that missed so many happenings; None: it is not known how many."""
        return FRAMINGS[output].frame(str(position or ""), *_gap(self.namespace, missed))

    def opening(self, output: str) -> tuple[list[bytes], Position] | None:
        """Return what a new reader gets first, in pieces, and its position; None where it must be made anew.

        An opening is used again for readers that come a little later: they then get what has happened since.
        """
        if self._opening is None:
            return None
        position, encoded = self._opening
        if self.missed(position) or self._latest - position.number > _LISTED_MAX:
            return None
        frame = FRAMINGS[output].frame
        last = len(encoded) - 1
        frames = [frame(str(position) if number == last else "", *each) for number, each in enumerate(encoded)]
        return list(_pieces(frames)), position

    def open(self, offers: list[Offer]) -> None:
        """Make an opening: what is pending at present, the oldest first.

        Only its last happening has a position, so that a reader whose connection is lost meanwhile starts again.
        """
        listed = [_encoded(document(Pending(offer))) for offer in first_offers(offers, _LISTED_MAX)]
        opening = {"happening": "open", "namespace": self.namespace, "pending": len(offers), "listed": len(listed)}
        self._opening = self.latest, [_encoded(opening), *listed]

    # --- waiting -------------------------------------------------------------------------------------------

    def news(self) -> asyncio.Future[None]:
        """Return what ends when there is something to read, or to look after."""
        news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        return news

    def notify(self) -> None:
        """Wake the readers."""
        self.is_due = False
        self._chunks.clear()
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


def _gap(namespace: str, missed: int | None) -> tuple[str, bytes]:
    return _encoded({"happening": "gap", "namespace": namespace, "missed": missed})


def _encoded(described: dict[str, object]) -> tuple[str, bytes]:
    return str(described["happening"]), _encode(described)


def _pieces(frames: list[bytes]) -> Iterator[bytes]:
    """Join frames to pieces of at most `CHUNK_BYTES_MAX`, unless a single one is larger."""
    piece: list[bytes] = []
    size = 0
    for frame in frames:
        if piece and size + len(frame) > CHUNK_BYTES_MAX:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(frame)
        size += len(frame)
    yield b"".join(piece)
