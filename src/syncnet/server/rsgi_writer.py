"""A stream to a client of granian. See `streams.py`."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.rsgi import ProtocolClosed

from syncnet.server.responses import Header
from syncnet.server.send_queue import SendQueue

__all__ = ["RSGIWriter"]


class RSGIWriter:
    """A stream to a client of granian."""

    def __init__(self, protocol: Any, client: str, server: str) -> None:
        self._protocol = protocol
        self._connection = client, server
        self._queue: SendQueue | None = None
        self._transport: Any = None

    async def begin(self, headers: list[Header]) -> None:
        """Find the send queue, and send the head."""
        self._queue = await asyncio.to_thread(SendQueue, *self._connection)  # with many open files it takes a while
        self._transport = self._protocol.response_stream(200, headers)

    def has_room(self) -> bool:
        """Return whether the send queue is nearly empty."""
        return self._queue is not None and self._queue.has_room()

    async def send(self, data: bytes) -> None:
        """Hand data over to granian, which never waits."""
        try:
            await self._transport.send_bytes(data)
        except ProtocolClosed:
            raise ConnectionResetError("the client has disconnected") from None

    async def end(self) -> None:
        """Release the connection: granian ends the body."""
        if self._queue is not None:
            self._queue.close()
        self._transport = self._protocol = None
