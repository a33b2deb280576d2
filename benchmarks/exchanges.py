"""The load on servers that do not speak HTTP: pairs of parties meet, and the latency of each exchange is measured.

Each load is a closed loop like that of wrk: a connection does one exchange after the other. Exchanges are numbered in
the order in which they begin, and two with consecutive numbers meet. The parties write the wire protocols directly,
because a client library would cost more than the server. (kazoo is the exception: there the library *is* the recipe.)

There is no full parser of the protocols: the end of an answer is found by counting line ends.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final, cast

import uvloop

from benchmarks.figures import Load
from benchmarks.processes import BenchmarkError

__all__ = ["DoubleBarriers", "nats_request", "redis_lists", "redis_swap"]

_CRLF: Final = b"\r\n"
_PAYLOAD: Final = b"payload"
_CONNECT_S_MAX: Final = 10.0


class _Turns:
    """What the connections of one measurement share: the number of the next exchange, the latencies, the end time."""

    def __init__(self, ends_s: float) -> None:
        self.ends_s = ends_s
        self.numbers = count()
        self.latencies_s: list[float] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class _Party(asyncio.Protocol):
    """One connection. A subclass defines what it sends and how many line ends the answer has."""

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._lines_due = 0
        self._began_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def begin(self) -> None:
        """Start the next exchange, unless the time has passed."""
        self._began_s = time.perf_counter()
        if self._began_s < self.turns.ends_s:
            self.ask(next(self.turns.numbers))

    def ask(self, number: int) -> None:
        raise NotImplementedError

    def answered(self, answer: bytes) -> None:
        """Handle a whole answer. It ends the exchange, unless a subclass says otherwise."""
        _ = answer
        self.over()

    def over(self) -> None:
        self.turns.latencies_s.append(time.perf_counter() - self._began_s)
        self.begin()

    def send(self, data: bytes, lines_due: int) -> None:
        assert self._transport is not None
        self._lines_due = lines_due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if self._received.startswith(b"-"):
            self._fail(self._received.decode(errors="replace"))
        elif self._received.endswith(_CRLF) and self._received.count(_CRLF) >= self.lines_due():
            answer, self._received = self._received, b""
            self.answered(answer)

    def lines_due(self) -> int:
        return self._lines_due

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self.turns.ends_s:
            self._fail(f"the connection ended: {exc or 'the server closed it'}")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, message: str) -> None:
        if not self.turns.failed.done():
            self.turns.failed.set_exception(BenchmarkError(message))


def _resp(*words: bytes) -> bytes:
    """Return a command of Redis in RESP, its wire protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class _RedisLists(_Party):
    """Each party pushes its payload to the other's list and blocks on its own: RPUSH and BLPOP in one packet."""

    def ask(self, number: int) -> None:
        event, side = divmod(number, 2)
        own, other = b"e%d:%d" % (event, side), b"e%d:%d" % (event, 1 - side)
        self.send(_resp(b"RPUSH", other, _PAYLOAD) + _resp(b"BLPOP", own, b"0"), 6)


_SWAP: Final = b"""
local list = redis.call('LPOP', KEYS[1])
if not list then
  redis.call('RPUSH', KEYS[1], KEYS[2], ARGV[1])
  return false
end
redis.call('RPUSH', list, ARGV[1])
return redis.call('LPOP', KEYS[1])
"""


