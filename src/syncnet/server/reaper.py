"""Finds clients that have disconnected without granian noticing.

While a request is in progress and unread bytes follow it on the connection (a second request, a stray line end),
granian does not read from the connection, and so does not notice that it was closed. The kernel does: it has a table
of all connections with their state (proc(5), /proc/net/tcp). Every few seconds the connections of pending requests are
looked up in this table. If a connection is no longer established, its client has disconnected (G6). This works on Linux
only; on other systems no disconnected client is found.

If very many bytes are unread, the end of the connection cannot reach this machine: the TCP receive window is full, and
the kernel of a killed client keeps the end in its send queue for minutes. No real client sends that much behind a
pending request, so such a connection counts as disconnected.

The table is read in pieces while connections open and close, and the kernel may then omit a connection that existed all
the time. So a connection that is missing is looked up a second time at once, and counts as disconnected only if it is
missing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final, Protocol

__all__ = ["ConnectionReaper", "connection", "established", "normalized"]

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED: Final = "01"
_UNREAD_BYTES_MAX: Final = 65_536
_INTERVAL_S: Final = 5.0
_CACHED_HOSTS_MAX: Final = 4_096


class Disconnecting(Protocol):
    """The protocol object of a request, as RSGI gives it."""

    async def client_disconnect(self) -> None:
        """Return when the client has disconnected."""


class ConnectionReaper:
    """Cancels the tasks of requests whose clients have disconnected.

    Each task is registered with its connection, named as by `connection`. A cancelled task learns the cause from
    `forget`. Two tasks may have the same connection: a client that disconnected unnoticed, and a later client with the
    same port. `look_up` returns which of the given connections are established; by default it is `established`.
    """

    def __init__(
        self, interval_s: float = _INTERVAL_S, look_up: Callable[[Iterable[str]], set[str] | None] | None = None
    ) -> None:
        self._interval_s = interval_s
        self._look_up = established if look_up is None else look_up
        self._connections: dict[asyncio.Task[object], str] = {}
        self._checking: asyncio.Task[None] | None = None
        self._disconnected: set[asyncio.Task[object]] = set()

    async def until_disconnected(self, protocol: Disconnecting, client: str) -> None:
        """Return when granian or the kernel says that the client has disconnected."""
        watched = self.watch(client)
        try:
            await protocol.client_disconnect()
        except asyncio.CancelledError:
            if not self.forget(watched):
                raise
            watched.uncancel()
        else:
            self.forget(watched)

    def watch(self, client: str) -> asyncio.Task[object]:
        """Register the current task with its connection, and return the task."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("expected to be called in a task, got none to cancel")
        self._connections[task] = client
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
        return task

    def forget(self, task: asyncio.Task[object]) -> bool:
        """Remove a task; return whether it was cancelled because its client had disconnected."""
        self._connections.pop(task, None)
        was_disconnected = task in self._disconnected
        self._disconnected.discard(task)
        return was_disconnected

    async def _check(self) -> None:
        """Check the connections at each interval, as long as there are any."""
        while self._connections:
            await asyncio.sleep(self._interval_s)
            checked = dict(self._connections)  # a copy: a connection that is added meanwhile is not in the table yet
            if not checked:
                break
            missing = await asyncio.to_thread(self._missing, set(checked.values()))
            if missing is None:
                break
            for task, client in checked.items():
                if client in missing and task in self._connections:
                    self._disconnected.add(task)
                    task.cancel()
        self._checking = None

    def _missing(self, clients: set[str]) -> set[str] | None:
        """Return those of `clients` that are missing in two look-ups; None if the table cannot be read."""
        for _ in range(2):
            present = self._look_up(clients) if clients else set()
            if present is None:
                return None
            clients = clients - present
        return clients


def connection(client: str, server: str) -> str:
    """Return the name of a connection: the client's address and the server's port; both arguments are `host:port`."""
    return f"{client}>{server.rpartition(':')[2]}"


def established(clients: Iterable[str], tables: Iterable[Path] = _TABLES) -> set[str] | None:
    """Return those of `clients` that the kernel lists as established, with at most 64 KiB unread.

    Returns None if the kernel's table cannot be read.
    """
    try:
        present = {name for table in tables if table.exists() for name in _connections(table.read_text())}
    except OSError:
        return None
    return {client for client in clients if normalized(client) in present} if present else None


def _connections(table: str) -> Iterator[str]:
    """Yield the names of the established connections in a table."""
    for line in table.splitlines()[1:]:
        fields = line.split(None, 5)
        if fields[3] == _ESTABLISHED and int(fields[4].partition(":")[2], 16) <= _UNREAD_BYTES_MAX:
            host, _, port = fields[2].partition(":")
            yield f"{_from_hex(host)}:{int(port, 16)}>{int(fields[1].rpartition(':')[2], 16)}"


@lru_cache(_CACHED_HOSTS_MAX)
def _from_hex(digits: str) -> str:
    """Parse an address that the kernel writes as words of four bytes, each in little-endian order."""
    words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return _unmapped(b"".join(words))


def normalized(client: str) -> str:
    """Return the name of a connection; the same one for `[::ffff:127.0.0.1]:80` and `127.0.0.1:80`."""
    host, _, port = client.rpartition(":")
    return f"{_normalized_host(host)}:{port}"


@lru_cache(_CACHED_HOSTS_MAX)
def _normalized_host(host: str) -> str:
    return _unmapped(ip_address(host.strip("[]")).packed)


def _unmapped(packed: bytes) -> str:
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
