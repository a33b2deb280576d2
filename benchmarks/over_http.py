"""How many requests a second one server answers over HTTP and how long they take, next to ceilings and peers.

The load on everything that speaks HTTP is wrk (`wrk.py`) with each shape of request (`shapes.py`). Redis and NATS get
the closed loop of `exchanges.py`. All run for the same time on the same number of connections, one after the other in
each round. Every round begins with another row. A ratio to a ceiling is taken to its latest turn, which was a few turns
before; all others are taken within their round.

A *ceiling* (`ceiling.py`) is the granian that serves syncnet with an application that does almost nothing and answers
with a body of the size and the headers of a real answer. The ratio to quote is the one to the ceiling that takes
requests as syncnet does and answers them two by two: the rest is what syncnet itself costs, on any machine.

Two exchanges make a meeting of two. NATS is different: there a request and its reply are one exchange. A responder is
already waiting, so it is not a rendezvous; it is the nearest thing that NATS has.

With `--before` each of our rows is measured a second time, on a server of another checkout, right after the first.

Server and load share the cores of one machine. Not measured: networks, TLS, new connections.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import http_report, peers
from benchmarks.exchanges import DoubleBarriers, nats_request, redis_lists, redis_swap
from benchmarks.figures import Load, machine
from benchmarks.http_report import BEFORE, LOGGED, Measure, Row, Turn, Turns
from benchmarks.options import Options
from benchmarks.processes import BenchmarkError, cpu_s, port_said, python, running
from benchmarks.servers import Served, answer_of, is_compiled, syncnet
from benchmarks.shapes import BODY, MIXED, PAIRWISE, PLAIN, SHAPES, TAKEN, USUAL, Shape
from benchmarks.wrk import asking_for_stats, wrk_load

__all__ = ["Ceilings", "report"]

_ROUNDS: Final = {64: 5, 2: 3, 512: 3}
"""How many rounds for each number of connections, in the order in which they are measured."""

_QUOTED: Final = 64
_ROUND_S: Final = 2.0
_WARM_UP_S: Final = 1.0
_CEILING_AGAIN_S: Final = 1.0
_CEILING_TURNS_MAX: Final = 4
_PICTURE: Final = Path(__file__).parent.parent / "docs" / "benchmarks-latency.svg"
_CEILINGS: Final = {USUAL: "usual", TAKEN: "taken", PAIRWISE: "pairwise", BODY: "body"}


def report(options: Options) -> str:
    """Measure (some eleven minutes) and return the report in Markdown; draw the picture of it.

    :raises BenchmarkError: our own server or a ceiling failed.
    :raises NotHereError: there is no wrk.
    """
    about = machine("syncnet-server", "granian", "uvloop")
    wrk = peers.wrk()
    versions: list[str] = []
    absent: list[str] = []
    found: dict[int, Turns] = {}
    compiled = is_compiled()
    rounds = {each: options.rounds or _ROUNDS.get(each, 3) for each in options.connections or _ROUNDS}
    with contextlib.ExitStack() as stack:
        rows = _our_rows(wrk, stack, options)
        if not options.rows:
            rows += _their_rows(wrk, stack, versions, absent)
        for connections in rounds:
            level = [row for row in rows if connections in (row.connections or rounds) and row.fits(connections)]
            if not found:
                print("warming up", file=sys.stderr)
                _measured(level, connections, 1, absent, _WARM_UP_S)
            found[connections] = _measured(level, connections, rounds[connections], absent, _ROUND_S)
    if options.is_whole:
        _PICTURE.write_text(http_report.chart(found).svg())
    lines = ["## Over HTTP", "", about]
    lines += [f"The server ran {'compiled' if compiled else 'as pure Python'}. Peers: {'; '.join(versions) or 'none'}."]
    lines += [f"Not here: {each}." for each in dict.fromkeys(absent)]
    for connections, turns in sorted(found.items()):
        title = f"### {connections} connections, {rounds[connections]} rounds of {_ROUND_S:g} s for each row"
        lines += ["", title, "", *http_report.rows(turns)]
        if options.before is not None:
            lines += ["", *http_report.comparison(turns)]
    if _QUOTED in found:
        verdicts = http_report.verdicts(found[_QUOTED], is_compiled=compiled)
        lines += ["", f"At {_QUOTED} connections:", "", *verdicts]
    return "\n".join([*lines, ""])


# --- the rows ----------------------------------------------------------------------------------------------


def _our_rows(wrk: str, stack: contextlib.ExitStack, options: Options) -> list[Row]:
    """Start our servers and the ceilings; return the rows, each followed by that of the other checkout."""
    trees: dict[str, Path | None] = {"": None}
    if options.before is not None:
        trees[BEFORE] = options.before
    sides = [(prefix, stack.enter_context(syncnet("none", tree=tree))) for prefix, tree in trees.items()]
    body_bytes, headers = answer_of(sides[0][1].port)
    rows = []
    for name, how in _CEILINGS.items():
        command = python("benchmarks.ceiling", how, str(body_bytes), *headers)
        process = stack.enter_context(running(command, stderr=subprocess.PIPE))
        shape = "post" if how == "body" else "plain"
        measure = functools.partial(wrk_load, wrk, port_said(process), shape=shape, in_event=2)
        rows.append(Row(name, measure, process.pid, 0, ceiling=BODY if name == BODY else PAIRWISE))
    wanted = [each for each in SHAPES if each is PLAIN or _is_wanted(each.title, options)]
    rows += [_row(wrk, prefix, server, shape) for shape in wanted for prefix, server in sides]
    if _is_wanted(LOGGED, options):
        rows += [_logged_row(wrk, stack, prefix, tree) for prefix, tree in trees.items()]
    return rows


def _is_wanted(title: str, options: Options) -> bool:
    return not options.rows or any(each in title for each in options.rows)


def _row(wrk: str, prefix: str, server: Served, shape: Shape) -> Row:
    measure: Measure = functools.partial(wrk_load, wrk, server.port, shape=shape.lua, in_event=shape.in_event)
    if shape is MIXED:

        def mixed(connections: int, s: float) -> Load:
            with asking_for_stats(server.port):
                return wrk_load(wrk, server.port, connections, s, shape.lua, shape.in_event)

        measure = mixed
    return Row(prefix + shape.title, measure, server.pid, shape.parties, ceiling=shape.ceiling, fits=shape.fits)


def _logged_row(wrk: str, stack: contextlib.ExitStack, prefix: str, tree: Path | None) -> Row:
    log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncnet-"))) / "log"
    server = stack.enter_context(syncnet("graph", log, tree))

    def logged(connections: int, s: float) -> Load:
        os.truncate(log, 0)  # the server opened it to append
        return wrk_load(wrk, server.port, connections, s, PLAIN.lua, PLAIN.in_event)

    return Row(prefix + LOGGED, logged, server.pid, PLAIN.parties)


def _their_rows(wrk: str, stack: contextlib.ExitStack, versions: list[str], absent: list[str]) -> list[Row]:
    """Return a row for each way to meet of each peer that is here; add to `versions` and `absent` which are."""

    def started(name: str, peer: contextlib.AbstractContextManager[peers.Peer]) -> peers.Peer | None:
        try:
            it = stack.enter_context(peer)
        except peers.NotHereError as error:
            absent.append(f"{name} ({error})")
            return None
        versions.append(f"{name} {it.version}")
        return it

    rows: list[Row] = []
    few = (_QUOTED,)
    if it := started("Redis", peers.redis()):
        rows.append(Row("Redis, RPUSH and BLPOP", functools.partial(redis_lists, it.port), it.pid, 2, is_peer=True))
        rows.append(Row("Redis, a script that swaps", functools.partial(redis_swap, it.port), it.pid, 2, is_peer=True))
    if it := started("NATS", peers.nats()):
        rows.append(Row("NATS, request and reply", functools.partial(nats_request, it.port), it.pid, 1, is_peer=True))
    if it := started("piping-server", peers.piping_server()):
        measure = functools.partial(wrk_load, wrk, it.port, shape="piping", in_event=2)
        rows.append(Row("piping-server, POST and GET", measure, it.pid, 2, few, is_peer=True))
    try:
        kazoo = peers.kazoo()
    except peers.NotHereError as error:
        absent.append(f"kazoo ({error})")
        return rows
    if it := started(f"kazoo {kazoo.__version__} on ZooKeeper", peers.zookeeper()):
        barriers = _Barriers(kazoo, it.port)
        stack.callback(barriers.close)  # before the server ends
        rows.append(Row("kazoo, DoubleBarrier", barriers.measure, it.pid, 2, few, is_peer=True))
    return rows


class _Barriers:
    """The kazoo clients of a run, separate ones for each number of connections; kept, because connecting is slow."""

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


# --- the rounds --------------------------------------------------------------------------------------------


def _measured(rows: list[Row], connections: int, rounds: int, absent: list[str], s: float) -> Turns:
    """Return what each row did in each round, in `s` seconds; every round begins with another row.

    A peer that fails on so many connections is left out, and is named in `absent`.
    """
    turns: Turns = {row: [] for row in rows}
    ceilings = Ceilings(rows, connections)
    for round_ in range(rounds):
        first = round_ * len(rows) // rounds
        for row in rows[first:] + rows[:first]:
            if row not in turns:
                continue
            print(f"\r{connections} connections, round {round_ + 1}: {row.name:<55}", end="", file=sys.stderr)
            try:
                turns[row].append(ceilings.turn(row, s))
            except (BenchmarkError, OSError) as error:
                if not row.is_peer:
                    raise
                absent.append(f"{row.name} on {connections} connections ({error})")
                del turns[row]
    print("\r" + " " * 95 + "\r", end="", file=sys.stderr)
    return turns


class Ceilings:
    """Measures rows, each with the latest rate of its ceiling.

    A round takes the better part of a minute, and the speed of a shared machine drifts meanwhile. So a ceiling that was
    measured more than a few turns ago is first measured again, briefly.
    """

    def __init__(self, rows: list[Row], connections: int) -> None:
        self._rows = {row.name: row for row in rows}
        self._connections = connections
        self._turns_total = 0
        self._latest: dict[str, tuple[int, float]] = {}

    def turn(self, row: Row, s: float) -> Turn:
        """Load one row for so long; return what it did."""
        is_ceiling = row.name == row.ceiling
        base = 0.0 if is_ceiling else self._rate(row.ceiling)
        before_s, began_s = cpu_s(row.pid), time.perf_counter()
        load = row.measure(self._connections, s)
        server_cores = (cpu_s(row.pid) - before_s) / (time.perf_counter() - began_s)
        self._turns_total += 1
        if is_ceiling:
            base = load.exchanges_per_s
            self._latest[row.name] = self._turns_total, base
        return Turn(load, server_cores, base)

    def _rate(self, name: str) -> float:
        measured_at, rate = self._latest.get(name, (0, 0.0))
        if not rate or self._turns_total - measured_at > _CEILING_TURNS_MAX:
            rate = self._rows[name].measure(self._connections, _CEILING_AGAIN_S).exchanges_per_s
            self._latest[name] = self._turns_total, rate
        return rate
