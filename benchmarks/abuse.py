"""What pairs of well-behaved clients notice of those that behave badly (`abusers.py`), in one run.

Some pairs meet over keep-alive connections as fast as they are answered, undisturbed and then, on the same server,
while one kind of abuse goes on in a process of its own; this is repeated, and a ratio is taken within its round. The
figure is the time from the first member's request to the second member's answer. The goal is not more than twice the
undisturbed median.

Server, pairs and abusers share this machine's cores, so what the abusers cost to run is counted against the server.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import statistics
import sys
import time
from typing import Final

import uvloop

from benchmarks.abusers import KINDS
from benchmarks.load import LoadError, get
from benchmarks.server import _serving

__all__ = ["report"]

_PAIRS: Final = 16
_PHASE_S: Final = 2.0
_ROUNDS: Final = 5
_ANSWER_S_MAX: Final = 30.0
_SERVER_OPTIONS: Final = ("--log-format", "none", "--limit", "pending-per-namespace-max=100")


def report() -> str:
    """Measure (about a minute and a half) and return the table as text.

    :raises LoadError: a server did not start, or a pair did not meet.
    """
    rows = {kind: uvloop.run(_rounds(kind)) for kind in KINDS}
    lines = [
        _machine(),
        "",
        f"{'':<16}{'undisturbed ms':>16}{'disturbed ms':>14}{'ratio':>8}   lowest to highest ratio",
    ]
    for kind, rounds in rows.items():
        ratios = [disturbed / quiet for quiet, disturbed in rounds]
        quiet, disturbed = (statistics.median(column) * 1_000 for column in zip(*rounds, strict=True))
        lines.append(
            f"{kind:<16}{quiet:>16.2f}{disturbed:>14.2f}{statistics.median(ratios):>8.2f}"
            f"   {min(ratios):.2f} to {max(ratios):.2f}"
        )
    return "\n".join(lines)


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    where = f"{python}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    return f"abuse: medians of {_ROUNDS} rounds, {_PAIRS} pairs for {_PHASE_S:g} s each; {where}"


async def _rounds(kind: str) -> list[tuple[float, float]]:
    """Return the medians (s) of each round: undisturbed, and while the abuse goes on."""
    rounds = []
    async with _serving(*_SERVER_OPTIONS) as port:
        await _median_s(port)  # warms up
        for _ in range(_ROUNDS):
            quiet_s = await _median_s(port)
            abusers = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.abusers", kind, str(port)), stdout=asyncio.subprocess.PIPE
            )
            assert abusers.stdout is not None
            try:
                async with asyncio.timeout(_ANSWER_S_MAX):
                    if await abusers.stdout.readline() != b"ready\n":
                        raise LoadError(f"expected the abusers ({kind}) to say that they are ready; they ended")
                rounds.append((quiet_s, await _median_s(port)))
            finally:
                abusers.kill()
                await abusers.wait()
    return rounds


async def _median_s(port: int) -> float:
    """Let pairs meet for a while; return the median of the times that they took."""
    until_s = time.perf_counter() + _PHASE_S
    times_s: list[float] = []
    async with asyncio.TaskGroup() as group:
        for pair in range(_PAIRS):
            group.create_task(_meet(port, pair, until_s, times_s))
    return statistics.median(times_s)


async def _meet(port: int, pair: int, until_s: float, times_s: list[float]) -> None:
    ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for turn in itertools.count():
        started_s = time.perf_counter()
        if started_s >= until_s:
            break
        for actor, (_, writer) in zip("AB", ends, strict=True):
            writer.write(get(f"/event?event=pair-{pair}-{turn}&actor={actor}"))
        async with asyncio.timeout(_ANSWER_S_MAX):
            for reader, _ in ends:
                await _read_answer(reader)
        times_s.append(time.perf_counter() - started_s)
    for _, writer in ends:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise LoadError(f"expected a pair to meet, got {head.decode(errors='replace')!r}")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
