"""Clients that know several servers go to the next one when one is not reachable or accepts nothing."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from syncnet import AsyncClient, Client, UnavailableError, connect
from syncnet.cli.nats_servers import free_ports
from tests.end_to_end.running import Server, until


@pytest.fixture
def dead() -> str:
    """A URL at which nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def draining() -> Iterator[str]:
    """A server that answers offers with 503 `draining`."""
    server = Server("--log-format", "none", "--drain", "1h")
    with contextlib.closing(server), socket.create_connection(("127.0.0.1", server.port)) as waiting:
        waiting.sendall(b"GET /event?event=x&actor=A HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.until_pending(1)
        server.process.terminate()
        until(lambda: server.client.get("/readyz").status_code == 503, lambda: "the server does not drain")
        yield server.url


def test_a_client_of_threads_goes_to_the_server_that_answers(server: Server, dead: str, draining: str) -> None:
    with Client([dead, draining, server.url], reconnect_s=0) as net:
        assert net.sync("alone", actor="A", mates=0).number > 0
        assert net.stats() == {}
        assert repr(net) == f"Client('{dead},{draining},{server.url}')"
    with Client(f"{dead},{dead}", reconnect_s=0) as net, pytest.raises(UnavailableError, match="no answer from"):
        net.sync("alone", actor="A", mates=0)


@pytest.mark.anyio
async def test_a_client_of_tasks_goes_to_the_server_that_answers(server: Server, dead: str, draining: str) -> None:
    failures: list[UnavailableError | None] = []
    async with AsyncClient((draining, dead, server.url), on_retry=failures.append) as net:
        assert (await net.sync("alone", actor="A", mates=0)).number > 0
        assert (await net.sync("alone", actor="A", mates=0)).number > 0
    assert [getattr(failure, "code", "") for failure in failures] == ["draining", "unavailable", ""], (
        "and it stays there"
    )
    async with connect(f"{dead}, {server.url}") as other:
        assert (await other.sync("alone", actor="A", mates=0)).number > 0


def test_commands_go_to_the_server_that_answers(server: Server, dead: str) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "syncnet", *arguments, "--url", f"{dead},{server.url}", "--reconnect", "0"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    made = json.loads(run("event", "alone", "--actor", "A", "--mates", "0", "--namespace", "commands"))
    assert made["sync"] == 1
    assert [sync["sync"] for sync in json.loads(run("trace", "--format", "json", "--namespace", "commands"))] == [1]
    command = [sys.executable, "-m", "syncnet", "watch", "--output", "jsonl", "--url", f"{dead},{server.url}"]
    with subprocess.Popen(
        [*command, "--namespace", "watched"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as watch:
        assert watch.stdout is not None
        assert b'"open"' in watch.stdout.readline()
        watch.terminate()
