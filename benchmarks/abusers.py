"""`python -m benchmarks.abusers KIND PORT`: badly behaved clients, until killed; prints `ready` once they have begun.

- `slowloris`: a thousand connections. Each sends its head at one byte a second, and reconnects when it is closed.
- `flood`: requests that exceed each limit of a request, at a fixed rate on many connections, which reconnect when the
  server closes them. First, offers fill a namespace (start the server with `--limit pending-per-namespace-max=100`).
- `never-reading`: pairs that meet with payloads much larger than the buffers of a socket, send more requests on the
  same connection, and read nothing. They reconnect all the time.
- the kinds of `dear_requests.py`: as many requests that take long as are answered.

They measure and report nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import uvloop

from benchmarks.dear_requests import DEAR, Dear, get, post

__all__ = ["KINDS"]

_ADDRESS: Final = "127.0.0.2"  # not that of the pairs, because shares of work go by address
_SLOW_CONNECTIONS: Final = 1_000
_FLOOD_CONNECTIONS: Final = 64
_FLOOD_WAITING: Final = 150
_FLOOD_ANSWER_S_MAX: Final = 2.0
_FLOOD_REQUESTS_PER_S: Final = 1_000
_UNREAD_PAIRS: Final = 16
_UNREAD_FOR_S: Final = 1.0
_UNREAD_PAYLOAD_BYTES: Final = 200_000
_AGAIN_S: Final = 0.1
_GATE_CONNECTIONS: Final = 100  # opened at the same time


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", port, local_addr=(_ADDRESS, 0))
        await asyncio.sleep(_AGAIN_S)


async def _slowloris(port: int, ready: Callable[[], None]) -> None:
    gate = asyncio.Semaphore(_GATE_CONNECTIONS)
    first = asyncio.Barrier(_SLOW_CONNECTIONS + 1)

    async def one() -> None:
        for turn in itertools.count():
            async with gate:
                reader, writer = await _connected(port)
            if turn == 0:
                await first.wait()
            writer.write(b"GET /event?event=slow&actor=A HTTP/1.1\r\nX: ")
            with contextlib.suppress(OSError):
                while not reader.at_eof():
                    writer.write(b"a")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1_024), 1.0)
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(_SLOW_CONNECTIONS):
            group.create_task(one())
        await first.wait()
        ready()


def _past_the_limits() -> Iterator[bytes]:
    """Yield requests for ever. Most exceed one limit; the others make offers in the full namespace."""
    names = (f"{number}" for number in itertools.count())
    while True:
        yield get(f"/event?event={'e' * 300}&actor=A")
        yield get("/event?actor=A&" + "&".join(f"event={number}" for number in range(65)))
        yield get(f"/event?event=e&actor=A&selector={'k' * 4_100}")
        yield get(f"/event?event=e&actor=A&payload={'x' * 20_000}")
        yield get(f"/event?{'x' * 70_000}")
        yield get("/event?" + "&".join(f"a{number}=" for number in range(300)))
        yield get("/event?event=e&actor=A&mates=100000")
        yield b"GET /event HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n"
        yield post("/event", b'{"event":"e","actor":"A","payload":"%s"}' % (b"x" * 270_000))
        yield b"POST /event HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n"
        for _ in range(10):
            yield get(f"/event?event=flood-{next(names)}&actor=A&namespace=flood")


async def _flood(port: int, ready: Callable[[], None]) -> None:
    """Fill a namespace with pending offers, so that the server refuses all others in it; then send at an even rate."""
    loop = asyncio.get_running_loop()
    requests = _past_the_limits()
    every_s = _FLOOD_CONNECTIONS / _FLOOD_REQUESTS_PER_S

    async def one(waits: bool) -> None:
        while True:
            reader, writer = await _connected(port)
            at_s = loop.time()
            with contextlib.suppress(OSError, TimeoutError):
                while not reader.at_eof():
                    writer.write(get("/event?event=wait&actor=A&namespace=flood") if waits else next(requests))
                    await asyncio.wait_for(reader.read(65_536), None if waits else _FLOOD_ANSWER_S_MAX)
                    at_s += _AGAIN_S if waits else every_s
                    await asyncio.sleep(at_s - loop.time())
            writer.close()

    async with asyncio.TaskGroup() as group:
        for number in range(_FLOOD_WAITING + _FLOOD_CONNECTIONS):
            group.create_task(one(number < _FLOOD_WAITING))
        ready()


async def _never_reading(port: int, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    async def one(event: str, actor: str) -> None:
        while True:
            body = f'{{"event":"{event}","actor":"{actor}","timeout":"2s","payload":"{"x" * _UNREAD_PAYLOAD_BYTES}"}}'
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.setblocking(False)
            connection.bind((_ADDRESS, 0))
            with contextlib.suppress(OSError, TimeoutError):
                await loop.sock_connect(connection, ("127.0.0.1", port))
                async with asyncio.timeout(_UNREAD_FOR_S):
                    while True:
                        await loop.sock_sendall(connection, post("/event", body.encode()) + get("/stats") * 10)
            connection.close()

    async with asyncio.TaskGroup() as group:
        for pair in range(_UNREAD_PAIRS):
            for actor in ("A", "B"):
                group.create_task(one(f"unread-{pair}", actor))
        ready()


async def _dear(dear: Dear, port: int, ready: Callable[[], None]) -> None:
    """Make the offers that stay pending; then repeat the request on each connection as soon as it is answered."""
    numbers = itertools.count()
    kept = []
    for offer in dear.pending():
        _, writer = connected = await _connected(port)
        writer.write(offer)
        kept.append(connected)

    async def one() -> None:
        while True:
            reader, writer = await _connected(port)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while True:
                    writer.write(dear.repeated(next(numbers)))
                    if dear.reads:
                        await _read_answer(reader)
                    else:
                        await writer.drain()
                        await asyncio.sleep(_AGAIN_S)
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(dear.connections):
            group.create_task(one())
        ready()


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
    if b"\r\nconnection: close" in head.lower():
        raise ConnectionResetError


KINDS: Final[dict[str, Callable[[int, Callable[[], None]], Awaitable[None]]]] = {
    "slowloris": _slowloris,
    "flood": _flood,
    "never-reading": _never_reading,
    **{name: partial(_dear, dear) for name, dear in DEAR.items()},
}


async def _abuse(kind: str, port: int) -> None:
    await KINDS[kind](port, lambda: print("ready", flush=True))


if __name__ == "__main__":
    uvloop.run(_abuse(sys.argv[1], int(sys.argv[2])))
