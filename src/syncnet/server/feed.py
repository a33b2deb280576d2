"""What happens, for those who read it live.

The feed is an observer of the coordinator while somebody reads, and for a minute after the last reader, so that one who
lost the connection can continue. It has a channel for each namespace that is read, and one for all of them together.
`channel.py` has what a reader of it gets.

Laws

1. Under the coordinator's lock an effect is only put into the queues of its channels, or counted. All else is done on
   the event loop.
2. What all channels keep together is bounded.
3. What all readers together cost is bounded, so that they slow the offers down little. They are woken once in
   `interval_s` and get at most `chunk_bytes_max` each time. With more readers the intervals are longer and the shares
   smaller: all together get at most `_SENDS_PER_S` pieces and `_SENT_BYTES_PER_S`, and at most `_ENCODED_BYTES_PER_S`
   are encoded for all channels. What exceeds that becomes a gap.

This module does not know HTTP and does no I/O; `streams.py` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from syncnet.coordinator.coordinator import Coordinator, Observer
from syncnet.core.commands import Offer
from syncnet.core.effects import Effect, Synced
from syncnet.server.access import ANY_NAMESPACE
from syncnet.server.channel import CHUNK_BYTES_MAX, Channel, Happening, Position

__all__ = ["QUIET_S_MAX", "Feed"]

_KEPT_BYTES_IN_ALL_MAX: Final = 67_108_864

_SENT_BYTES_PER_S: Final = 8_388_608
_ENCODED_BYTES_PER_S: Final = 1_048_576

_INTERVAL_S_MIN: Final = 0.02
_INTERVAL_S_MAX: Final = 5.0
_SENDS_PER_S: Final = 1_000

_DRAIN_EVERY_S: Final = 0.25
"""How long effects stay in the queues: they are not weighed there, and may have large payloads."""

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
        self._is_awake = False
        self._flushed_s = 0.0
        self._due_s = 0.0  # the end of the interval
        self._observer: Observer = self._observe  # one object, so that it can be removed
        self._channels_read = 0  # those with a reader
        self.readers: int = 0
        self.is_closed: bool = False

    # --- under the coordinator's lock ----------------------------------------------------------------------

    def _observe(self, effect: Effect) -> None:
        find = self._channels.get
        own = find(effect.namespace if isinstance(effect, Synced) else effect.offer.spec.namespace)
        everything = find(ANY_NAMESPACE)
        if own is not None:
            own.put(effect)
        if everything is not None:
            everything.put(effect)
        elif own is None:
            return
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
        """How long the happenings of one piece are collected."""
        return min(_INTERVAL_S_MAX, max(_INTERVAL_S_MIN, self.readers / _SENDS_PER_S))

    @property
    def chunk_bytes_max(self) -> int:
        """What one reader gets in one interval."""
        per_s = min(_SENT_BYTES_PER_S / max(1, self.readers), _ENCODED_BYTES_PER_S / max(1, self._channels_read))
        return min(CHUNK_BYTES_MAX, int(per_s * self.interval_s))

    def join(self, namespace: str) -> Channel:
        """Add a reader of a namespace; `leave` must follow."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an application may be used on one loop after the other
            self._loop = loop
            self._channels.clear()
            self._coordinator.remove_observer(self._observer)
            self._is_awake = False
            self._channels_read = self.readers = 0
        if not self._channels:
            self._coordinator.add_observer(self._observer)
            loop.call_later(_BEAT_S, self._beat, loop)
        channel = self._channels.get(namespace)
        if channel is None:
            channel = self._channels[namespace] = Channel(namespace)
        self._channels_read += not channel.readers
        channel.readers += 1
        self.readers += 1
        return channel

    def leave(self, channel: Channel) -> None:
        """Remove a reader; its channel stays for a minute."""
        channel.readers -= 1
        channel.left_s = self._now_s()
        if self._channels.get(channel.namespace) is channel:
            self.readers -= 1
            self._channels_read -= not channel.readers

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
            self._stay_awake()
        await channel.news()

    def drain(self, *, is_whole: bool = True) -> None:
        """Give what has happened its numbers; with `is_whole` also what was left out since the last gap."""
        now_s = self._now_s()
        channels = self._channels.values()
        with self._coordinator.lock:
            taken = [channel.take(now_s, is_whole=is_whole) for channel in channels]
        for channel, (effects, left_out) in zip(channels, taken, strict=True):
            for effect in effects:
                channel.add(Happening(effect))
            if left_out:
                channel.leave_out(left_out)
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
        self.drain()
        for channel in self._channels.values():
            channel.notify()

    def flush(self) -> None:
        """Give what has happened its numbers, and at the end of an interval wake the readers."""
        self._is_awake = False  # first, so that what happens from now on wakes the loop again
        self._flushed_s = now_s = self._now_s()
        self.drain(is_whole=False)
        if now_s >= self._due_s:
            self._due_s = now_s + self.interval_s - _INTERVAL_S_MIN / 2  # timers are not exact
            for channel in self._channels.values():
                if channel.is_due:
                    channel.notify()
        if any(channel.is_due or channel.is_leaving_out for channel in self._channels.values()):
            self._stay_awake()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop or not self._channels:
            return
        self.beat()
        if self._channels:
            loop.call_later(_BEAT_S, self._beat, loop)

    def _stay_awake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            after_s = min(self.interval_s, _DRAIN_EVERY_S)
            self._loop.call_later(max(0.0, self._flushed_s + after_s - self._now_s()), self.flush)

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
