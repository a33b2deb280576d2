"""Finds clients that have gone without granian noticing: those that sent more than one request asks for.

Granian does not read on from a connection whose request waits while bytes lie unread behind it (a second request, a
stray line end), and so does not see the end of it. The kernel does: it keeps a table of all connections with their
state (proc(5), /proc/net/tcp). Every few seconds the connections of those who wait are looked up there; one that is
established no more has no client (G6). Linux only; elsewhere nothing is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

__all__ = ["Sweep", "established"]

_TABLES: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED: Final = "01"
_EVERY_S: Final = 5.0


class Sweep:
    """Those who wait, by the address of their client (`host:port`), each with the task that watches over it.

    A task whose client is gone is cancelled, and finds the address in `gone`.
    """

    def __init__(self, every_s: float = _EVERY_S) -> None:
        self._every_s = every_s
        self._watches: dict[str, asyncio.Task[object]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self.gone: set[str] = set()

    def watch(self, client: str) -> asyncio.Task[object]:
        """Look after a client from now on, for the task that runs, which is returned."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cancelled when its client is gone")
        self._watches[client] = task
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())
        return task

    def forget(self, client: str) -> bool:
        """Look after a client no more; tell whether it was found to be gone."""
        self._watches.pop(client, None)
        if client in self.gone:
            self.gone.discard(client)
            return True
        return False

    async def _sweep(self) -> None:
        """Sweep as long as anybody waits."""
        while self._watches:
            await asyncio.sleep(self._every_s)
            before = dict(self._watches)  # whoever comes while the table is read is looked up the next time
            if not before:
                break
            there = await asyncio.to_thread(established, before)
            if there is None:
                break
            for client, task in before.items():
                if client not in there and self._watches.get(client) is task:
                    self.gone.add(client)
                    task.cancel()
        self._sweeping = None


def established(clients: Iterable[str], tables: Iterable[Path] = _TABLES) -> set[str] | None:
    """Return those of `clients` whose connection the kernel knows as established; None where it cannot be asked."""
    try:
        remote = {address for table in tables if table.exists() for address in _remotes(table.read_text())}
    except OSError:
        return None
    return {client for client in clients if _plain(client) in remote} if remote else None


def _remotes(table: str) -> Iterator[str]:
    for line in table.splitlines()[1:]:
        fields = line.split(None, 4)
        if fields[3] == _ESTABLISHED:
            host, _, port = fields[2].partition(":")
            yield f"{_from_hex(host)}:{int(port, 16)}"


def _from_hex(digits: str) -> str:
    """Return an address that the kernel writes as words of four bytes, each in the order of this machine (little)."""
    words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return _unmapped(b"".join(words))


def _plain(client: str) -> str:
    """Return `[::ffff:127.0.0.1]:80` and `127.0.0.1:80` in one form."""
    host, _, port = client.rpartition(":")
    return f"{_unmapped(ip_address(host.strip('[]')).packed)}:{port}"


def _unmapped(packed: bytes) -> str:
    address = ip_address(packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
