"""Finds clients that have gone without granian noticing: those that sent more than one request asks for.

Granian does not read on from a connection whose request waits while bytes lie unread behind it (a second request, a
stray line end), and so does not see the end of it. The kernel does: it keeps a table of all connections with their
state (proc(5), /proc/net/tcp). Every few seconds the connections of those who wait are looked up there; one that is
established no more has no client (G6). Linux only; elsewhere nothing is found.

Where very much lies unread, the end of the connection cannot get through to this machine: the window of TCP is shut,
and the kernel of a client that was killed keeps it in its queue for minutes. Nobody has a use for so much behind a
request that waits, so such a connection is taken for one without a client.

The table is read in pieces while connections come and go, and the kernel may then leave one out that stood there all
the time. So nobody is gone who was missing once: whoever is missing is looked up again at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

__all__ = ["ConnectionReaper", "connection", "established"]

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED: Final = "01"
_UNREAD_BYTES_MAX: Final = 65_536
_EVERY_S: Final = 5.0
_HOSTS_REMEMBERED: Final = 4_096


class ConnectionReaper:
    """Those who wait: the tasks that watch over them, each with its connection, as `connection` names it.

    A task whose client is gone is cancelled, and learns so from `forget`. Two may have the same address: a client that
    is gone unnoticed, and one that came after it from the same port. `look` returns which of some connections are
    there, as `established` does.
    """

    def __init__(
        self, every_s: float = _EVERY_S, look: Callable[[Iterable[str]], set[str] | None] | None = None
    ) -> None:
        self._every_s = every_s
        self._look = established if look is None else look
        self._watches: dict[asyncio.Task[object], str] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._gone: set[asyncio.Task[object]] = set()

    def watch(self, client: str) -> asyncio.Task[object]:
        """Look after a client from now on, for the task that runs, which is returned."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cancelled when its client is gone")
        self._watches[task] = client
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())
        return task

    def forget(self, task: asyncio.Task[object]) -> bool:
        """Look after the client of a task no more; return whether it was found to be gone."""
        self._watches.pop(task, None)
        was_gone = task in self._gone
        self._gone.discard(task)
        return was_gone

    async def _sweep(self) -> None:
        """ConnectionReaper as long as anybody waits."""
        while self._watches:
            await asyncio.sleep(self._every_s)
            before = dict(self._watches)  # whoever comes while the table is read is looked up the next time
            if not before:
                break
            missing = await asyncio.to_thread(self._missing, set(before.values()))
            if missing is None:
                break
            for task, client in before.items():
                if client in missing and task in self._watches:
                    self._gone.add(task)
                    task.cancel()
        self._sweeping = None

    def _missing(self, clients: set[str]) -> set[str] | None:
        """Return those of `clients` that are not there, looked up twice; None where that cannot be known."""
        for _ in range(2):
            there = self._look(clients) if clients else set()
            if there is None:
                return None
            clients = clients - there
        return clients


def connection(client: str, server: str) -> str:
    """Return the name of a connection: the client's address and the server's port; both are given as `host:port`."""
    return f"{client}>{server.rpartition(':')[2]}"


def established(clients: Iterable[str], tables: Iterable[Path] = _TABLES) -> set[str] | None:
    """Return those of some connections that the kernel knows as established, with little unread.

    None where it cannot be asked.
    """
    try:
        there = {each for table in tables if table.exists() for each in _connections(table.read_text())}
    except OSError:
        return None
    return {client for client in clients if _plain(client) in there} if there else None


def _connections(table: str) -> Iterator[str]:
    for line in table.splitlines()[1:]:
        fields = line.split(None, 5)
        if fields[3] == _ESTABLISHED and int(fields[4].partition(":")[2], 16) <= _UNREAD_BYTES_MAX:
            host, _, port = fields[2].partition(":")
            yield f"{_from_hex(host)}:{int(port, 16)}>{int(fields[1].rpartition(':')[2], 16)}"


@lru_cache(_HOSTS_REMEMBERED)
def _from_hex(digits: str) -> str:
    """Return an address that the kernel writes as words of four bytes, each in the order of this machine (little)."""
    words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return _unmapped(b"".join(words))


def _plain(client: str) -> str:
    """Return `[::ffff:127.0.0.1]:80` and `127.0.0.1:80` in one form."""
    host, _, port = client.rpartition(":")
    return f"{_plain_host(host)}:{port}"


@lru_cache(_HOSTS_REMEMBERED)
def _plain_host(host: str) -> str:
    return _unmapped(ip_address(host.strip("[]")).packed)


def _unmapped(packed: bytes) -> str:
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
