"""Disconnected clients are found in the kernel's table of connections."""

import asyncio
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from syncnet.server.reaper import ConnectionReaper, connection, established
from tests.end_to_end.running import until


def test_only_open_connections_are_established() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0]:
                name = f"[{host}]" if ":" in host else host
                own, port = (f"{name}:{end}" for end in (client.getsockname()[1], client.getpeername()[1]))
                opened, other_port = connection(own, port), connection(own, f"{name}:1")
                assert established([opened, other_port, connection(f"{name}:1", port)]) == {opened}
                client.shutdown(socket.SHUT_WR)
                assert established([opened]) in (set(), None)


def test_an_ipv4_client_of_an_ipv6_socket_is_found() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0]:
            opened = connection(f"[::ffff:127.0.0.1]:{client.getsockname()[1]}", f"[::]:{port}")
            assert established([opened]) == {opened}


def test_g6_a_connection_with_very_many_unread_bytes_counts_as_disconnected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        opened = connection(f"127.0.0.1:{client.getsockname()[1]}", f"127.0.0.1:{listener.getsockname()[1]}")
        with listener.accept()[0]:
            client.sendall(b"x" * 30_000)
            assert established([opened]) == {opened}
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.sendall(b"x" * 100_000_000)  # more than all buffers hold
            until(lambda: not established([opened]), lambda: "the connection still counts as established")


def test_without_a_table_the_result_is_none(tmp_path: Path) -> None:
    assert established(["127.0.0.1:1>1"], [tmp_path / "none"]) is None


class Table:
    """A fake table: `missing` are the clients that each next look-up omits; `look_ups` counts the look-ups."""

    def __init__(self, *missing: set[str]) -> None:
        self.missing = list(missing)
        self.look_ups = asyncio.Semaphore(0)
        self.loop = asyncio.get_running_loop()

    def look_up(self, clients: Iterable[str]) -> set[str]:
        self.loop.call_soon_threadsafe(self.look_ups.release)
        return {*clients} - (self.missing.pop(0) if self.missing else set())


async def wait_until_cancelled(reaper: ConnectionReaper, client: str) -> bool:
    """Wait until this task is cancelled; return whether the reaper did it because the client had disconnected."""
    task = reaper.watch(client)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        was_disconnected = reaper.forget(task)
        task.uncancel()
        return was_disconnected
    return False


@pytest.mark.anyio
async def test_g6_a_connection_counts_as_disconnected_only_if_it_is_missing_twice() -> None:
    table = Table({"a:1", "b:1"}, {"b:1"})
    reaper = ConnectionReaper(0, table.look_up)
    missing_once, missing_twice = (
        asyncio.create_task(wait_until_cancelled(reaper, client)) for client in ("a:1", "b:1")
    )
    async with asyncio.timeout(10):
        assert await missing_twice
        for _ in range(4):
            await table.look_ups.acquire()
    assert not missing_once.done()
    missing_once.cancel()
    assert not await missing_once


@pytest.mark.anyio
async def test_g6_a_disconnected_client_is_found_after_a_later_client_with_the_same_port_has_left() -> None:
    table = Table()
    reaper = ConnectionReaper(0, table.look_up)
    first, second = (asyncio.create_task(wait_until_cancelled(reaper, "a:1")) for _ in range(2))
    async with asyncio.timeout(10):
        await table.look_ups.acquire()
        second.cancel()
        assert not await second
        table.missing = [{"a:1"}] * 9
        assert await first
