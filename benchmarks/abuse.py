"""How much clients that behave badly (`abusers.py`) slow down pairs of well-behaved clients, in one run.

Pairs meet over keep-alive connections as fast as they are answered: first undisturbed, then on the same server while a
separate process causes one kind of abuse. This is repeated, and a ratio is taken within its round. The figure is the
time from the first member's request to the second member's answer. During the abuse `/healthz` is asked too, and the
memory of the server is read at the end. Goals: at most twice the undisturbed median, `/healthz` within 100 ms, and the
memory that docs/limits.md states.

Abusers and pairs have different addresses. Server, pairs and abusers share the cores of this machine, so the processor
time of the abusers counts against the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from benchmarks.abusers import KINDS
from benchmarks.dear_requests import get
from benchmarks.figures import machine, spread, table
from benchmarks.processes import BenchmarkError, port_said, python, running

__all__ = ["report"]

_PAIRS: Final = 16
_PHASE_S: Final = 2.0
_ROUNDS: Final = 5
_ANSWER_S_MAX: Final = 30.0
_PROBE_EVERY_S: Final = 0.05
_RATIO_MAX: Final = 2.0
_HEALTHZ_MS_MAX: Final = 100.0
_OPTIONS: Final = ("--log-format", "none")
_FEW_PENDING: Final = ("--limit", "pending-per-namespace-max=100")  # the abuser `flood` fills a namespace
_BEFORE_RESTART: Final = "dear-timeouts"
_DISK: Final = Path(__file__).parent.parent / ".bench"


class _Phase(NamedTuple):
    """Medians of the pairs without and with abuse, the slowest answer of `/healthz` (s), and the peak memory (MB)."""

    quiet_s: float
    disturbed_s: float
    healthz_s: float
    peak_mb: float


def report() -> str:
    """Measure (about four minutes) and return the table as Markdown.

    :raises BenchmarkError: a server did not start, or a pair did not meet.
    """
    rows = []
    verdicts = []
    for kind in KINDS:
        phases = _rounds(kind)
        ratio = [phase.disturbed_s / phase.quiet_s for phase in phases]
        healthz_ms = statistics.median(phase.healthz_s for phase in phases) * 1_000
        quiet, disturbed = (statistics.median(column) * 1_000 for column in list(zip(*phases, strict=True))[:2])
        peak = max(phase.peak_mb for phase in phases)
        rows.append([kind, f"{quiet:.2f}", f"{disturbed:.2f}", spread(ratio), f"{healthz_ms:.0f}", f"{peak:.0f}"])
        for what, value, most in (
            ("of the undisturbed median", statistics.median(ratio), _RATIO_MAX),
            ("ms for `/healthz`", healthz_ms, _HEALTHZ_MS_MAX),
        ):
            if value > most:
                verdicts.append(f"- {kind}: {value:.1f} {what}, at most {most:g}: **not reached**")
    lines = [
        "## Abuse",
        "",
        f"{_ROUNDS} rounds, {_PAIRS} pairs for {_PHASE_S:g} s each, medians in ms; {machine()}",
        "",
    ]
    head = ["abuse", "undisturbed", "disturbed", "ratio", "slowest `/healthz`", "peak memory, MB"]
    lines += [*table(head, rows), "", *_restart()]
    return "\n".join([*lines, *(verdicts or ["- all goals (ratio 2, `/healthz` 100 ms): reached"])])


def _rounds(kind: str) -> list[_Phase]:
    """Measure each round: undisturbed, and during the abuse."""
    phases = []
    options = _FEW_PENDING if kind == "flood" else ()
    with running(python("syncnet", "127.0.0.1:0", *_OPTIONS, *options), stderr=subprocess.PIPE) as server:
        port = port_said(server)
        uvloop.run(_measured(port))  # warm-up
        for _ in range(_ROUNDS):
            quiet_s, _ = uvloop.run(_measured(port))
            with _abuse(kind, port):
                disturbed_s, healthz_s = uvloop.run(_measured(port))
            phases.append(_Phase(quiet_s, disturbed_s, healthz_s, _peak_mb(server.pid)))
    return phases


@contextlib.contextmanager
def _abuse(kind: str, port: int) -> Iterator[None]:
    with running(python("benchmarks.abusers", kind, str(port)), stdout=subprocess.PIPE) as abusers:
        assert abusers.stdout is not None
        if abusers.stdout.readline() != b"ready\n":
            raise BenchmarkError(f"expected the abusers ({kind}) to print that they are ready, but they ended")
        yield


def _restart() -> list[str]:
    """Measure how long a server takes to answer again after it was killed during an attack, with a journal."""
    _DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_DISK) as folder:
        command = python("syncnet", "127.0.0.1:0", *_OPTIONS, "--journal", folder)
        with running(command, stderr=subprocess.PIPE) as server, _abuse(_BEFORE_RESTART, port_said(server)):
            time.sleep(_PHASE_S)
            server.kill()
            server.wait()
        started_s = time.perf_counter()
        with running(command, stderr=subprocess.PIPE) as server:
            port = port_said(server)
            uvloop.run(_measured(port, phase_s=0.01))
            took_s = time.perf_counter() - started_s
    return [f"- the first pair after a restart, {_PHASE_S:g} s into *{_BEFORE_RESTART}* with a journal: {took_s:.2f} s"]


def _peak_mb(pid: int) -> float:
    match = re.search(r"VmHWM:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1_024 if match else 0.0


async def _measured(port: int, phase_s: float = _PHASE_S) -> tuple[float, float]:
    """Let pairs meet for a while; return the median of the times that they took, and the slowest `/healthz` (s)."""
    until_s = time.perf_counter() + phase_s
    times_s: list[float] = []
    probes_s: list[float] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_probe(port, until_s, probes_s))
        for pair in range(_PAIRS):
            group.create_task(_meet(port, pair, until_s, times_s))
    return statistics.median(times_s), max(probes_s)


async def _probe(port: int, until_s: float, times_s: list[float]) -> None:
    while not times_s or time.perf_counter() < until_s:
        started_s = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/healthz"))
        async with asyncio.timeout(_ANSWER_S_MAX):
            await _read_answer(reader)
        writer.close()
        times_s.append(time.perf_counter() - started_s)
        await asyncio.sleep(_PROBE_EVERY_S)


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
