"""How much readers of the live trace slow pairs down, in one run.

Plain pairs (`requests.lua`) meet on one server for each number of readers. The servers take turns, in each round from
another one on, and the readers (`trace_readers.py`) are connected during the turn of their server only. A ratio is
taken to the server without readers, within a round. Goal: with 1,000 readers at least 0.8 of the rate without.

Server, load and readers share the cores of this machine, so the processor time of the readers counts against the
server, and so does what the kernel does for them.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
from collections.abc import Iterator
from typing import Final, NamedTuple

from benchmarks import peers
from benchmarks.figures import Load, machine, ratios, spread, table
from benchmarks.processes import BenchmarkError, cpu_s, python, running
from benchmarks.servers import Served, is_compiled, syncnet
from benchmarks.wrk import wrk_load

__all__ = ["report"]

_READERS: Final = (0, 1, 100, 1_000)
_CONNECTIONS: Final = 64
_ROUNDS: Final = 5
_ROUND_S: Final = 4.0
_WARM_UP_S: Final = 1.0
_SHARE_MIN: Final = 0.8


class _Turn(NamedTuple):
    """The pairs of one turn, the processor time of the server (s), and what the slowest reader got (bytes)."""

    load: Load
    server_s: float
    received_bytes: int


def report() -> str:
    """Measure (about two minutes) and return the table as Markdown.

    :raises BenchmarkError: a server answered with errors, or a reader got nothing.
    :raises NotHereError: there is no wrk.
    """
    wrk = peers.wrk()
    said = machine("syncnet-server", "granian", "uvloop")
    turns: dict[int, list[_Turn]] = {readers: [] for readers in _READERS}
    with contextlib.ExitStack() as stack:
        servers = {readers: stack.enter_context(syncnet("none")) for readers in _READERS}
        for server in servers.values():
            wrk_load(wrk, server.port, _CONNECTIONS, _WARM_UP_S, "plain", 2)
        for round_ in range(_ROUNDS):
            first = round_ % len(_READERS)
            for readers in (*_READERS[first:], *_READERS[:first]):
                turns[readers].append(_turn(wrk, servers[readers], readers))
    rates = {readers: [turn.load.exchanges_per_s for turn in turns[readers]] for readers in _READERS}
    share = {readers: ratios(rates[readers], rates[0]) for readers in _READERS}
    rows = [[f"{readers:,}", *_figures(turns[readers]), spread(share[readers])] for readers in _READERS]
    head = ["readers", "exchanges/s", "p99 ms", "server µs each", "KB/s to each reader", "of the rate without readers"]
    most = _READERS[-1]
    reached = statistics.median(share[most])
    build = "compiled" if is_compiled() else "as pure Python"
    return "\n".join(
        [
            "## Readers of the live trace",
            "",
            said,
            f"The server ran {build}. {_ROUNDS} rounds of {_ROUND_S:g} s for each row, {_CONNECTIONS} connections.",
            "",
            *table(head, rows),
            "",
            f"- with {most:,} readers, of the rate without, at least {_SHARE_MIN:g}: {reached:.2f}, "
            + ("reached" if reached >= _SHARE_MIN else "**not reached**"),
        ]
    )


def _turn(wrk: str, server: Served, readers: int) -> _Turn:
    with _reading(server.port, readers) as received:
        before_s = cpu_s(server.pid)
        load = wrk_load(wrk, server.port, _CONNECTIONS, _ROUND_S, "plain", 2)
        server_s = cpu_s(server.pid) - before_s
    if load.errors:
        raise BenchmarkError(f"expected no errors, got {load.errors}")
    return _Turn(load, server_s, received[0])


@contextlib.contextmanager
def _reading(port: int, readers: int) -> Iterator[list[int]]:
    """Have so many readers while the block lasts; afterwards the list has how many bytes the slowest one got."""
    received: list[int] = []
    if not readers:
        yield received
        received.append(0)
        return
    command = python("benchmarks.trace_readers", str(port), str(readers))
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise BenchmarkError(f"expected {readers} streams to begin")
        yield received
        process.stdin.close()
        received.append(int(process.stdout.readline()))
        process.wait()
    if not received[0]:
        raise BenchmarkError("expected every reader to get something")


def _figures(turns: list[_Turn]) -> list[str]:
    middle = statistics.median
    return [
        f"{middle(turn.load.exchanges_per_s for turn in turns):,.0f}",
        f"{middle(turn.load.p99_ms for turn in turns):.1f}",
        f"{middle(turn.server_s / _ROUND_S / turn.load.exchanges_per_s for turn in turns) * 1e6:.0f}",
        f"{middle(turn.received_bytes / _ROUND_S for turn in turns) / 1e3:,.0f}",
    ]
