"""The memory of a real server after very many offers is the same as after the first ten thousand.

Offers end in a sync, a timeout, a withdrawal, an abort or a lost connection, or are refused; half of them have an id.
Outcomes and the trace are kept on purpose; their limits are set so low that they are reached within the first ten
thousand offers. `SYNCNET_SOAK_OFFERS` is the number of offers; `make soak` makes a million.
"""

import asyncio
import itertools
import os
import resource
from pathlib import Path

import pytest

from tests.end_to_end.running import ANY_WORK, Server, running, until

pytestmark = pytest.mark.anyio

OFFERS = int(os.environ.get("SYNCNET_SOAK_OFFERS", "20000"))
FIRST_OFFERS = min(10_000, OFFERS // 2)
WORKERS = 16
GROWTH_MAX = 0.1
TOO_LARGE_BYTES = 200_000
LIMITS = ("outcomes-max=500", "trace-syncs-max=500", f"pending-bytes-max={TOO_LARGE_BYTES}")
OFFERS_PER_TURN = 7


class Connection:
    """A keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, target: str, body: str = "") -> None:
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        about = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
        self._ends[1].write(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{about}\r\n{body}".encode())

    async def status(self) -> int:
        """Read a whole response; return its status."""
        assert self._ends is not None
        head = (await self._ends[0].readuntil(b"\r\n\r\n")).lower()
        lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        await self._ends[0].readexactly(lengths[0] if lengths else 0)
        return int(head.split()[1])

    async def ask(self, method: str, target: str, body: str = "") -> int:
        await self.send(method, target, body)
        return await self.status()

    def cut(self) -> None:
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None


async def turn(port: int, one: Connection, other: Connection, name: str, named: bool) -> None:
    """Make offers with new events, actors, labels and ids, and end them in every way."""

    def offer(what: str, actor: str, more: str = "") -> str:
        id = f"&id={what}-{actor}-{name}" if named else ""
        return f"/event?event={what}-{name}&actor={actor}-{name}&labels=k-{name}=v&payload={name * 9}{id}{more}"

    await one.send("GET", offer("sync", "a"))
    assert (await other.ask("GET", offer("sync", "b")), await one.status()) == (200, 200)
    assert await one.ask("GET", offer("time", "a", "&timeout=0")) == 410
    if named:
        assert await one.ask("GET", offer("time", "a", "&timeout=0&mates=2")) == 409
    elif name.endswith("1"):
        too_large = f'{{"event":"full-{name}","actor":"a-{name}","payload":"{"x" * TOO_LARGE_BYTES}"}}'
        assert await one.ask("POST", "/event", too_large) == 503
    else:
        assert await one.ask("GET", f"/event?event={name}&actor=a-{name}&selector=not-{name}+in+v&timeout=0") == 400
    await one.send("GET", f"/event?event=go-{name}&actor=a&id=go-{name}")
    while await other.ask("DELETE", f"/event?id=go-{name}") != 204:
        pass  # the offer has not arrived yet
    assert await one.status() == 410
    await one.send("GET", offer("abort", "a", "&timeout=60s"))
    ended = asyncio.ensure_future(one.status())
    while not ended.done():
        assert await other.ask("POST", f"/abort?event=abort-{name}&reason=soak") == 200
    assert ended.result() == 410
    lost = Connection(port)
    await lost.send("GET", offer("lost", "a", "&linger=0"))
    lost.cut()


async def make_offers(server: Server, names: "itertools.count[int]", offers: int) -> None:
    numbers = iter([next(names) for _ in range(offers // OFFERS_PER_TURN)])

    async def work() -> None:
        one, other = Connection(server.port), Connection(server.port)
        for number in numbers:
            await turn(server.port, one, other, f"{number:07}", named=number % 2 == 0)
        one.cut()
        other.cut()

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    await asyncio.to_thread(server.until_pending, 0)


def resident_bytes(server: Server) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


async def test_ended_offers_take_no_memory_of_a_server() -> None:
    with running(
        "--log-format", "none", *ANY_WORK, *(word for limit in LIMITS for word in ("--limit", limit))
    ) as server:
        names = itertools.count()
        await make_offers(server, names, FIRST_OFFERS)
        first, files = resident_bytes(server), open_files(server)
        await make_offers(server, names, OFFERS - FIRST_OFFERS)
        await asyncio.to_thread(
            until,  # the allocator returns unused memory after a second
            lambda: resident_bytes(server) < first * (1 + GROWTH_MAX),
            lambda: f"{first} bytes after {FIRST_OFFERS} offers, {resident_bytes(server)} after {OFFERS}",
        )
        await asyncio.to_thread(
            until, lambda: open_files(server) <= files + 2, lambda: f"{files} open files, then {open_files(server)}"
        )
