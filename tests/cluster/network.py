"""Network namespaces of Linux, one for each process, with links that can be cut. It needs root and `ip`.

Each namespace has a link to one or more bridges of this machine: to `nats`, over which nodes and servers of NATS speak,
and to `clients`, over which clients reach the nodes.
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Self

BRIDGES = ("nats", "clients")
NETWORK = "10.213"
OWN_NUMBER = 254


def ip(*words: str) -> None:
    """Run `ip`."""
    completed = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert completed.returncode == 0, f"ip {' '.join(words)}: {completed.stderr} (are you root?)"


class Network:
    """The namespaces and links. A context manager that removes them."""

    def __init__(self) -> None:
        self._prefix = f"s{os.getpid() % 100_000:x}"
        self._machines: dict[str, int] = {}

    def __enter__(self) -> Self:
        for number, bridge in enumerate(BRIDGES):
            name = self._bridge(bridge)
            ip("link", "add", name, "type", "bridge")
            ip("address", "add", f"{NETWORK}.{number}.{OWN_NUMBER}/24", "dev", name)
            ip("link", "set", name, "up")
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for machine in self._machines:
            ip("netns", "delete", self._namespace(machine))
        for bridge in BRIDGES:
            ip("link", "delete", self._bridge(bridge))

    def add(self, machine: str, *bridges: str) -> None:
        """Make a namespace with a link to each of some bridges."""
        self._machines[machine] = len(self._machines) + 1
        namespace = self._namespace(machine)
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
        for bridge in bridges:
            ip("link", "add", self._link(machine, bridge), "type", "veth", "peer", "name", bridge, "netns", namespace)
            ip("link", "set", self._link(machine, bridge), "master", self._bridge(bridge), "up")
            ip("-n", namespace, "address", "add", f"{self.address(machine, bridge)}/24", "dev", bridge)
            ip("-n", namespace, "link", "set", bridge, "up")

    def address(self, machine: str, bridge: str) -> str:
        """Return the address of a machine at one of its bridges."""
        return f"{NETWORK}.{BRIDGES.index(bridge)}.{self._machines[machine]}"

    def starter(self, machine: str) -> list[str]:
        """Return the words that start a program there; its process has the id of the one that is started."""
        return ["ip", "netns", "exec", self._namespace(machine)]

    def cut(self, machine: str, bridge: str) -> None:
        """Cut a link."""
        ip("link", "set", self._link(machine, bridge), "down")

    def join(self, machine: str, bridge: str) -> None:
        """Mend a link."""
        ip("link", "set", self._link(machine, bridge), "up")

    def _bridge(self, bridge: str) -> str:
        return f"{self._prefix}-{bridge}"

    def _namespace(self, machine: str) -> str:
        return f"{self._prefix}-{machine}"

    def _link(self, machine: str, bridge: str) -> str:
        return f"{self._prefix}-{machine}-{bridge[0]}"
