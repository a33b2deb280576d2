"""How much clients that behave badly (`abusers.py`) slow down pairs of well-behaved clients, in one run.

Pairs meet over keep-alive connections as fast as they are answered: first undisturbed, then on the same server while a
separate process causes one kind of abuse. This is repeated, and a ratio is taken within its round. The figure is the
time from the first member's request to the second member's answer. The goal is at most twice the undisturbed median.

Server, pairs and abusers share the cores of this machine, so the processor time of the abusers counts against the
server.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import time
from typing import Final

import uvloop

from benchmarks.abusers import KINDS, get
from benchmarks.figures import machine, spread, table
from benchmarks.processes import BenchmarkError, port_said, python, running

__all__ = ["report"]

_PAIRS: Final = 16
_PHASE_S: Final = 2.0
_ROUNDS: Final = 5
_ANSWER_S_MAX: Final = 30.0
_SERVER_OPTIONS: Final = ("--log-format", "none", "--limit", "pending-per-namespace-max=100")


def report() -> str:
    """Measure (about a minute and a half) and return the table as Markdown.

    :raises BenchmarkError: a server did not start, or a pair did not meet.
    """
    rows = []
    for kind in KINDS:
        rounds = _rounds(kind)
        quiet, disturbed = (statistics.median(column) * 1_000 for column in zip(*rounds, strict=True))
        rows.append([kind, f"{quiet:.2f}", f"{disturbed:.2f}", spread([late / soon for soon, late in rounds])])
    lines = [
        "## Abuse",
        "",
        f"{_ROUNDS} rounds, {_PAIRS} pairs for {_PHASE_S:g} s each, medians in ms; {machine()}",
        "",
    ]
    return "\n".join(lines + table(["abuse", "undisturbed", "disturbed", "ratio"], rows))


def _rounds(kind: str) -> list[tuple[float, float]]:
    """Return the medians (s) of each round: undisturbed, and during the abuse."""
    rounds = []
    with running(python("syncnet", "127.0.0.1:0", *_SERVER_OPTIONS), stderr=subprocess.PIPE) as server:
        port = port_said(server)
        uvloop.run(_median_s(port))  # warm-up
        for _ in range(_ROUNDS):
            quiet_s = uvloop.run(_median_s(port))
            with running(python("benchmarks.abusers", kind, str(port)), stdout=subprocess.PIPE) as abusers:
                assert abusers.stdout is not None
                if abusers.stdout.readline() != b"ready\n":
                    raise BenchmarkError(f"expected the abusers ({kind}) to print that they are ready, but they ended")
                rounds.append((quiet_s, uvloop.run(_median_s(port))))
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
        raise BenchmarkError(f"expected a pair to meet, got {head.decode(errors='replace')!r}")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
