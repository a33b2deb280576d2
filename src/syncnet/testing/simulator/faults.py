"""What goes wrong in a run. Each run has some kinds of faults and not others, so that rare combinations are seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from syncnet.testing.simulator.events import MS, SECOND
from syncnet.testing.simulator.stream import RequestFaults

if TYPE_CHECKING:
    from syncnet.testing.simulator.cluster import Cluster
    from syncnet.testing.simulator.nodes import SimulatedNode

__all__ = ["Faults"]

_JUMP_S_MAX: Final = 30.0
_JUMPS_S_MAX: Final = 200.0
"""All jumps forward of the clock of the log together: with more, outcomes would be forgotten (`outcome_ttl_s`)."""


class Faults:
    """Lets things go wrong until `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._events = cluster.events
        self._random = cluster.events.random
        self._is_stopped = False
        self.clock_jumps_s: float = 0.0
        """By how much the clock of the stream was set forward, in all."""
        self._interval_s = self._random.choice([0.5, 2.0, 6.0])
        self._direction = self._random.choice([-1, 1])
        kinds: list[Callable[[], None]] = [
            self._kill,
            self._leave,
            self._pause,
            self._cut,
            self._cut_all,
            self._slow_down,
            self._restart_consumers,
            self._end_lease,
            self._set_clock,
            self._set_clock_of_stream,
        ]
        self._kinds = [kind for kind in kinds if self._events.chance(0.5)]
        rates = [self._random.choice([0.0, 0.0, 0.03, 0.15]) for _ in range(4)]
        cluster.server.faults = RequestFaults(*rates)
        cluster.server.latency_ns = self._random.choice([1, 5, 100]) * MS
        names = ", ".join(kind.__name__.strip("_").replace("_", " ") for kind in self._kinds)
        cluster.events.note(f"faults: {names}; every {self._interval_s} s; requests: {cluster.server.faults}")
        self._later(self._interval_s, self._next)

    def stop(self) -> None:
        """Let nothing go wrong any more, and what is wrong end."""
        cluster = self._cluster
        self._is_stopped = True
        cluster.events.note("faults end")
        cluster.server.faults = RequestFaults()
        cluster.server.latency_ns = MS
        for node in cluster.alive():
            node.stream.heal()
            node.process.lag_ns = 0
            if node.process.is_paused:
                node.process.resume()
            if node.is_leaving:
                node.kill()
        for name in cluster.down():
            cluster.start(name)

    # --- inside --------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if not self._is_stopped:
            if self._kinds:
                self._random.choice(self._kinds)()
            self._later(self._interval_s, self._next)

    def _later(self, most_s: float, function: Callable[[], None]) -> None:
        self._events.later(self._events.between(0, 2 * most_s), function)

    def _restart_later(self, name: str) -> None:
        self._later(self._random.choice([0.1, 5, 15]), partial(self._restart, name))

    def _restart(self, name: str) -> None:
        if name in self._cluster.down():
            self._cluster.start(name)

    def _kill(self) -> None:
        for node in self._some():
            self._events.note(f"{node.name} is killed")
            node.kill()
            self._restart_later(node.name.partition("/")[0])

    def _leave(self) -> None:
        for node in self._some():
            if not (node.is_leaving or node.process.is_paused):
                self._events.note(f"{node.name} leaves")
                node.leave()
                self._later(15, partial(self._end, node))

    def _end(self, node: SimulatedNode) -> None:
        """Restart a node that has left; end it where it has not ended by itself."""
        if node.process.is_alive:
            node.kill()
        if not self._is_stopped:
            self._restart(node.name.partition("/")[0])

    def _pause(self) -> None:
        for node in self._some():
            if not node.process.is_paused:
                self._events.note(f"{node.name} is paused")
                node.process.pause()
                self._later(self._random.choice([0.5, 10]), partial(self._resume, node))

    def _resume(self, node: SimulatedNode) -> None:
        if node.process.is_paused:
            self._events.note(f"{node.name} goes on")
            node.process.resume()

    def _cut(self) -> None:
        for node in self._some():
            self._cut_off(node)

    def _cut_all(self) -> None:
        for node in self._cluster.alive():
            self._cut_off(node)

    def _cut_off(self, node: SimulatedNode) -> None:
        if node.stream.is_up:
            self._events.note(f"{node.name} is cut off")
            node.stream.cut()
            self._later(self._random.choice([1, 10]), partial(self._heal, node))

    def _heal(self, node: SimulatedNode) -> None:
        self._events.note(f"{node.name} is connected again")
        node.stream.heal()

    def _slow_down(self) -> None:
        for node in self._some():
            node.process.lag_ns = self._random.choice([0, 50 * MS, SECOND])
            self._events.note(f"{node.name} lags {node.process.lag_ns} ns")

    def _restart_consumers(self) -> None:
        for node in self._some():
            self._events.note(f"the consumers of {node.name} begin anew")
            node.stream.restart_consumers()

    def _end_lease(self) -> None:
        """Forget a lease that lasts."""
        leases = self._cluster.server.leases
        if leases:
            name = self._random.choice(list(leases))
            self._events.note(f"the lease of {name} is lost")
            del leases[name]

    def _set_clock(self) -> None:
        for node in self._some():
            node.process.skew_ns += self._events.between(-_JUMP_S_MAX, _JUMP_S_MAX)
            self._events.note(f"the clock of {node.name} is wrong by {node.process.skew_ns} ns")

    def _set_clock_of_stream(self) -> None:
        """Set the clock of the stream, in one direction in a run."""
        jump_ns = self._direction * self._events.between(0, _JUMP_S_MAX)
        if self.clock_jumps_s + jump_ns / SECOND > _JUMPS_S_MAX:
            return
        self._cluster.server.skew_ns += jump_ns
        self.clock_jumps_s += max(0, jump_ns) / SECOND
        self._events.note(f"the clock of the stream is set by {jump_ns} ns")

    def _some(self) -> list[SimulatedNode]:
        alive = self._cluster.alive()
        return [self._random.choice(alive)] if alive else []
