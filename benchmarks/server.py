"""How many requests a second one real server answers, as shares of what it answers when it has nothing to do.

The server is `syncnet 127.0.0.1:0` in a process of its own, without a terminal log; a second one draws its log as
lanes to /dev/null. Both are asked over keep-alive connections from this process. Static answers (`GET /healthz`) pass
through the same HTTP layer and do nothing else, so the rate of a workload divided by theirs is what meeting costs,
whatever the machine: that ratio is the figure to quote. Every round measures all workloads one after the other, each
round begins with another one, and a ratio is taken within its round; what is printed are the medians of the rounds.

Every sync happens in an event of its own, so nothing that a server might remember of an event flatters it.

Not measured: latency, many thousands of waiting offers, choices and selectors (those are the matcher's), networks,
TLS, and the cost of a new connection. Server and load run on the same machine and may take each other's cores, so
the rates are lower than those of a server alone, and a rate from one machine says nothing about another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import uvloop

from benchmarks.load import LoadError, Script, get, post_json, requests_per_s

__all__ = ["report"]

_CONNECTIONS_MAX: Final = 64
_REQUESTS_PER_ROUND: Final = 10_000
_ROUNDS: Final = 5
_START_S_MAX: Final = 10.0
_READY: Final = re.compile(rb"serves on http://127\.0\.0\.1:([0-9]+)\n")


class _Workload(NamedTuple):
    """What one table row measures: `parties` connections meet in every event; 1 where nobody meets."""

    name: str
    log_format: str
    parties: int
    request: Callable[[str, str, int], bytes]

    def scripts(self) -> list[Script]:
        groups = _CONNECTIONS_MAX // self.parties
        turns = _REQUESTS_PER_ROUND // (groups * self.parties)
        return [
            [self.request(f"meeting-{group}-{turn}", f"party-{party}", self.parties - 1) for turn in range(turns)]
            for group in range(groups)
            for party in range(self.parties)
        ]


def _healthz(event: str, actor: str, mates: int) -> bytes:
    _ = event, actor, mates
    return get("/healthz")


def _offer(event: str, actor: str, mates: int) -> bytes:
    more = "" if mates == 1 else f"&mates={mates}"
    return get(f"/event?event={event}&actor={actor}{more}")


def _json_offer(event: str, actor: str, mates: int) -> bytes:
    return post_json("/event", f'{{"event":"{event}","actor":"{actor}","mates":{mates},"payload":{{"n":1}}}}'.encode())


_BASE: Final = _Workload("static answers", "none", 1, _healthz)
_WORKLOADS: Final = (
    _BASE,
    _Workload("pairs", "none", 2, _offer),
    _Workload("barriers of 10", "none", 10, _offer),
    _Workload("pairs, POST of JSON", "none", 2, _json_offer),
    _Workload("pairs, log as graph", "graph", 2, _offer),
)


def report() -> str:
    """Measure (about half a minute) and return the table as text.

    :raises LoadError: a server did not start, or did not answer as it should.
    """
    rates = uvloop.run(_measure())
    lines = [_machine(), "", f"{'':<22}{'requests/s':>12}{'ratio':>10}   lowest to highest ratio"]
    for workload in _WORKLOADS:
        ratios = [rate / base for rate, base in zip(rates[workload.name], rates[_BASE.name], strict=True)]
        rate, ratio = statistics.median(rates[workload.name]), statistics.median(ratios)
        lines.append(f"{workload.name:<22}{rate:>12,.0f}{ratio:>10.2f}   {min(ratios):.2f} to {max(ratios):.2f}")
    return "\n".join(lines)


def _machine() -> str:
    load = f"{_ROUNDS} rounds of {_REQUESTS_PER_ROUND:,} requests on {_CONNECTIONS_MAX} connections"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"server: {load}; {python}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


async def _measure() -> dict[str, list[float]]:
    """Return the rates (requests a second) of all rounds, by the name of the workload."""
    scripts = {workload.name: workload.scripts() for workload in _WORKLOADS}
    rates: dict[str, list[float]] = {workload.name: [] for workload in _WORKLOADS}
    async with contextlib.AsyncExitStack() as stack:
        log_formats = dict.fromkeys(workload.log_format for workload in _WORKLOADS)
        ports = {each: await stack.enter_async_context(_serving("--log-format", each)) for each in log_formats}
        for workload in _WORKLOADS:
            warm_up = [script[: len(script) // 4] for script in scripts[workload.name]]
            await requests_per_s(ports[workload.log_format], warm_up)
        for round_ in range(_ROUNDS):
            first = round_ % len(_WORKLOADS)
            for workload in _WORKLOADS[first:] + _WORKLOADS[:first]:
                rate = await requests_per_s(ports[workload.log_format], scripts[workload.name])
                rates[workload.name].append(rate)
    return rates


@contextlib.asynccontextmanager
async def _serving(*options: str) -> AsyncIterator[int]:
    """Run a server in a process of its own, and give its port; what it prints goes to /dev/null."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "syncnet", "127.0.0.1:0", *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield await _port_of(process)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            process.kill()
        await process.wait()


async def _port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S_MAX):
            while line := await process.stderr.readline():
                said += line
                if match := _READY.search(line):
                    return int(match[1])
    raise LoadError(f"expected the server to say where it serves, got {said.decode(errors='replace')!r}")
