"""The kernel's table of connections, read for those who wait."""

import asyncio
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from syncnet.server.reaper import ConnectionReaper, connection, established
from tests.end_to_end.running import until


def test_only_those_whose_connection_is_open_are_established() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0]:
                name = f"[{host}]" if ":" in host else host
                own, port = (f"{name}:{end}" for end in (client.getsockname()[1], client.getpeername()[1]))
                there, elsewhere = connection(own, port), connection(own, f"{name}:1")
                assert established([there, elsewhere, connection(f"{name}:1", port)]) == {there}
                client.shutdown(socket.SHUT_WR)
                assert established([there]) in (set(), None)


def test_an_address_of_ipv4_on_a_socket_of_ipv6_is_the_same_client() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0]:
            there = connection(f"[::ffff:127.0.0.1]:{client.getsockname()[1]}", f"[::]:{port}")
            assert established([there]) == {there}


def test_g6_who_has_sent_so_much_that_its_end_could_not_be_seen_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        there = connection(f"127.0.0.1:{client.getsockname()[1]}", f"127.0.0.1:{listener.getsockname()[1]}")
        with listener.accept()[0]:
            client.sendall(b"x" * 30_000)
            assert established([there]) == {there}
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.sendall(b"x" * 100_000_000)  # more than all buffers take
            until(lambda: not established([there]), lambda: "it is taken to be there")


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    assert established(["127.0.0.1:1>1"], [tmp_path / "none"]) is None


class Table:
    """A table that can be told whom to leave out, and when; `looks` counts how often it was read."""

    def __init__(self, *missing: set[str]) -> None:
        self.missing = list(missing)
        self.looks = asyncio.Semaphore(0)
        self.loop = asyncio.get_running_loop()

    def look(self, clients: Iterable[str]) -> set[str]:
        self.loop.call_soon_threadsafe(self.looks.release)
        return {*clients} - (self.missing.pop(0) if self.missing else set())


async def watched(sweep: ConnectionReaper, client: str) -> bool:
    """Wait until the client is found to be gone; return whether it was."""
    task = sweep.watch(client)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        was_gone = sweep.forget(task)
        task.uncancel()
        return was_gone
    return False


@pytest.mark.anyio
async def test_g6_only_who_is_missing_twice_is_gone() -> None:
    table = Table({"a:1", "b:1"}, {"b:1"})
    sweep = ConnectionReaper(0, table.look)
    there, gone = (asyncio.create_task(watched(sweep, client)) for client in ("a:1", "b:1"))
    async with asyncio.timeout(10):
        assert await gone
        for _ in range(4):
            await table.looks.acquire()
    assert not there.done()
    there.cancel()
    assert not await there


@pytest.mark.anyio
async def test_g6_who_comes_from_the_port_of_one_that_is_gone_hides_it_only_while_it_waits_itself() -> None:
    table = Table()
    sweep = ConnectionReaper(0, table.look)
    elder, younger = (asyncio.create_task(watched(sweep, "a:1")) for _ in range(2))
    async with asyncio.timeout(10):
        await table.looks.acquire()
        younger.cancel()
        assert not await younger
        table.missing = [{"a:1"}] * 9
        assert await elder
