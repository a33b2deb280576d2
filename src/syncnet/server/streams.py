"""The live trace over HTTP: the coroutine of each reader, and what it needs of its connection.

A reader takes what comes next from the feed (`feed.py`), and only when its client has read what was sent before. So a
client that reads slowly, or nothing, costs no memory: the feed forgets, and its client gets a gap.

A stream ends when its caller's token is revoked. The reader looks whenever it wakes, before it sends anything: at the
next happening, or at the next beat of the feed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.labels import shown
from syncnet.core.limits import Limits
from syncnet.errors import BusyError, DrainingError, ParameterError
from syncnet.server.access import Access, Caller
from syncnet.server.background import Background
from syncnet.server.channel import FRAMINGS, Channel, Position, parse_position
from syncnet.server.feed import QUIET_S_MAX, Feed
from syncnet.server.pages import from_node
from syncnet.server.request import Request
from syncnet.server.responses import Header, Response, headers_of
from syncnet.server.tokens import Tokens
from syncnet.wire.parameters import Watch

_log = logging.getLogger("syncnet")

__all__ = ["ASGIWriter", "Run", "Streams", "Writer"]

_UNBUFFERED: Final[Header] = ("x-accel-buffering", "no")
_OFFERS_PER_STEP: Final = 100


class Writer(Protocol):
    """Sends one stream to one client."""

    async def begin(self, headers: list[Header]) -> None:
        """Send the head of the response, with status 200."""

    def has_room(self) -> bool:
        """Return whether the client has read nearly all that was sent."""

    async def send(self, data: bytes) -> None:
        """Send a part of the body.

        :raises ConnectionError: the client has disconnected.
        """

    async def end(self) -> None:
        """Send the end of the body, if the client is still there."""


Run: TypeAlias = Callable[[Writer], Coroutine[Any, Any, None]]
"""Sends a stream, from the head to the end."""


class ASGIWriter:
    """A stream to a client of an ASGI server, which waits by itself while the client does not read."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._send = send

    async def begin(self, headers: list[Header]) -> None:
        """Send the head."""
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": encoded})

    def has_room(self) -> bool:
        """Return true: `send` waits for room."""
        return True

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Send the end of the body."""
        with contextlib.suppress(OSError):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class Streams:
    """The streams of one coordinator; at most `readers_max` of `limits` at once."""

    def __init__(self, coordinator: Coordinator, background: Background, limits: Limits, access: Access) -> None:
        self._feed: Feed = Feed(coordinator, background.call)
        self._coordinator = coordinator
        self._access = access
        self._readers_max = limits.readers_max
        self._readers = 0

    def start(self, request: Request, watch: Watch, output: str) -> None:
        """Answer with a stream of what happens.

        :raises ParameterError: the position is none.
        :raises BusyError: there are too many readers.
        :raises DrainingError: the server is about to end.
        """
        position = None if watch.after is None else _position(*watch.after)
        head = from_node(request, Response(200, [*headers_of(FRAMINGS[output].media_type), _UNBUFFERED], b""))
        if request.method == "HEAD":
            request.answer(head)
            return
        if self._coordinator.is_shut_down:
            raise DrainingError("the server is shutting down")
        if self._readers >= self._readers_max:
            raise BusyError(f"{self._readers} streams are open, which is the limit; try again later")
        request.answer_with_stream(partial(self._run, request, head.headers, watch, position, output))

    def close(self) -> None:
        """End all streams, each after its last whole happening."""
        self._feed.close()

    async def _run(
        self,
        request: Request,
        headers: list[Header],
        watch: Watch,
        position: Position | None,
        output: str,
        writer: Writer,
    ) -> None:
        """Send one stream, until its client disconnects, its token is revoked or the server ends."""
        self._readers += 1
        channel = self._feed.join(watch.namespace)
        try:
            await writer.begin([*headers, *request.caller.headers])
            reader = _Reader(self._feed, channel, output, writer, self._access, request.caller)
            pieces, position, offers = reader.opening(position)
            request.charge(offers // _OFFERS_PER_STEP)
            sending = asyncio.ensure_future(reader.run(pieces, position))
            disconnected = asyncio.ensure_future(request.disconnected())
            try:
                await asyncio.wait((sending, disconnected), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, disconnected):
                    task.cancel()
                await asyncio.gather(sending, disconnected, return_exceptions=True)
        except ConnectionError:
            pass  # the client has disconnected
        except Exception:
            _log.exception("a bug: a stream has ended")
        finally:
            self._feed.leave(channel)
            self._readers -= 1
            await writer.end()


class _Reader:
    """One reader of a channel."""

    def __init__(
        self, feed: Feed, channel: Channel, output: str, writer: Writer, access: Access, caller: Caller
    ) -> None:
        self._feed = feed
        self._channel = channel
        self._output = output
        self._writer = writer
        self._access = access
        self._caller = caller
        self._tokens: Tokens | None = None  # by which the caller was looked up last
        self._sent_s = time.monotonic()

    def opening(self, position: Position | None) -> tuple[list[bytes], Position, int]:
        """Return what it sends first, in pieces, from which position it goes on, and how many offers were read.

        A reader that comes back gets nothing here if all that it missed is kept; else the gap, and what is pending.
        """
        framing = FRAMINGS[self._output]
        gap = b""
        if position is not None:
            self._feed.drain()
            missed = self._channel.missed(position)
            if missed == 0:
                return [framing.start], position, 0
            gap = self._channel.gap(missed, self._output)
        pieces, position, offers = self._feed.opening(self._channel, self._output)
        return [framing.start + gap, *pieces], position, offers

    async def run(self, pieces: list[bytes], position: Position) -> None:
        """Send the pieces, and then what happens, until the feed is closed or the caller's token revoked."""
        feed, channel, writer = self._feed, self._channel, self._writer
        for piece in pieces:
            while not writer.has_room():
                if feed.is_closed or self._is_revoked():
                    return
                await feed.wait(channel, is_behind=True)
            if self._is_revoked():
                return
            if piece:
                await self._send(piece)
        while not self._is_revoked():
            is_behind = not writer.has_room()
            if not is_behind:
                data, position = channel.read(position, self._output, feed.chunk_bytes_max)
                if data:
                    await self._send(data)
                elif time.monotonic() - self._sent_s >= QUIET_S_MAX:
                    await self._send(FRAMINGS[self._output].heartbeat)
                is_behind = position != channel.latest
            if feed.is_closed:
                return
            await feed.wait(channel, is_behind=is_behind)

    def _is_revoked(self) -> bool:
        """Return whether the caller may no longer read this: its token is looked up again when others were read."""
        tokens = self._access.tokens
        if tokens is self._tokens:
            return False
        if not self._access.may_still(self._caller, "observe", self._channel.namespace):
            return True
        self._tokens = tokens
        return False

    async def _send(self, data: bytes) -> None:
        await self._writer.send(data)
        self._sent_s = time.monotonic()


def _position(name: str, text: str) -> Position:
    try:
        return parse_position(text)
    except ValueError as error:
        raise ParameterError(name, f"{error}, got {shown(text)}") from None
