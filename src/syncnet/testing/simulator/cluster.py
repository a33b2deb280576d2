"""The simulated cluster: one stream, and nodes that come and go."""

from __future__ import annotations

from typing import Final

from syncnet.testing.simulator.events import SECOND, Events
from syncnet.testing.simulator.nodes import SimulatedNode
from syncnet.testing.simulator.stream import StreamServer

__all__ = ["Cluster"]

_LIFETIME: Final = 0.6
"""How long a renewal lasts, in leases (see `lifetime_s` in `log/cluster/node.py`)."""


class Cluster:
    """All nodes of a run. A node that is started again has the same name here, and another in the cluster."""

    def __init__(self, events: Events) -> None:
        self.events: Events = events
        choice = events.random.choice
        self.lease_s: float = choice([2.0, 5.0, 10.0])
        self.snapshot_commands: int = choice([5, 10, 50, 10_000])
        self.namespaces: list[str] = choice([["default"], ["default"], ["default", "second"]])
        lease_ns = int(_LIFETIME * self.lease_s * SECOND)
        self.server: StreamServer = StreamServer(
            events, lease_ns, choice([1, 120]) * SECOND, choice([6_000, 1_000_000])
        )
        self.nodes: dict[str, SimulatedNode] = {}
        """The latest process of each node."""
        self.all_nodes: list[SimulatedNode] = []
        self._started = 0
        for number in range(choice([2, 3, 3, 5])):
            self.start(f"n{number + 1}")

    def start(self, name: str) -> None:
        """Start a node."""
        self._started += 1
        self.events.note(f"{name} starts")
        node = SimulatedNode(self.server, f"{name}/{self._started}", self.lease_s, self.snapshot_commands)
        self.nodes[name] = node
        self.all_nodes.append(node)

    def alive(self) -> list[SimulatedNode]:
        """Return the nodes whose processes run."""
        return [node for node in self.nodes.values() if node.process.is_alive]

    def reachable(self) -> list[SimulatedNode]:
        """Return the nodes that clients find."""
        return [node for node in self.alive() if not node.is_leaving]

    def down(self) -> list[str]:
        """Return the names of the nodes whose processes have ended."""
        return [name for name, node in self.nodes.items() if not node.process.is_alive]
