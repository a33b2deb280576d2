"""How many meetings a second one server makes over HTTP and how long they take, beside the ceiling and its peers.

The load on all that speaks HTTP is wrk with `requests.lua`: a closed loop on keep-alive connections. What does not
speak HTTP gets the closed loop of `exchanges.py`. All run for the same time on as many connections, one after the
other in each round, every round beginning with another; a ratio is taken within its round.

The *ceiling* is the granian that serves syncnet, embedded and set the same, that answers the same requests with a
fixed body of the size and the headers of a real answer: as granian runs any application, on the event loop. The rate of
pairs as a share of it is what meeting costs, whatever the machine: that ratio is the figure to quote. Because syncnet
takes its requests before they come to the loop, a second ceiling does so too. Two exchanges make a meeting (of two) but
for NATS, where a request and its reply are one, to a responder that stands ready: it is no rendezvous, and the next
best thing.

Server and load are on one machine and take each other's cores. Not measured: networks, TLS, new connections.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, TypeAlias

from benchmarks import peers
from benchmarks.chart import Chart
from benchmarks.exchanges import DoubleBarriers, nats_request, redis_lists, redis_swap
from benchmarks.figures import Load, machine, ratios, spread, table
from benchmarks.processes import BenchmarkError, cpu_s, port_said, python, running

__all__ = ["report", "wrk_load"]

_CONNECTIONS: Final = (2, 64, 512)
_QUOTED: Final = 64
_ROUNDS: Final = 5
_ROUND_S: Final = 2.0
_GRACE_S: Final = 30.0
_KAZOO_CONNECTIONS_MAX: Final = 64  # each client is three threads
_REQUESTS: Final = Path(__file__).with_name("requests.lua")
_PICTURE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-latency.svg"
_OWN_HEADERS: Final = ("server", "date", "content-length", "connection")  # granian adds them by itself

_OURS: Final = ("syncnet", "ceiling")
_CEILING: Final = "ceiling: fixed answers"
_TAKEN: Final = "ceiling, taken as syncnet takes them"
_PAIRS: Final = "syncnet, all pairs in one event"
_PAIRS_APART: Final = "syncnet, each pair in its own event"
_PAIRS_LOGGED: Final = "syncnet, own events, graph log to a file"

_Measure: TypeAlias = Callable[[int, float], Load]
"""Given connections and seconds, what a load on them for so long found."""


class _Side(NamedTuple):
    """One row of the tables. `parties` is how many exchanges make a meeting; 0 where nobody meets."""

    name: str
    measure: _Measure
    pid: int
    parties: int
    connections: tuple[int, ...] = _CONNECTIONS


class _Turn(NamedTuple):
    """What one side did in one round, and how many cores its server used meanwhile."""

    load: Load
    server_cores: float


_Turns: TypeAlias = dict[str, list[_Turn]]


def report() -> str:
    """Measure (some five minutes) and return the report in Markdown; draw the picture of it.

    :raises BenchmarkError: our own server or the ceiling did not do as they should.
    :raises NotHereError: there is no wrk.
    """
    about = machine("syncnet-server", "granian", "uvloop")
    wrk = peers.wrk()
    versions: list[str] = []
    absent: list[str] = []
    found: dict[int, _Turns] = {}
    with contextlib.ExitStack() as stack:
        sides = _our_sides(wrk, stack) + _their_sides(wrk, stack, versions, absent)
        for connections in _CONNECTIONS:
            level = [side for side in sides if connections in side.connections]
            found[connections] = _measured(level, connections, absent)
    parties = {side.name: side.parties for side in sides}
    _PICTURE.write_text(_chart(found).svg())
    lines = ["## Over HTTP", "", about]
    lines += [f"Peers: {'; '.join(versions) or 'none'}. {_ROUNDS} rounds of {_ROUND_S:g} s for each row.", ""]
    lines += [f"Not here: {each}." for each in absent]
    for connections, turns in found.items():
        lines += ["", f"### {connections} connections", "", *_rows(turns, parties)]
    return "\n".join([*lines, "", *_verdicts(found[_QUOTED], parties), ""])


# --- the sides ---------------------------------------------------------------------------------------------


def _our_sides(wrk: str, stack: contextlib.ExitStack) -> list[_Side]:
    pid, port = stack.enter_context(_syncnet("none"))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="syncnet-"))
    log = Path(folder) / "log"
    log_pid, log_port = stack.enter_context(_syncnet("graph", log))
    body_bytes, headers = _answer_of(port)

    def ceiling(name: str, how: str) -> _Side:
        command = python("benchmarks.ceiling", how, str(body_bytes), *headers)
        process = stack.enter_context(running(command, stderr=subprocess.PIPE))
        return _Side(name, functools.partial(wrk_load, wrk, port_said(process), kind="get", in_event=2), process.pid, 0)

    pairs = functools.partial(wrk_load, wrk, port)

    def logged(connections: int, s: float) -> Load:
        os.truncate(log, 0)  # it is opened to append
        return wrk_load(wrk, log_port, connections, s, "get", 2)

    def side(name: str, kind: str, in_event: int, parties: int, *connections: int) -> _Side:
        measure = functools.partial(pairs, kind=kind, in_event=in_event)
        return _Side(name, measure, pid, parties, connections or _CONNECTIONS)

    return [
        ceiling(_CEILING, "usual"),
        ceiling(_TAKEN, "taken"),
        side(_PAIRS, "get", 0, 2),
        side(_PAIRS_APART, "get", 2, 2),
        _Side(_PAIRS_LOGGED, logged, log_pid, 2),
        side("syncnet, own events, POST of JSON", "post", 2, 2, _QUOTED),
        side("syncnet, barriers of ten", "get", 10, 10, _QUOTED),
    ]


def _their_sides(wrk: str, stack: contextlib.ExitStack, versions: list[str], absent: list[str]) -> list[_Side]:
    """Return a row for each way to meet of each peer that is here, and say in `versions` and `absent` which are."""

    def started(name: str, peer: contextlib.AbstractContextManager[peers.Peer]) -> peers.Peer | None:
        try:
            it = stack.enter_context(peer)
        except peers.NotHereError as error:
            absent.append(f"{name} ({error})")
            return None
        versions.append(f"{name} {it.version}")
        return it

    sides: list[_Side] = []
    if it := started("Redis", peers.redis()):
        sides.append(_Side("Redis, RPUSH and BLPOP", functools.partial(redis_lists, it.port), it.pid, 2))
        sides.append(_Side("Redis, a script that swaps", functools.partial(redis_swap, it.port), it.pid, 2))
    if it := started("piping-server", peers.piping_server()):
        measure = functools.partial(wrk_load, wrk, it.port, kind="piping", in_event=2)
        sides.append(_Side("piping-server, POST and GET", measure, it.pid, 2))
    if it := started("NATS", peers.nats()):
        sides.append(_Side("NATS, request and reply", functools.partial(nats_request, it.port), it.pid, 1))
    try:
        kazoo = peers.kazoo()
    except peers.NotHereError as error:
        absent.append(f"kazoo ({error})")
        return sides
    if it := started(f"kazoo {kazoo.__version__} on ZooKeeper", peers.zookeeper()):
        barriers = _Barriers(kazoo, it.port)
        stack.callback(barriers.close)  # before the server ends
        few = tuple(each for each in _CONNECTIONS if each <= _KAZOO_CONNECTIONS_MAX)
        sides.append(_Side("kazoo, DoubleBarrier", barriers.measure, it.pid, 2, few))
    return sides


@contextlib.contextmanager
def _syncnet(log_format: str, log: Path | None = None) -> Iterator[tuple[int, int]]:
    """Run a server; give its process id and its port. Its log goes to the end of a file, or nowhere."""
    command = python("syncnet", "127.0.0.1:0", "--log-format", log_format)
    with contextlib.ExitStack() as stack:
        stdout = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        process = stack.enter_context(running(command, stdout=stdout, stderr=subprocess.PIPE))
        yield process.pid, port_said(process)


def _answer_of(port: int) -> tuple[int, list[str]]:
    """Let one pair meet; return how large its answer is, and the headers of it as `name=value`."""
    base = f"http://127.0.0.1:{port}/event?event=e00000000&actor=a0000000"
    mate = threading.Thread(target=lambda: urllib.request.urlopen(f"{base}1", timeout=10.0).close())
    mate.start()
    with urllib.request.urlopen(f"{base}2", timeout=10.0) as answer:
        body = answer.read()
        headers = [f"{name.lower()}={value}" for name, value in answer.headers.items()]
    mate.join()
    return len(body), [each for each in headers if each.partition("=")[0] not in _OWN_HEADERS]


# --- the loads ---------------------------------------------------------------------------------------------


def wrk_load(wrk: str, port: int, connections: int, s: float, kind: str, in_event: int, run: str = "") -> Load:
    """Let wrk ask for so long; `in_event` requests meet in an event, 0: all in one. `run` begins the ids of `named`.

    wrk counts in whole seconds, so `s` is rounded up.
    """
    url = f"http://127.0.0.1:{port}"
    command = [
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{-int(-s // 1)}s",
        "-s",
        str(_REQUESTS),
        url,
        "--",
        kind,
        str(in_event),
        run,
    ]
    before_s = _children_cpu_s()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=s + _GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"expected wrk to end after {s:g} s, but it goes on: {' '.join(command)}") from None
    said = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)
    if done.returncode or said is None:
        raise BenchmarkError(f"expected figures of wrk, got {done.stdout + done.stderr!r}")
    figures = json.loads(said[0])
    passed_s = figures["passed_us"] / 1e6
    return Load(
        exchanges_per_s=figures["requests"] / passed_s,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        p999_ms=figures["p999_us"] / 1e3,
        generator_cores=(_children_cpu_s() - before_s) / passed_s,
        errors=figures["errors"],
    )


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measured(sides: list[_Side], connections: int, absent: list[str]) -> _Turns:
    """Return what each side did in each round; every round begins with another side.

    A peer that does not do it at all on so many connections is left out, and `absent` says so.
    """
    turns: _Turns = {side.name: [] for side in sides}
    for round_ in range(_ROUNDS + 1):  # the first is to warm up, and not kept
        first = round_ % len(sides)
        for side in sides[first:] + sides[:first]:
            if side.name not in turns:
                continue
            print(f"\r{connections} connections, round {round_}: {side.name:<50}", end="", file=sys.stderr)
            try:
                turn = _turn(side, connections)
            except (BenchmarkError, OSError) as error:
                if side.name.startswith(_OURS):
                    raise
                absent.append(f"{side.name} on {connections} connections ({error})")
                del turns[side.name]
            else:
                turns[side.name] += [turn] if round_ else []
    print("\r" + " " * 90 + "\r", end="", file=sys.stderr)
    return turns


def _turn(side: _Side, connections: int) -> _Turn:
    before_s, began_s = cpu_s(side.pid), time.perf_counter()
    load = side.measure(connections, _ROUND_S)
    return _Turn(load, (cpu_s(side.pid) - before_s) / (time.perf_counter() - began_s))


# --- the report --------------------------------------------------------------------------------------------


def _rows(turns: _Turns, parties: dict[str, int]) -> list[str]:
    bases = [turn.load.exchanges_per_s for turn in turns[_CEILING]]
    rows = []
    for name, those in turns.items():
        loads = [turn.load for turn in those]
        rates = [load.exchanges_per_s for load in loads]
        errors = sum(load.errors for load in loads)
        rows.append(
            (
                name + (f" ({errors} errors)" if errors else ""),
                f"{median(rates):,.0f}",
                spread(ratios(rates, bases)),
                f"{median(rates) / parties[name]:,.0f}" if parties[name] else "",
                *(f"{median(getattr(load, each) for load in loads):,.2f}" for each in ("p50_ms", "p99_ms", "p999_ms")),
                f"{median(turn.server_cores for turn in those):.1f}",
                f"{median(load.generator_cores for load in loads):.1f}",
            )
        )
    head = (
        "",
        "exchanges/s",
        "of the ceiling",
        "meetings/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "server cores",
        "load cores",
    )
    return table(head, rows)


def _verdicts(turns: _Turns, parties: dict[str, int]) -> list[str]:
    """Return a line for each goal that has one: what it is, and whether it is reached."""

    def of_ceiling(name: str, figure: Callable[[Load], float]) -> float:
        return median(
            figure(turn.load) / figure(base.load) for turn, base in zip(turns[name], turns[_CEILING], strict=True)
        )

    lines = [f"At {_QUOTED} connections:", ""]
    slowest = min(of_ceiling(name, _rate) for name in (_PAIRS, _PAIRS_APART))
    lines.append(_goal("pairs, without a log: at least 0.75 of the ceiling's requests/s", slowest, slowest >= 0.75))
    logged = of_ceiling(_PAIRS_LOGGED, _rate)
    lines.append(_goal("with the graph log to a file: at least 0.67", logged, logged >= 2 / 3))
    tail = max(of_ceiling(name, lambda load: load.p99_ms) for name in (_PAIRS, _PAIRS_APART))
    lines.append(_goal("p99: at most 3 times the ceiling's", tail, tail <= 3))
    ours = turns[_PAIRS_APART]
    for name, theirs in turns.items():
        if name.startswith(_OURS):
            continue
        rate = median(
            (our.load.exchanges_per_s / 2) / (their.load.exchanges_per_s / parties[name])
            for our, their in zip(ours, theirs, strict=True)
        )
        latency = median(our.load.p50_ms / their.load.p50_ms for our, their in zip(ours, theirs, strict=True))
        lines.append(f"- against {name}: {_times(rate)} its meetings/s, {_times(latency)} its median latency")
    return lines


def _goal(text: str, value: float, reached: bool) -> str:
    return f"- {text}: {value:.2f}, {'reached' if reached else '**not reached**'}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} times" if ratio < 10 else f"{ratio:,.0f} times"


def _rate(load: Load) -> float:
    return load.exchanges_per_s


def _chart(found: dict[int, _Turns]) -> Chart:
    lines: dict[str, list[tuple[float, float]]] = {}
    for connections, turns in found.items():
        for name, those in turns.items():
            if sum(name in level for level in found.values()) > 1:
                lines.setdefault(name, []).append((connections, median(turn.load.p50_ms for turn in those)))
    return Chart("Median latency against load", "connections, each asks as soon as it is answered", "ms", lines)


class _Barriers:
    """The kazoo clients of a run, for each number of connections their own; kept, because to connect takes long."""

    def __init__(self, kazoo: object, port: int) -> None:
        self._kazoo = kazoo
        self._port = port
        self._kept: dict[int, DoubleBarriers] = {}

    def measure(self, connections: int, s: float) -> Load:
        if connections not in self._kept:
            self._kept[connections] = DoubleBarriers(self._kazoo, self._port, connections)
        return self._kept[connections].measure(s)

    def close(self) -> None:
        for each in self._kept.values():
            each.close()
