"""The load of `syncnet bench`: groups of connections that meet again and again, and what came of it.

Laws:

- The number of connections is fixed. A group of `mates + 1` of them asks for an event of its own at the same moment, so
  its members meet each other and nobody else; when all have their answers the group goes on to the next event.
- With a rate every event has an intended moment, and times count from it, even where all groups were still busy then: a
  server that stands still for a second is not excused from the requests that it kept from being made (coordinated
  omission). Without one there is no such moment, and times count from when the request was sent.
- Nothing stays pending: offers bear a timeout and no id, so a server withdraws them when their connection ends. Where a
  member of a group fails, the others are given a moment to be told the same, and are then taken back.
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

_REST_S: Final = 0.1
"""For how long a group rests after trouble, so that a server that is away is not asked a thousand times a second."""

_GRACE_S: Final = 1.0
"""How much longer than an offer's timeout its answer is waited for."""

_IDLE_S_MAX: Final = 5.0
"""After that long unused a connection is made anew: the server may be about to close it."""

_AHEAD_S: Final = 0.5
"""How long before its moment a group sees to its connections."""

_CONNECT_S_MAX: Final = 10.0
_CONNECTS_AT_ONCE_MAX: Final = 64
_LOOK_S: Final = 0.25

_ROUNDING: Final = 1e-6
"""By how much of an event a product of times may be off."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask for. `rate` is in exchanges per second, None for as fast as it goes.

    `run` is a word that no other run has: it is part of every event.
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
    """Return for each member of a group its request, as what comes before and after the number of the event."""
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
    """One run. `figures` may be looked at while it goes on, from another thread too.

    :raises ParameterError: a file of certificates cannot be read.
    """

    def __init__(self, target: Target, plan: Plan) -> None:
        self.plan = plan
        self.figures = Figures(mates=plan.mates, connections=plan.groups * (plan.mates + 1), rate=plan.rate)
        self.began_s = math.inf
        self._target = target
        self._tls = target.tls()
        self._places = asyncio.Semaphore(_CONNECTS_AT_ONCE_MAX)
        self._requests = offer_requests(target, plan)
        self._stopped = asyncio.Event()
        self._asked = 0

    async def run(self) -> Figures:
        """Make the load until its time is over or `stop` is called; return the figures."""
        groups = [_Group(self, self._requests) for _ in range(self.plan.groups)]
        stopping: asyncio.Future[Any] = asyncio.create_task(self._stopped.wait())
        work: asyncio.Future[Any] = asyncio.gather(*(group.connect() for group in groups))
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        cpu_s, self.began_s = time.process_time(), now_s()
        if not self._stopped.is_set():
            work = asyncio.gather(*(group.run() for group in groups))
        while not work.done() and not self._stopped.is_set():
            await asyncio.wait({work, stopping}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for group in groups:
                group.give_up(now_s() - self.plan.timeout_s - _GRACE_S)
        ended_s = now_s()
        for group in groups:
            group.close()
        work.cancel()
        stopping.cancel()
        await asyncio.wait({work, stopping})
        with contextlib.suppress(asyncio.CancelledError):
            work.result()  # raises a fault of ours; those of a server are in the figures
        self._sum_up(ended_s, time.process_time() - cpu_s)
        return self.figures

    def stop(self) -> None:
        """End the run now."""
        self.figures.is_interrupted = True
        self._stopped.set()

    def events(self) -> Iterator[tuple[int, float | None]]:
        """Yield the number of an event that is to be asked for next, and its intended moment, until time is over.

        All groups share the numbers; a group takes one when it is free.
        """
        ends_s = self.began_s + self.plan.duration_s
        while not self._stopped.is_set() and now_s() < ends_s:
            number = self._asked
            moment_s = None if self.plan.rate is None else self.began_s + number * self._step_s()
            if moment_s is not None and number >= self._due(self.plan.duration_s):
                return
            self._asked += 1
            yield number, moment_s

    async def connected(self, connection: Connection) -> None:
        """Connect.

        :raises OSError: it did not work.
        """
        loop, target = asyncio.get_running_loop(), self._target
        async with self._places, asyncio.timeout(_CONNECT_S_MAX):
            await loop.create_connection(
                lambda: connection,
                target.host,
                target.port,
                ssl=self._tls,
                server_hostname=target.host if self._tls else None,
            )

    def _step_s(self) -> float:
        assert self.plan.rate is not None  # noqa: S101 - asked with a rate only
        return (self.plan.mates + 1) / self.plan.rate

    def _due(self, passed_s: float) -> int:
        """Return how many events are due by the rate before so much time has passed."""
        return max(1, math.ceil(passed_s / self._step_s() - _ROUNDING))

    def _sum_up(self, ended_s: float, cpu_s: float) -> None:
        figures = self.figures
        figures.passed_s = ended_s - self.began_s
        if not figures.is_interrupted:  # the last moment of a rate is a little before the end
            figures.passed_s = max(figures.passed_s, self.plan.duration_s)
        figures.cores = cpu_s / figures.passed_s if figures.passed_s else 0.0
        if self.plan.rate is not None:
            due = self._due(min(figures.passed_s, self.plan.duration_s))
            figures.not_asked = max(0, due - self._asked) * (self.plan.mates + 1)


class _Group:
    """Connections that meet each other, one event after the other."""

    def __init__(self, load: Load, requests: list[tuple[bytes, bytes]]) -> None:
        self._load = load
        self._figures = load.figures
        self._members = [_Member(self, before, after) for before, after in requests]
        self.last_rank = str(load.plan.mates)
        self._left = 0
        self._has_failed = False
        self._over: asyncio.Future[None] | None = None
        self._asked_s = math.inf

    async def run(self) -> None:
        """Meet until time is over."""
        for number, moment_s in self._load.events():
            if moment_s is not None and (ahead_s := moment_s - now_s() - _AHEAD_S) > 0:
                await asyncio.sleep(ahead_s)
            await self.connect()
            if moment_s is not None and (left_s := moment_s - now_s()) > 0:
                await asyncio.sleep(left_s)
            await self._meet(number, moment_s)
            if self._has_failed:
                await asyncio.sleep(_REST_S)

    async def connect(self) -> None:
        """See to it that all members have connections that can be used, as well as it goes."""
        since_s = now_s() - _IDLE_S_MAX
        missing = [member for member in self._members if not member.is_ready(since_s)]
        if missing:
            await asyncio.gather(*(member.connect(self._load) for member in missing))

    async def _meet(self, number: int, moment_s: float | None) -> None:
        self._left, self._has_failed = len(self._members), False
        self._over = asyncio.get_running_loop().create_future()
        self._asked_s = now_s()
        event = b"%d" % number
        for member in self._members:
            member.ask(event, moment_s)
        await self._over

    def answered(self, latency_s: float, last_arrival_s: float | None) -> None:
        """Note that a member has met the others; `last_arrival_s` is None where it was not the last to come."""
        self._figures.asking.note(latency_s)
        if last_arrival_s is not None:
            self._figures.last_arrival.note(last_arrival_s)
            self._figures.syncs += 1
        self._one_less()

    def failed(self, kind: str, message: str) -> None:
        """Note that a member has failed."""
        self._figures.note_error(kind, message)
        if not self._has_failed:
            self._has_failed = True
            asyncio.get_running_loop().call_later(_REST_S, self._take_back, self._over)
        self._one_less()

    def give_up(self, before_s: float) -> None:
        """Fail the members who have waited since before that moment."""
        if self._asked_s < before_s:
            for member in self._members:
                member.fail("no-answer", "the server did not answer, not even that the timeout had passed")

    def close(self) -> None:
        """End all connections, and count those who still wait as taken back."""
        for member in self._members:
            self._figures.withdrawn += member.close()

    def _take_back(self, meeting: asyncio.Future[None] | None) -> None:
        if self._over is meeting:
            for member in self._members:
                member.fail("mate-failed", "taken back, because a mate's offer had failed")

    def _one_less(self) -> None:
        self._left -= 1
        if self._left == 0 and self._over is not None:
            self._asked_s = math.inf
            if not self._over.done():
                self._over.set_result(None)


class _Member:
    """One of a group, with its connection."""

    def __init__(self, group: _Group, before: bytes, after: bytes) -> None:
        self._group = group
        self._before = before
        self._after = after
        self._sent_s = 0.0
        self._from_s = 0.0
        self._trouble = ("connection-lost", "the connection was closed")
        self._connection = self._new()

    def _new(self) -> Connection:
        return Connection(self._answered, self._group.failed)

    def is_ready(self, since_s: float) -> bool:
        """Return whether the connection can be used, and was used since then."""
        return self._connection.is_open and self._connection.idle_since_s >= since_s

    async def connect(self, load: Load) -> None:
        """Make a new connection; that it did not work is told when something is asked for."""
        self._connection.close()
        self._connection = connection = self._new()
        try:
            await load.connected(connection)
        except OSError as error:
            reason = "no connection in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            self._trouble = ("unreachable", reason)

    def ask(self, event: bytes, moment_s: float | None) -> None:
        """Send the request for an event."""
        if not self._connection.is_open:
            self._group.failed(*self._trouble)
            return
        self._sent_s = now_s()
        self._from_s = self._sent_s if moment_s is None else min(self._sent_s, moment_s)  # a timer may be early
        self._connection.ask(b"%b%b%b" % (self._before, event, self._after))

    def fail(self, kind: str, message: str) -> None:
        """Fail, if an answer is waited for, and end the connection."""
        if self.close():
            self._group.failed(kind, message)

    def close(self) -> bool:
        """End the connection, and so withdraw the offer; return whether an answer was waited for."""
        was_waiting = self._connection.is_waiting
        self._connection.close()
        return was_waiting

    def _answered(self, answer: Answer) -> None:
        answered_s = now_s()
        rank = answer.headers.get("syncnet-rank", "")
        if answer.status == 200 and rank:
            last_arrival_s = answered_s - self._sent_s if rank == self._group.last_rank else None
            self._group.answered(answered_s - self._from_s, last_arrival_s)
        elif answer.status == 200:
            self._group.failed("no-syncnet", "expected an answer of syncnet, got one without Syncnet-Rank")
        else:
            failure = failure_of(answer)
            has_code = failure.code not in ("unavailable", "refused")  # else it is not of syncnet, but of a proxy
            self._group.failed(failure.code if has_code else f"status-{answer.status}", str(failure))
