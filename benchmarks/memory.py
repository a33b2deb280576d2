"""How much memory a blocked request costs, and what happens to this memory after the clients have disconnected.

Each row has a new server. Some clients connect and wait for a mate that never comes, then all disconnect, then as many
connect again. Counted is the proportional set size of the whole server process: interpreter, granian, and our own data.
The kernel's memory for sockets is not included.
"""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.chart import Chart
from benchmarks.figures import machine, table
from benchmarks.processes import BenchmarkError, cpu_s, kilobytes, port_said, python, running

__all__ = ["report"]

_WAITING: Final = (1_000, 5_000, 15_000)
_KILOBYTES_MAX: Final = 32
_SHARE_MIN: Final = 0.9
_IDLE_S: Final = 0.5
_SETTLE_S_MAX: Final = 60.0
_FILES_KEPT: Final = 100
_PICTURE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-memory.svg"

_WAYS: Final[dict[str, Callable[[int], str]]] = {
    "each for an event of its own": lambda number: f"event=e{number:08d}&actor=a{number:08d}",
    "all for one event, as one actor": lambda _: "event=e&actor=a",
}


class _Row(NamedTuple):
    way: str
    waiting: int
    before_kb: int
    first_kb: int
    gone_kb: int
    again_kb: int

    @property
    def each_kb(self) -> float:
        return (self.first_kb - self.before_kb) / self.waiting

    @property
    def came_back(self) -> float:
        return (self.first_kb - self.gone_kb) / (self.first_kb - self.before_kb)

    @property
    def reused(self) -> float:
        return 1 - (self.again_kb - self.first_kb) / (self.first_kb - self.before_kb)


def report() -> str:
    """Measure (about a minute) and return the report in Markdown; draw the picture of it.

    :raises BenchmarkError: not all offers became pending, or the server did not become idle.
    """
    about = machine("syncnet-server", "granian", "uvloop")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    possible = [each for each in _WAITING if limit == resource.RLIM_INFINITY or each + _FILES_KEPT < limit]
    rows = [_measure(way, waiting) for way in _WAYS for waiting in possible]
    _PICTURE.write_text(_chart(rows).svg())
    lines = ["## Memory", "", about, ""]
    absent = [f"{each:,}" for each in _WAITING if each not in possible]
    if absent:
        lines += [f"Not here: {', '.join(absent)} requests (the limit on open files is {limit:,}).", ""]
    head = ("", "requests", "server before, MB", "with them, MB", "KB each", "came back", "reused by the next")
    lines += table(head, map(_cells, rows))
    most = [row for row in rows if row.waiting == max(possible)]
    worst_kb = max(row.each_kb for row in most)
    worst_share = min(max(row.came_back, row.reused) for row in most)
    lines += [
        "",
        f"- at {most[0].waiting:,}, up to {_KILOBYTES_MAX} KB: {worst_kb:.1f}, {_said(worst_kb <= _KILOBYTES_MAX)}",
        f"- at least {_SHARE_MIN:.0%} comes back or is reused: {worst_share:.0%}, {_said(worst_share >= _SHARE_MIN)}",
        "",
    ]
    return "\n".join(lines)


def _said(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def _cells(row: _Row) -> tuple[str, ...]:
    sizes = (f"{row.before_kb / 1024:.1f}", f"{row.first_kb / 1024:.1f}", f"{row.each_kb:.1f}")
    return (row.way, f"{row.waiting:,}", *sizes, f"{row.came_back:.0%}", f"{row.reused:.0%}")


def _chart(rows: list[_Row]) -> Chart:
    lines = {way: [(float(row.waiting), row.each_kb) for row in rows if row.way == way] for way in _WAYS}
    return Chart("Memory of a blocked request", "blocked requests", "KB each", lines)


def _measure(way: str, waiting: int) -> _Row:
    command = python("syncnet", "127.0.0.1:0", "--log-format", "none")
    with running(command, stderr=subprocess.PIPE) as process:
        port = port_said(process)
        with _clients(port, 100, lambda number: f"event=warm-up-{number // 2}&actor=a{number}"):
            _settle(process.pid)
        before_kb = _settle(process.pid)
        with _clients(port, waiting, _WAYS[way]):
            first_kb = _settle(process.pid)
        gone_kb = _settle(process.pid)
        with _clients(port, waiting, _WAYS[way]):
            again_kb = _settle(process.pid)
            _expect_pending(port, waiting)
    return _Row(way, waiting, before_kb, first_kb, gone_kb, again_kb)


@contextlib.contextmanager
def _clients(port: int, clients: int, query: Callable[[int], str]) -> Iterator[None]:
    """Let clients request `/event`, and disconnect them when the block ends. They never read an answer."""
    with contextlib.ExitStack() as stack:
        for number in range(clients):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10.0))
            connection.sendall(f"GET /event?{query(number)} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        yield


def _settle(pid: int) -> int:
    """Wait until a process is idle, and return its memory in kilobytes.

    Asking `/stats` whether all offers are pending would change the result: its answer lists all of them.
    """
    deadline_s = time.monotonic() + _SETTLE_S_MAX
    used_s = -1.0
    while cpu_s(pid) > used_s:
        used_s = cpu_s(pid)
        if time.monotonic() > deadline_s:
            raise BenchmarkError(f"expected an idle server within {_SETTLE_S_MAX:g} s")
        time.sleep(_IDLE_S)
    return kilobytes(pid)


def _expect_pending(port: int, waiting: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    connection.request("HEAD", "/stats")
    pending = connection.getresponse().headers["syncnet-pending"]
    connection.close()
    if pending != str(waiting):
        raise BenchmarkError(f"expected {waiting} pending offers, got {pending}")
