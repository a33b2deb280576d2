"""The load of `syncnet bench`: groups of connections whose offers sync with each other, again and again.

Laws:

- The number of connections is fixed. A group of `mates + 1` of them offers an event of its own at the same moment, so
  its members sync with each other only. When all have their responses, the group takes the next event.
- With a rate every event has an intended moment, and times count from it, even if all groups were busy at that moment:
  a server that stops for a second is charged with the requests that it prevented (this avoids coordinated omission).
  Without a rate, times count from when the request was sent.
- No offer stays pending: offers have a timeout and no id, so the server withdraws them when their connection ends. If a
  member of a group fails, the others get a moment to receive their own errors, and then their offers are withdrawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from syncnet.cli.bench.connection import Connection, now_s
from syncnet.cli.bench.figures import Figures
from syncnet.client.answers import Answer, failure_of
from syncnet.client.requests import Request, Target

__all__ = ["Load", "Plan", "offer_requests"]

_PAUSE_S: Final = 0.1
"""How long a group pauses after an error, so that it does not retry thousands of times a second."""

_GRACE_S: Final = 1.0
"""How much longer than the timeout of an offer to wait for its response."""

_IDLE_S_MAX: Final = 5.0
"""A connection that was unused for this long is replaced, because the server may be about to close it."""

_AHEAD_S: Final = 0.5
"""How long before its moment a group checks its connections."""

_CONNECT_S_MAX: Final = 10.0
_CONNECTS_AT_ONCE_MAX: Final = 64
_CHECK_S: Final = 0.25

_ROUNDING: Final = 1e-6
"""The rounding error of a product of times, in events."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run. `rate` is in exchanges per second, None for as fast as possible.

    `run` is unique to this run, and part of the name of every event.
    """

    run: str
    namespace: str
    mates: int
    groups: int
    rate: float | None
    duration_s: float
    timeout_s: float
    payload_bytes: int


def offer_requests(target: Target, plan: Plan) -> list[tuple[bytes, bytes]]:
    """Return the request of each member of a group, as the bytes before and after the number of the event."""
    body = b'{"payload":"%s"}' % (b"x" * plan.payload_bytes) if plan.payload_bytes else b""
    requests = []
    for member in range(plan.mates + 1):
        query = f"namespace={plan.namespace}&mates={plan.mates}&timeout={plan.timeout_s:g}s&actor=bench-{member}"
        request = Request("POST" if body else "GET", f"/event?{query}&event={plan.run}-", body)
        path, headers = target.head(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        requests.append((f"{request.method} {path}".encode(), f" HTTP/1.1\r\n{lines}\r\n".encode() + body))
    return requests


class Load:
    """One run. `figures` may be read during the run, also from another thread.

    :raises ParameterError: a file of certificates cannot be read.
    """

    def __init__(self, target: Target, plan: Plan) -> None:
        self.plan = plan
        self.figures: Figures = Figures(mates=plan.mates, connections=plan.groups * (plan.mates + 1), rate=plan.rate)
        self.began_s: float = math.inf
        self._target = target
        self._tls = target.tls()
        self._connects = asyncio.Semaphore(_CONNECTS_AT_ONCE_MAX)
        self._requests = offer_requests(target, plan)
        self._stopped = asyncio.Event()
        self._started = 0

    async def run(self) -> Figures:
        """Generate the load until its time is over or `stop` is called; return the figures."""
        groups = [_Group(self, self._requests) for _ in range(self.plan.groups)]
        stopping: asyncio.Future[Any] = asyncio.create_task(self._stopped.wait())
        work: asyncio.Future[Any] = asyncio.gather(*(group.connect() for group in groups))
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        cpu_s, self.began_s = time.process_time(), now_s()
        if not self._stopped.is_set():
            work = asyncio.gather(*(group.run() for group in groups))
        while not work.done() and not self._stopped.is_set():
            await asyncio.wait({work, stopping}, timeout=_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
            for group in groups:
                group.give_up(now_s() - self.plan.timeout_s - _GRACE_S)
        ended_s = now_s()
        for group in groups:
            group.close()
        work.cancel()
        stopping.cancel()
        await asyncio.wait({work, stopping})
        with contextlib.suppress(asyncio.CancelledError):
            work.result()  # raises a bug of ours; errors of the server are in the figures
        self._sum_up(ended_s, time.process_time() - cpu_s)
        return self.figures

    def stop(self) -> None:
        """End the run now."""
        self.figures.is_interrupted = True
        self._stopped.set()

    def events(self) -> Iterator[tuple[int, float | None]]:
        """Yield the number and the intended moment of the next event, until the time is over.

        All groups share the numbers; a group takes the next one when it is idle.
        """
        ends_s = self.began_s + self.plan.duration_s
        while not self._stopped.is_set() and now_s() < ends_s:
            number = self._started
            moment_s = None if self.plan.rate is None else self.began_s + number * self._step_s()
            if moment_s is not None and number >= self._due(self.plan.duration_s):
                return
            self._started += 1
            yield number, moment_s

    async def open(self, connection: Connection) -> None:
        """Connect.

        :raises OSError: it did not work.
        """
        loop, target = asyncio.get_running_loop(), self._target
        async with self._connects, asyncio.timeout(_CONNECT_S_MAX):
            await loop.create_connection(
                lambda: connection,
                target.host,
                target.port,
                ssl=self._tls,
                server_hostname=target.host if self._tls else None,
            )

    def _step_s(self) -> float:
        assert self.plan.rate is not None  # noqa: S101 - called only with a rate
        return (self.plan.mates + 1) / self.plan.rate

    def _due(self, passed_s: float) -> int:
        """Return how many events are due by the rate within this time."""
        return max(1, math.ceil(passed_s / self._step_s() - _ROUNDING))

    def _sum_up(self, ended_s: float, cpu_s: float) -> None:
        figures = self.figures
        figures.passed_s = ended_s - self.began_s
        if not figures.is_interrupted:  # with a rate the last event is due a little before the end
            figures.passed_s = max(figures.passed_s, self.plan.duration_s)
        figures.cores = cpu_s / figures.passed_s if figures.passed_s else 0.0
        if self.plan.rate is not None:
            due = self._due(min(figures.passed_s, self.plan.duration_s))
            figures.not_sent = max(0, due - self._started) * (self.plan.mates + 1)


class _Group:
    """Connections whose offers sync with each other, one event after the other."""

    def __init__(self, load: Load, requests: list[tuple[bytes, bytes]]) -> None:
        self._load = load
        self._figures = load.figures
        self._members = [_Member(self, before, after) for before, after in requests]
        self.last_rank = str(load.plan.mates)
        self._outstanding = 0
        self._has_failed = False
        self._ended: asyncio.Future[None] | None = None
        self._sent_at_s = math.inf

    async def run(self) -> None:
        """Take one event after the other until the time is over."""
        for number, moment_s in self._load.events():
            if moment_s is not None and (ahead_s := moment_s - now_s() - _AHEAD_S) > 0:
                await asyncio.sleep(ahead_s)
            await self.connect()
            if moment_s is not None and (left_s := moment_s - now_s()) > 0:
                await asyncio.sleep(left_s)
            await self._sync(number, moment_s)
            if self._has_failed:
                await asyncio.sleep(_PAUSE_S)

    async def connect(self) -> None:
        """Replace the connections that cannot be used; a failure shows when a request is sent."""
        since_s = now_s() - _IDLE_S_MAX
        missing = [member for member in self._members if not member.is_ready(since_s)]
        if missing:
            await asyncio.gather(*(member.connect(self._load) for member in missing))

    async def _sync(self, number: int, moment_s: float | None) -> None:
        self._outstanding, self._has_failed = len(self._members), False
        self._ended = asyncio.get_running_loop().create_future()
        self._sent_at_s = now_s()
        event = b"%d" % number
        for member in self._members:
            member.send(event, moment_s)
        await self._ended

    def synced(self, latency_s: float, last_arrival_s: float | None) -> None:
        """Note that the offer of a member has synced; `last_arrival_s` is None unless it was the last to arrive."""
        self._figures.response.note(latency_s)
        if last_arrival_s is not None:
            self._figures.last_arrival.note(last_arrival_s)
            self._figures.syncs += 1
        self._count_down()

    def failed(self, kind: str, message: str) -> None:
        """Note that the exchange of a member has failed."""
        self._figures.note_error(kind, message)
        if not self._has_failed:
            self._has_failed = True
            asyncio.get_running_loop().call_later(_PAUSE_S, self._withdraw, self._ended)
        self._count_down()

    def give_up(self, before_s: float) -> None:
        """Fail the members that have waited since before that moment."""
        if self._sent_at_s < before_s:
            for member in self._members:
                member.fail("no-response", "the server did not respond, not even after the timeout")

    def close(self) -> None:
        """Close all connections, and count the offers that were still pending as withdrawn."""
        for member in self._members:
            self._figures.withdrawn += member.close()

    def _withdraw(self, ended: asyncio.Future[None] | None) -> None:
        if self._ended is ended:
            for member in self._members:
                member.fail("mate-failed", "withdrawn, because the offer of a mate had failed")

    def _count_down(self) -> None:
        self._outstanding -= 1
        if self._outstanding == 0 and self._ended is not None:
            self._sent_at_s = math.inf
            if not self._ended.done():
                self._ended.set_result(None)


class _Member:
    """One member of a group, with its connection."""

    def __init__(self, group: _Group, before: bytes, after: bytes) -> None:
        self._group = group
        self._before = before
        self._after = after
        self._sent_s = 0.0
        self._counted_from_s = 0.0
        self._failure = ("connection-lost", "the connection was closed")
        self._connection = self._new_connection()

    def _new_connection(self) -> Connection:
        return Connection(self._received, self._group.failed)

    def is_ready(self, since_s: float) -> bool:
        """Return whether the connection is open, and was used since that moment."""
        return self._connection.is_open and self._connection.idle_since_s >= since_s

    async def connect(self, load: Load) -> None:
        """Open a new connection; a failure is kept and reported by the next `send`."""
        self._connection.close()
        self._connection = connection = self._new_connection()
        try:
            await load.open(connection)
        except OSError as error:
            reason = "no connection in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            self._failure = ("unreachable", reason)

    def send(self, event: bytes, moment_s: float | None) -> None:
        """Send the request for an event."""
        if not self._connection.is_open:
            self._group.failed(*self._failure)
            return
        self._sent_s = now_s()
        self._counted_from_s = self._sent_s if moment_s is None else min(self._sent_s, moment_s)  # a timer may be early
        self._connection.send(b"%b%b%b" % (self._before, event, self._after))

    def fail(self, kind: str, message: str) -> None:
        """Close the connection, and fail the exchange if a response is outstanding."""
        if self.close():
            self._group.failed(kind, message)

    def close(self) -> bool:
        """Close the connection, which withdraws its offer; return whether a response was outstanding."""
        was_waiting = self._connection.is_waiting
        self._connection.close()
        return was_waiting

    def _received(self, response: Answer) -> None:
        received_s = now_s()
        rank = response.headers.get("syncnet-rank", "")
        if response.status == 200 and rank:
            last_arrival_s = received_s - self._sent_s if rank == self._group.last_rank else None
            self._group.synced(received_s - self._counted_from_s, last_arrival_s)
        elif response.status == 200:
            self._group.failed("not-syncnet", "expected a response of syncnet, got one without Syncnet-Rank")
        else:
            failure = failure_of(response)
            has_code = failure.code not in ("unavailable", "refused")  # these come from a proxy, not from syncnet
            self._group.failed(failure.code if has_code else f"status-{response.status}", str(failure))
