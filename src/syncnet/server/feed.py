"""What happens, for those who read it live: numbered, kept for a while, and encoded once.

The feed is an observer of the coordinator while somebody reads, and for a minute after the last reader, so that one who
lost the connection can continue. It has a channel for each namespace that is read, and one for all of them together.
A channel numbers its happenings 1, 2, 3 … and keeps the latest. A position is the number of the latest happening that
a reader knows, and the epoch of the channel: a random word, because the numbers begin anew with each channel.

Laws

1. Under the coordinator's lock an effect is only put into a queue. All else is done on the event loop.
2. A happening is encoded when the first reader gets it, once. What nobody gets is never encoded.
3. What is kept is bounded, whatever readers do. A reader that wants more than is kept is told how much it missed.
4. The loop is woken at most once in `interval_s`. With more readers the intervals are longer and the shares smaller, so
   that all of them together get at most `_SENT_BYTES_PER_S`.

This module does not know HTTP and does no I/O; `streams.py` does.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Pending, Synced
from syncnet.core.limits import PAGE_BYTES_MAX
from syncnet.server.access import ANY_NAMESPACE
from syncnet.view.json_log import document

__all__ = [
    "BEAT_S",
    "CHUNK_BYTES_MAX",
    "FRAMINGS",
    "KEPT_MAX",
    "QUIET_S_MAX",
    "Channel",
    "Feed",
    "Framing",
    "Happening",
    "Position",
    "parse_position",
]

KEPT_MAX: Final = 10_000
"""Happenings that a channel keeps."""

_KEPT_BYTES_MAX: Final = 8_388_608
_KEPT_BYTES_IN_ALL_MAX: Final = 67_108_864
_HEAVY_BYTES: Final = 16_384  # an effect with more (of payloads) is encoded at once, which releases it
_QUEUED_MAX: Final = 50_000  # more than come in an interval
_LISTED_MAX: Final = 1_000  # pending offers at the start of a stream

CHUNK_BYTES_MAX: Final = 65_536
"""What a reader gets at once; a single happening may be larger."""

_CHUNK_BYTES_MIN: Final = 2_048
_SENT_BYTES_PER_S: Final = 33_554_432
_INTERVAL_S_MIN: Final = 0.02
_INTERVAL_S_MAX: Final = 0.25
_READERS_PER_S: Final = 4_000

BEAT_S: Final = 5.0
"""How often every reader looks after its stream."""

QUIET_S_MAX: Final = 10.0
"""After so long without a happening, the next beat sends a comment, so that proxies keep the stream open."""

_LINGER_S: Final = 60.0
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
    """One happening, encoded when that is first needed: `name` is its kind, `body` its JSON object."""

    __slots__ = ("_effect", "_encoded", "weight_bytes")

    def __init__(self, effect: Effect) -> None:
        self._effect: Effect | None = effect
        self._encoded: tuple[str, bytes] | None = None
        self.weight_bytes = _weight_bytes(effect)
        if self.weight_bytes > _HEAVY_BYTES:
            self.weight_bytes = len(self.encoded()[1])

    def encoded(self) -> tuple[str, bytes]:
        """Return its kind and its JSON object."""
        if self._encoded is None:
            assert self._effect is not None  # noqa: S101 - one of the two is always there
            self._encoded = _encoded(document(self._effect))
            self._effect = None
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
    """The happenings of one namespace, or of all (`ANY_NAMESPACE`). Used on the event loop only."""

    def __init__(self, namespace: str) -> None:
        self.namespace: Final = namespace
        self.readers = 0
        self.left_s = 0.0
        """When its last reader left."""
        self.is_due = False
        """Its readers are to be woken at the end of the interval."""
        self.kept: deque[Happening] = deque()
        self.kept_bytes = 0
        self._chunks: dict[tuple[Position, str, int], tuple[bytes, Position]] = {}
        self._opening: tuple[Position, list[tuple[str, bytes]]] | None = None
        self._news: asyncio.Future[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._epoch = secrets.token_hex(_EPOCH_BYTES)
        self._latest = 0

    @property
    def latest(self) -> Position:
        """The position of a reader that knows all happenings."""
        return Position(self._epoch, self._latest)

    @property
    def _oldest(self) -> int:
        return self._latest - len(self.kept) + 1

    def add(self, happening: Happening) -> None:
        """Add one happening, and forget what is above the bounds."""
        self._latest += 1
        self.kept.append(happening)
        self.kept_bytes += happening.weight_bytes
        while len(self.kept) > KEPT_MAX or self.kept_bytes > _KEPT_BYTES_MAX:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Forget one happening."""
        self.kept_bytes -= self.kept.popleft().weight_bytes

    def begin_anew(self) -> None:
        """Forget all, because some happenings were lost, and nobody knows how many."""
        self.kept.clear()
        self.kept_bytes = 0
        self._opening = None
        self._begin()

    def missed(self, position: Position) -> int | None:
        """Return how many happenings after `position` are no longer kept; None: it is no position of this channel."""
        if position.epoch != self._epoch or position.number > self._latest:
            return None
        return max(0, self._oldest - 1 - position.number)

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
        for happening in reversed(self.kept):
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
        for happening in islice(self.kept, number + 1 - self._oldest, None):
            part = frame(f"{self._epoch}.{number + 1}", *happening.encoded())
            size += len(part)
            if parts and size > bytes_max:
                break
            parts.append(part)
            number += 1
        return b"".join(parts), Position(self._epoch, number)

    def gap(self, missed: int | None, output: str, position: Position | None = None) -> bytes:
        """Return what tells a reader how many happenings it missed; None: nobody knows."""
        encoded = _encoded({"happening": "gap", "namespace": self.namespace, "missed": missed})
        return FRAMINGS[output].frame(str(position or ""), *encoded)

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
        listed = [_encoded(document(Pending(offer))) for offer in _listed(offers)]
        opening = {"happening": "open", "namespace": self.namespace, "pending": len(offers), "listed": len(listed)}
        self._opening = self.latest, [_encoded(opening), *listed]

    # --- waiting -------------------------------------------------------------------------------------------

    def news(self) -> asyncio.Future[None]:
        """Return what ends when there is something to read, or to look after."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def notify(self) -> None:
        """Wake the readers."""
        self.is_due = False
        self._chunks.clear()
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Feed:
    """The channels of one coordinator. `call` calls a function soon on the event loop, from any thread."""

    def __init__(
        self, coordinator: Coordinator, call: Callable[..., bool], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._coordinator = coordinator
        self._call = call
        self._now_s = now_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[str, Channel] = {}
        self._queue: deque[Effect] = deque(maxlen=_QUEUED_MAX)
        self._queued = 0  # in total; the coordinator counts them, under its lock
        self._taken = 0
        self._is_awake = False
        self._flushed_s = 0.0
        self._observer = self._observe  # one object, so that it can be removed
        self.readers = 0
        self.is_closed = False

    # --- under the coordinator's lock ----------------------------------------------------------------------

    def _observe(self, effect: Effect) -> None:
        self._queue.append(effect)
        self._queued += 1
        if not self._is_awake:
            self._is_awake = True
            self._call(self._wake)

    # --- on the event loop ---------------------------------------------------------------------------------

    @property
    def is_observing(self) -> bool:
        """Whether the coordinator calls it."""
        return bool(self._channels)

    @property
    def interval_s(self) -> float:
        """How long the happenings of one batch are collected."""
        return min(_INTERVAL_S_MAX, max(_INTERVAL_S_MIN, self.readers / _READERS_PER_S))

    @property
    def chunk_bytes_max(self) -> int:
        """What one reader gets in one interval."""
        share = int(_SENT_BYTES_PER_S * self.interval_s) // max(1, self.readers)
        return min(CHUNK_BYTES_MAX, max(_CHUNK_BYTES_MIN, share))

    def join(self, namespace: str) -> Channel:
        """Add a reader of a namespace; `leave` must follow."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an application may be used on one loop after the other
            self._loop = loop
            self._channels.clear()
            self._coordinator.remove_observer(self._observer)
            self._is_awake = False
            self.readers = 0
        if not self._channels:
            with self._coordinator.lock:
                self._queue.clear()
                self._taken = self._queued
                self._coordinator.add_observer(self._observer)
            loop.call_later(BEAT_S, self._beat, loop)
        self.drain()  # what happened before is not for a channel that begins now
        channel = self._channels.get(namespace)
        if channel is None:
            channel = self._channels[namespace] = Channel(namespace)
        channel.readers += 1
        self.readers += 1
        return channel

    def leave(self, channel: Channel) -> None:
        """Remove a reader; its channel stays for a minute."""
        channel.readers -= 1
        channel.left_s = self._now_s()
        if self._channels.get(channel.namespace) is channel:
            self.readers -= 1

    def opening(self, channel: Channel, output: str) -> tuple[list[bytes], Position, int]:
        """Return what a new reader of a channel gets first, in pieces, its position, and how many offers were read."""
        self.drain()
        read = 0
        opening = channel.opening(output)
        if opening is None:
            with self._coordinator.lock:
                self.drain()
                offers = self._pending(channel.namespace)
            channel.open(offers)
            read = len(offers)
            opening = channel.opening(output)
            assert opening is not None  # noqa: S101 - it was just made
        return *opening, read

    async def wait(self, channel: Channel, *, is_behind: bool) -> None:
        """Wait for news; a reader that is behind waits for the next interval."""
        if self.is_closed:
            return
        if is_behind:
            channel.is_due = True
            if not self._is_awake:
                self._is_awake = True
                self._wake()
        await asyncio.shield(channel.news())

    def drain(self) -> None:
        """Give what has happened to the channels."""
        with self._coordinator.lock:
            queue, self._queue = self._queue, deque(maxlen=_QUEUED_MAX)
            lost = self._queued - self._taken - len(queue)
            self._taken = self._queued
        if lost:
            for channel in self._channels.values():
                channel.begin_anew()
                channel.is_due = True
        everything = self._channels.get(ANY_NAMESPACE)
        for effect in queue:
            channels = [self._channels.get(_namespace(effect)), everything]
            if any(channels):
                happening = Happening(effect)
                for channel in filter(None, channels):
                    channel.add(happening)
                    channel.is_due = True
        self._stay_within_bounds()

    def beat(self) -> None:
        """Let every reader look after its stream; forget the channels that nobody reads any more."""
        now_s = self._now_s()
        for channel in list(self._channels.values()):
            if not channel.readers and now_s - channel.left_s >= _LINGER_S:
                del self._channels[channel.namespace]
            channel.notify()
        if not self._channels:
            self._coordinator.remove_observer(self._observer)

    def close(self) -> None:
        """End all streams, after what has happened until now."""
        self.is_closed = True
        self.flush()
        for channel in self._channels.values():
            channel.notify()

    def flush(self) -> None:
        """Give what has happened to the channels, and wake their readers."""
        self._is_awake = False  # first, so that what happens from now on wakes the loop again
        self._flushed_s = self._now_s()
        self.drain()
        for channel in self._channels.values():
            if channel.is_due:
                channel.notify()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop or not self._channels:
            return
        self.beat()
        if self._channels:
            loop.call_later(BEAT_S, self._beat, loop)

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_later(max(0.0, self._flushed_s + self.interval_s - self._now_s()), self.flush)

    def _pending(self, namespace: str) -> list[Offer]:
        machine = self._coordinator.machine
        return machine.all_pending() if namespace == ANY_NAMESPACE else machine.pending(namespace)

    def _stay_within_bounds(self) -> None:
        kept_bytes = sum(channel.kept_bytes for channel in self._channels.values())
        while kept_bytes > _KEPT_BYTES_IN_ALL_MAX:
            largest = max(self._channels.values(), key=lambda channel: channel.kept_bytes)
            kept_bytes -= largest.kept_bytes
            for _ in range((len(largest.kept) + 1) // 2):
                largest.forget_oldest()
            kept_bytes += largest.kept_bytes


def _namespace(effect: Effect) -> str:
    return effect.namespace if isinstance(effect, Synced) else effect.offer.spec.namespace


def _weight_bytes(effect: Effect) -> int:
    if not isinstance(effect, Synced):
        return effect.offer.weight_bytes
    return sum([member.weight_bytes for member in effect.members])


def _listed(offers: list[Offer]) -> Iterator[Offer]:
    """Yield the first offers, so many that they are not too large, but at least one."""
    weight_bytes = 0
    for number, offer in enumerate(islice(offers, _LISTED_MAX)):
        weight_bytes += offer.spec.weight_bytes
        if number and weight_bytes > PAGE_BYTES_MAX:
            return
        yield offer


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
