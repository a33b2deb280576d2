"""What happens, for those who read it live.

The feed is an observer of the coordinator while somebody reads, and for a minute after the last reader, so that one who
lost the connection can continue. It has a channel for each namespace that is read, and one for all of them together.
`channel.py` has what a reader of it gets.

Laws

1. Under the coordinator's lock an effect is only put into a queue. All else is done on the event loop.
2. What all channels keep together is bounded.
3. The loop is woken at most once in `interval_s`. With more readers the intervals are longer and the shares smaller, so
   that all of them together get at most `_SENT_BYTES_PER_S`.

This module does not know HTTP and does no I/O; `streams.py` does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from syncnet.coordinator.coordinator import Coordinator, Observer
from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Synced
from syncnet.server.access import ANY_NAMESPACE
from syncnet.server.channel import CHUNK_BYTES_MAX, Channel, Happening, Position

__all__ = ["QUIET_S_MAX", "Feed"]

_KEPT_BYTES_IN_ALL_MAX: Final = 67_108_864
_QUEUED_MAX: Final = 50_000  # more than come in an interval

_CHUNK_BYTES_MIN: Final = 2_048
_SENT_BYTES_PER_S: Final = 16_777_216

_INTERVAL_S_MIN: Final = 0.02
_INTERVAL_S_MAX: Final = 0.25
_READERS_PER_S: Final = 4_000

_BEAT_S: Final = 5.0
"""How often every reader looks after its stream."""

QUIET_S_MAX: Final = 10.0
"""After so long without a happening, the next beat sends a comment, so that proxies keep the stream open."""

_LINGER_S: Final = 60.0


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
        self._observer: Observer = self._observe  # one object, so that it can be removed
        self.readers: int = 0
        self.is_closed: bool = False

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
            loop.call_later(_BEAT_S, self._beat, loop)
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
        await channel.news()

    def drain(self) -> None:
        """Give what has happened to the channels."""
        with self._coordinator.lock:
            queue, self._queue = self._queue, deque(maxlen=_QUEUED_MAX)
            lost = self._queued - self._taken - len(queue)
            self._taken = self._queued
        if lost:
            for channel in self._channels.values():
                channel.begin_anew()
        everything = self._channels.get(ANY_NAMESPACE)
        find = self._channels.get
        for effect in queue:
            own = find(effect.namespace if isinstance(effect, Synced) else effect.offer.spec.namespace)
            if own is not None or everything is not None:
                happening = Happening(effect)
                if own is not None:
                    own.add(happening)
                if everything is not None:
                    everything.add(happening)
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
            loop.call_later(_BEAT_S, self._beat, loop)

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
