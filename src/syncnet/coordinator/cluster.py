"""The coordinator of one node of a cluster: it has a coordinator for each namespace in which the node takes part.

Each namespace has a log, a machine and an order of its own, so what is decided in one does not depend on the others in
which a node takes part. A node begins to take part in a namespace when a client names it, and stops when no client
has waited or asked for some time.

To front ends this is a `Coordinator`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from syncnet.coordinator.coordinator import CommandCallback, Coordinator, Observer
from syncnet.coordinator.ids import random_ids
from syncnet.coordinator.machines import Machines
from syncnet.coordinator.replica import ReplicaCoordinator
from syncnet.coordinator.waiters import Lingering, Waiter
from syncnet.core.commands import Abort, Command, Offer
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import BusyError, ClusterError, DrainingError, RetryableError
from syncnet.log import ClusterReport, Log
from syncnet.log.cluster.node import Node
from syncnet.log.memory import MemoryLog

__all__ = ["ClusterCoordinator"]

_UNUSED_NS: Final = 60_000_000_000
_ALL: Final = "*"


class _AllLogs(MemoryLog):
    """The logs of all namespaces, to ask what they report."""

    def __init__(self) -> None:
        self.replicas: dict[str, ReplicaCoordinator] = {}

    def undelivered(self) -> list[Command]:
        """Return the commands that were appended and are neither delivered nor refused."""
        return [command for each in self.replicas.values() for command in each.namespace_log.undelivered()]


class ClusterCoordinator(Coordinator):
    """The owner of the machines of all namespaces in which a node takes part."""

    def __init__(
        self,
        node: Node,
        limits: Limits = LIMITS,
        observers: Sequence[Observer] = (),
        *,
        time_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        new_ids: Callable[[], list[str]] = random_ids,
        timer_thread: bool = True,
    ) -> None:
        self._machines = Machines(limits)
        self._logs = _AllLogs()
        super().__init__(
            self._logs,
            self._machines,
            observers,
            time_ns=time_ns,
            monotonic_ns=monotonic_ns,
            new_ids=new_ids,
            timer_thread=timer_thread,
        )
        self.node: Node = node
        self._observers_at_start = len(observers)
        self._monotonic_ns = monotonic_ns
        self._replicas = self._logs.replicas
        self._used_ns: dict[str, int] = {}
        node.on_tick = self.leave_unused

    @property
    def log(self) -> Log:
        """The logs of all namespaces, to ask what they report."""
        return self._logs

    def conditions(self) -> dict[str, RetryableError | None]:
        """Return the conditions under which offers are accepted, and the error of each that is not met."""
        problem = self.node.problem
        if problem is None and not self.node.may_publish:
            problem = ClusterError("this node waits for its lease")
        waiting = [each.namespace_log.namespace for each in self._replicas.values() if not each.namespace_log.is_ready]
        behind = ClusterError(f"{len(waiting)} namespaces are being loaded") if waiting else None
        return {"cluster": problem, "loaded": behind}

    def when_ready(self, namespace: str, ready: Callable[[RetryableError | None], None]) -> None:
        """Call `ready` when the state of a namespace is complete, or with the error because of which it is not.

        `*` stands for all namespaces of which this node knows.
        """
        if namespace == _ALL:
            ready(None)
            return
        with self.lock:
            self._replica(namespace).namespace_log.when_ready(ready)

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with each effect from now on."""
        with self.lock:
            super().add_observer(observer)
            for each in self._replicas.values():
                each.add_observer(observer)

    def remove_observer(self, observer: Observer) -> None:
        """Call `observer` no more."""
        with self.lock:
            super().remove_observer(observer)
            for each in self._replicas.values():
                each.remove_observer(observer)

    # --- what front ends call ------------------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Append an offer to the log of its namespace."""
        with self.lock:
            if self.is_draining:
                raise DrainingError("the server is shutting down and accepts no more offers")
            self._replica(offer.spec.namespace).offer(offer)

    def disconnect(self, offer: Offer, waiter: Waiter) -> None:
        """Note that the client which made `offer` has disconnected."""
        with self.lock:
            replica = self._replicas.get(offer.spec.namespace)
            if replica is not None:
                replica.disconnect(offer, waiter)

    def withdraw(self, namespace: str, id: str, done: CommandCallback, *, owner: str | None = None) -> None:
        """Append the withdrawal of a pending offer."""
        with self.lock:
            self._replica(namespace).withdraw(namespace, id, done, owner=owner)

    def abort(self, abort: Abort, done: CommandCallback) -> None:
        """Append an abort."""
        with self.lock:
            self._replica(abort.namespace).abort(abort, done)

    @property
    def is_idle(self) -> bool:
        """Return whether all that clients asked for has been delivered or refused."""
        return not self._logs.undelivered()

    def count(self) -> None:
        """Bring the totals of `machine` up to date."""
        self._machines.count()

    def leave(self) -> None:
        """Withdraw the offers of this node, or leave them to another; their clients get `DrainingError`."""
        with self.lock:
            for each in self._replicas.values():
                each.drain()
            self.node.leave()

    def cluster_report(self) -> ClusterReport:
        """Return what this node reports of its cluster."""
        return self.node.report()

    def shut_down(self) -> int:
        """Accept no more offers, and end every wait with `DrainingError`; return how many clients were waiting."""
        with self.lock:
            self.is_draining = self.is_shut_down = True
            return sum([each.shut_down() for each in self._replicas.values()])

    def close(self) -> None:
        """End every wait, and end the lease of the node."""
        super().close()
        self.node.stop()

    def fire(self, what: Any) -> None:
        """Handle a timer of one of the namespaces."""
        offer: Offer = what.offer if isinstance(what, Lingering) else what
        replica = self._replicas.get(offer.spec.namespace)
        if replica is not None:
            replica.fire(what)

    def leave_unused(self) -> None:
        """Take part no more in the namespaces in which no client has waited or asked for a while."""
        with self.lock:
            is_read_live = len(self._observers) > self._observers_at_start  # perhaps in a quiet namespace
            if is_read_live:
                return
            before_ns = self._monotonic_ns() - _UNUSED_NS
            for namespace, used_ns in list(self._used_ns.items()):
                if used_ns < before_ns and self._replicas[namespace].is_unused:
                    del self._used_ns[namespace], self._replicas[namespace]
                    self._machines.remove(namespace)
                    self.node.leave_out(namespace)

    # --- inside --------------------------------------------------------------------------------------------

    def _replica(self, namespace: str) -> ReplicaCoordinator:
        """Return the coordinator of a namespace; begin to take part in it where this node does not yet."""
        self._used_ns[namespace] = self._monotonic_ns()
        replica = self._replicas.get(namespace)
        if replica is None:
            if len(self._replicas) >= self._machines.limits.namespaces_max:
                raise BusyError(f"this node takes part in {len(self._replicas)} namespaces, which is the limit")
            log = self.node.log_of(namespace)
            machine = self._machines.add(namespace)
            replica = ReplicaCoordinator(log, machine, self._observers, self.lock, self._timers, self._new_ids)
            self._replicas[namespace] = replica
        return replica
