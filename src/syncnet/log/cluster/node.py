"""One server of a cluster: its name, its lease, the logs of its namespaces, and which other nodes are lost.

A node renews its lease while it can reach the stream. Where the lease of a node has lapsed, the others enter `NodeLost`
into the log of each namespace in which it took part, and its offers are withdrawn at that one place in the order.

A node may be lost and still run: it was paused, or cut off. So a node whose lease has lapsed, or that finds itself lost
in a log, takes a new name. It enters the loss of its old name itself where nobody has yet. What it published under the
old name and what comes after the loss has no effect, for any node; it publishes that again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from syncnet.core.commands import NodeLost
from syncnet.errors import ClusterError
from syncnet.log import ClusterReport
from syncnet.log.cluster.namespace import SNAPSHOT_COMMANDS, NamespaceLog
from syncnet.log.cluster.stream import Scheduler, Stream, StreamError

__all__ = ["LEASE_S", "Node", "lifetime_s"]

LEASE_S: Final = 10.0
_LIFETIME: Final = 0.6
_INTERVAL: Final = 0.2


def lifetime_s(lease_s: float) -> float:
    """Return how long a renewal lasts: with the interval in which nodes look, a loss is noticed within the lease."""
    return _LIFETIME * lease_s


class Node:
    """One server of a cluster. All methods but `log_of` and `problem` are to be called on the thread of the loop."""

    def __init__(
        self,
        stream: Stream,
        scheduler: Scheduler,
        lease_s: float = LEASE_S,
        *,
        snapshot_commands: int = SNAPSHOT_COMMANDS,
    ) -> None:
        self.stream = stream
        self.scheduler = scheduler
        self.name: str = scheduler.new_name()
        self.names: set[str] = {self.name}
        """All the names that this node had."""
        self.renames_total: int = 0
        self.lost_total: int = 0
        """How many losses of other nodes this node has entered."""
        self.rebuilds_total: int = 0
        """How often this node has made the state of a namespace anew."""
        self.entries_total: int = 0
        """How many entries this node has made, and, in `commands_total`, of how many commands."""
        self.commands_total: int = 0
        self.on_tick: Callable[[], None] | None = None
        """Called some times in each lease."""
        self.others: frozenset[str] = frozenset()
        """The other nodes whose leases lasted when they were last asked for."""
        self._snapshot_commands = snapshot_commands
        self._interval_s = _INTERVAL * lease_s
        self._lease_ns = int(lifetime_s(lease_s) * 1e9)
        self._logs: dict[str, NamespaceLog] = {}
        self._renewed_ns: int | None = None  # when the last renewal that succeeded was sent
        self._sought_ns = scheduler.monotonic_ns()  # since when a lease is sought
        self._batches_total = 0
        self._has_lease = False
        self._is_cut_off = False
        self._is_closed = False

    @property
    def problem(self) -> ClusterError | None:
        """Why nothing is accepted for the log now."""
        if self._is_cut_off:
            return ClusterError("this node has no lease of the cluster, and tries to get one")
        if not self.stream.is_connected:
            return ClusterError("the log of the cluster cannot be reached")
        return None

    @property
    def may_publish(self) -> bool:
        """Whether the node has a lease, without which the others would not notice its loss."""
        return self._has_lease

    def report(self) -> ClusterReport:
        """Return what this node reports of its cluster."""
        return ClusterReport(
            is_connected=self.stream.is_connected,
            has_lease=self._has_lease and not self._is_cut_off,
            nodes_total=len(self.others) + 1,
            renames_total=self.renames_total,
            losses_total=self.lost_total,
            rebuilds_total=self.rebuilds_total,
            entries_total=self.entries_total,
            commands_total=self.commands_total,
        )

    def log_of(self, namespace: str) -> NamespaceLog:
        """Return the log of a namespace; a new one is to be opened by its consumer."""
        log = self._logs.get(namespace)
        if log is None:
            log = self._logs[namespace] = NamespaceLog(self, namespace, self._snapshot_commands)
        return log

    def next_batch(self) -> int:
        """Return the number of the next entry: one of this node only, even if it leaves a namespace and returns."""
        self._batches_total += 1
        return self._batches_total

    def leave_out(self, namespace: str) -> None:
        """Take part in a namespace no more."""
        self._logs.pop(namespace).close()

    @property
    def logs(self) -> list[NamespaceLog]:
        """The logs of the namespaces in which the node takes part."""
        return list(self._logs.values())

    def start(self) -> None:
        """Get a lease, and renew it from now on."""
        self._tick()

    def stop(self) -> None:
        """End the lease. To be called when the offers of this node have been withdrawn or left to others."""
        self._is_closed = True
        for log in self.logs:
            log.close()
        for name in sorted(self.names):
            self.stream.release(name)

    def leave(self) -> None:
        """Enter the loss of this node into all logs. Its offers that linger are adopted by the node that is first."""
        for log in self.logs:
            if self.name in log.batches or log.undelivered():
                log.append(NodeLost(log.time_ns(), log.namespace, self.name, ""))

    def look_for_losses(self) -> None:
        """Look up the leases; the loss of each node without one is entered where this node has the whole state."""
        names = {log: list(log.batches) for log in self.logs if log.is_ready}
        self.stream.nodes(partial(self._seen, names))

    def rename(self) -> None:
        """Take a new name: the old one is lost, or its lease has lapsed."""
        old, self.name = self.name, self.scheduler.new_name()
        self.names.add(self.name)
        self.renames_total += 1
        self._has_lease = False
        self._sought_ns = self.scheduler.monotonic_ns()
        self.stream.renew(self.name, partial(self._renewed, self.name, self._sought_ns))
        for log in self.logs:
            log.renamed(old)

    def _tick(self) -> None:
        if self._is_closed:
            return
        now_ns = self.scheduler.monotonic_ns()
        since_ns = self._sought_ns if self._renewed_ns is None else max(self._sought_ns, self._renewed_ns)
        if now_ns - since_ns > self._lease_ns:
            self._has_lease = False
            self._is_cut_off = True
        if self.problem is not None:
            for log in self.logs:
                log.give_up(self.problem)
        if self.on_tick is not None:
            self.on_tick()
        self.stream.renew(self.name, partial(self._renewed, self.name, now_ns))
        self.look_for_losses()
        self.scheduler.later(self._interval_s, self._tick)

    def _renewed(self, name: str, sent_ns: int, error: StreamError | None) -> None:
        if error is not None or name != self.name or self._is_closed:
            return
        has_lapsed = self._renewed_ns is not None and sent_ns - self._renewed_ns > self._lease_ns
        self._renewed_ns = sent_ns
        self._is_cut_off = False
        if has_lapsed:
            self.rename()
            return
        if not self._has_lease:
            self._has_lease = True
            self.look_for_losses()
        for log in self.logs:
            log.wake()

    def _seen(self, names: dict[NamespaceLog, list[str]], live: frozenset[str] | StreamError) -> None:
        """Enter the loss of each node that took part in a namespace before the leases were looked up and has none."""
        if isinstance(live, StreamError) or self.problem is not None or self._is_closed:
            return
        self.others = live - self.names
        for log, suspects in names.items():
            if self._logs.get(log.namespace) is not log:
                continue
            for name in suspects:
                if name not in live and name not in self.names and name in log.batches:
                    self.lost_total += 1
                    log.enter_loss(name)
            log.begin()