class _RedisSwap(_Party):
    """The first party stores its payload and the name of a list, and blocks on the list; the second swaps payloads."""

    _own = b""

    def ask(self, number: int) -> None:
        self._own = b"r%d" % number
        self.send(_resp(b"EVAL", _SWAP, b"2", b"e%d" % (number // 2), self._own, _PAYLOAD), 1)

    def answered(self, answer: bytes) -> None:
        if answer == b"$-1\r\n":
            self.send(_resp(b"BLPOP", self._own, b"0"), 5)
        elif answer.count(_CRLF) == 1:
            self._received, self._lines_due = answer, 2  # the payload itself has not arrived yet
        else:
            self.over()


_NATS_CONNECT: Final = b'CONNECT {"verbose":false,"pedantic":false}\r\n'


class _NatsRequester(_Party):
    """Sends requests on the subject of its pair, with its own inbox for the replies."""

    subject = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(_NATS_CONNECT + b"SUB inbox.%s 1\r\n" % self.subject, 0)

    def ask(self, number: int) -> None:
        _ = number
        head = b"PUB %s inbox.%s %d\r\n" % (self.subject, self.subject, len(_PAYLOAD))
        self.send(head + _PAYLOAD + _CRLF, 2)

    def data_received(self, data: bytes) -> None:
        if b"PING\r\n" in data:
            data = data.replace(b"PING\r\n", b"")
            assert self._transport is not None
            self._transport.write(b"PONG\r\n")
        if data.startswith(b"INFO "):
            data = data.partition(_CRLF)[2]
        if data:
            super().data_received(data)


class _NatsResponder(_NatsRequester):
    """Subscribes once, and replies to each message."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Party.connection_made(self, transport)
        self.send(_NATS_CONNECT + b"SUB %s 1\r\n" % self.subject, 2)

    def begin(self) -> None:
        pass

    def answered(self, answer: bytes) -> None:
        _ = answer
        self.send(b"PUB inbox.%s %d\r\n%s\r\n" % (self.subject, len(_PAYLOAD), _PAYLOAD), 2)


def redis_lists(port: int, connections: int, s: float) -> Load:
    """Let pairs meet through RPUSH and BLPOP; an exchange is the part of one of the two."""
    return uvloop.run(_measure(port, [_RedisLists] * connections, s))


def redis_swap(port: int, connections: int, s: float) -> Load:
    """Let pairs meet through a script that swaps payloads; an exchange is the part of one of the two."""
    return uvloop.run(_measure(port, [_RedisSwap] * connections, s))


def nats_request(port: int, connections: int, s: float) -> Load:
    """Let half of the connections request and the others reply; an exchange is one request with its reply."""

    def party(kind: type[_NatsRequester], pair: int) -> Callable[[_Turns], _Party]:
        return type(kind.__name__, (kind,), {"subject": b"e%d" % pair})

    kinds = (_NatsResponder, _NatsRequester)
    return uvloop.run(_measure(port, [party(kind, pair) for kind in kinds for pair in range(connections // 2)], s))


async def _measure(port: int, makers: list[Any], s: float) -> Load:
    loop = asyncio.get_running_loop()
    turns = _Turns(float("inf"))
    parties: list[_Party] = []
    try:
        async with asyncio.timeout(_CONNECT_S_MAX):
            for make in makers:
                _, party = await loop.create_connection(lambda make=make: make(turns), "127.0.0.1", port)  # type: ignore[misc]
                parties.append(party)
        await asyncio.sleep(0.1)  # subscriptions are not confirmed
        cpu_before_s, began_s = time.process_time(), time.perf_counter()
        turns.ends_s = began_s + s
        for party in parties:
            party.begin()
        await asyncio.wait((turns.failed,), timeout=s)
        turns.ends_s = 0.0
        if turns.failed.done():
            turns.failed.result()
        return Load.of(turns.latencies_s, time.perf_counter() - began_s, time.process_time() - cpu_before_s)
    finally:
        turns.ends_s = 0.0
        for party in parties:
            party.close()


class DoubleBarriers:
    """Pairs of kazoo clients, each with its own thread, that enter one double barrier of two after the other.

    They never leave a barrier. A client that leaves at once deletes the node by which the other learns that the barrier
    is open, and sometimes the other has not seen it yet.
    """

    def __init__(self, kazoo: Any, port: int, connections: int) -> None:
        logging.getLogger("kazoo").setLevel(logging.CRITICAL)  # it logs the end of connections to standard error
        self._kazoo = kazoo
        self._run = 0
        self._clients = [kazoo.client.KazooClient(f"127.0.0.1:{port}") for _ in range(connections)]
        for client in self._clients:
            client.start(timeout=_CONNECT_S_MAX)

    def measure(self, s: float) -> Load:
        """Let all pairs meet again and again for `s` seconds."""
        self._run += 1
        last = [1 << 60] * (len(self._clients) // 2)
        latencies_s: list[list[float]] = [[] for _ in self._clients]
        cpu_before_s, began_s = time.process_time(), time.perf_counter()
        threads = [
            threading.Thread(target=self._meet, args=(number, began_s + s, last, latencies_s[number]), daemon=True)
            for number in range(len(self._clients))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(s + _CONNECT_S_MAX)
        if any(thread.is_alive() for thread in threads):
            raise BenchmarkError("expected all double barriers to open, but some did not")
        passed_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_before_s
        return Load.of([each for those in latencies_s for each in those], passed_s, used_s)

    def _meet(self, number: int, ends_s: float, last: list[int], latencies_s: list[float]) -> None:
        """Meet the other client of the pair. The first sets `last` before it enters, so both stop at the same turn."""
        pair, side = divmod(number, 2)
        for turn in count():
            if side == 0 and time.perf_counter() >= ends_s:
                last[pair] = turn
            path = f"/syncnet-{len(self._clients)}-{self._run}-{pair}-{turn}"
            barrier = self._kazoo.recipe.barrier.DoubleBarrier(self._clients[number], path, 2, str(side))
            entered_s = time.perf_counter()
            barrier.enter()
            latencies_s.append(time.perf_counter() - entered_s)
            if last[pair] <= turn:
                return

    def close(self) -> None:
        """Stop all clients; the server must still run."""
        for client in self._clients:
            client.stop()
            client.close()
