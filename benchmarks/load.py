"""Keep-alive connections that ask a server as fast as it answers, and the time that they take.

Every connection has a script: requests as bytes, made before the clock starts. It sends one, waits for the whole
answer, and sends the next, so a server has at most one request of each connection in hand (a closed loop). An answer
other than 200 ends the measurement: a server that refuses is not fast.

It reads no more of HTTP than the status, `content-length` and where the headers end. It does not measure how long
single requests take, nor what a server does when it is asked more than it can answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

__all__ = ["LoadError", "Script", "get", "post_json", "requests_per_s"]

Script: TypeAlias = Sequence[bytes]
"""The requests of one connection, in order; there is at least one."""

_ROUND_S_MAX: Final = 30.0
_HEAD_END: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class LoadError(Exception):
    """The server did not answer as a benchmark needs it; the message says what came instead."""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post_json(target: str, body: bytes) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nhost: localhost\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def requests_per_s(port: int, scripts: Sequence[Script]) -> float:
    """Play every script on a connection of its own, all at once, and return the rate of all requests together.

    Connections are open before the clock starts; it ends with the last answer.

    :raises LoadError: an answer was not 200, a connection ended, or it all took too long.
    """
    loop = asyncio.get_running_loop()
    connections = [_Connection(script, loop.create_future()) for script in scripts]
    try:
        async with asyncio.timeout(_ROUND_S_MAX):
            for connection in connections:
                await loop.create_connection(lambda it=connection: it, "127.0.0.1", port)  # type: ignore[misc]
            started_s = time.perf_counter()
            for connection in connections:
                connection.send_next()
            await asyncio.gather(*(connection.done for connection in connections))
            passed_s = time.perf_counter() - started_s
    except TimeoutError:
        left = sum(connection.requests_left for connection in connections)
        raise LoadError(f"expected all answers within {_ROUND_S_MAX:g} s; {left} requests were left") from None
    finally:
        for connection in connections:
            connection.close()
    return sum(map(len, scripts)) / passed_s


class _Connection(asyncio.Protocol):
    """One client: its script, how far it is, and a future that is set when all was answered."""

    def __init__(self, script: Script, done: asyncio.Future[None]) -> None:
        self.done = done
        self._script = script
        self._requests_sent = 0
        self._received = b""
        self._transport: asyncio.Transport | None = None

    @property
    def requests_left(self) -> int:
        return 0 if self.done.done() else len(self._script) - self._requests_sent + 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        assert self._transport is not None
        self._transport.write(self._script[self._requests_sent])
        self._requests_sent += 1

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if not self._is_whole():
            return
        self._received = b""
        if self._requests_sent < len(self._script):
            self.send_next()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"expected an open connection, but it ended: {exc or 'the server closed it'}")

    def close(self) -> None:
        self.done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _is_whole(self) -> bool:
        head_bytes = self._received.find(_HEAD_END)
        if head_bytes < 0:
            return False
        length = _CONTENT_LENGTH.search(self._received, 0, head_bytes + 2)
        if not self._received.startswith(b"HTTP/1.1 200 ") or length is None:
            self._fail(f"expected 200 with a content-length, got {self._received.decode(errors='replace')!r}")
            return False
        return len(self._received) >= head_bytes + len(_HEAD_END) + int(length[1])

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadError(message))
