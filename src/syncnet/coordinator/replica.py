"""The coordinator of one namespace on one node of a cluster.

It applies the commands of all nodes, and waits only for the offers whose clients are connected to its own: the others
have the waiter `ELSEWHERE` and no timers. `log/cluster` decides the order.

| what the log delivers          | what it means for the offers of this node                                        |
| ------------------------------ | -------------------------------------------------------------------------------- |
| `NodeLost` of another, by this | those with an id are adopted: they linger here                                   |
| `NodeLost` of this node        | it was cut off: it makes those that were withdrawn again, and claims the others, |
|                                | where their clients are still connected                                          |
| `Claim` by another             | left to that node                                                                |
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from syncnet.coordinator.coordinator import Coordinator, Observer
from syncnet.coordinator.timers import Timers
from syncnet.coordinator.waiters import TRANSITIONS, Event, Lingering, state_of
from syncnet.core.commands import Cause, Claim, Command, NodeLost, Offer, OfferSpec
from syncnet.core.counts import Counts
from syncnet.core.effects import Pending, Remembered, Withdrawn
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.errors import ClusterError, DrainingError, RetryableError
from syncnet.log import ELSEWHERE
from syncnet.log.cluster.namespace import NamespaceLog

__all__ = ["ReplicaCoordinator"]


class ReplicaCoordinator(Coordinator):
    """The owner of the machine of one namespace; `timers` and `lock` are those of all namespaces of the node."""

    def __init__(
        self,
        log: NamespaceLog,
        machine: Machine,
        observers: Sequence[Observer],
        lock: threading.RLock,
        timers: Timers,
        new_ids: Callable[[], list[str]],
    ) -> None:
        self._later_observers = tuple(observers)
        super().__init__(log, machine, time_ns=log.time_ns, new_ids=new_ids, lock=lock, timers=timers)
        self.namespace_log: NamespaceLog = log
        log.when_ready(self._begin)

    @property
    def is_unused(self) -> bool:
        """Return whether no client of this node waits in the namespace."""
        attended = [offer for offer in self.machine.all_pending() if offer.waiter is not ELSEWHERE]
        return not attended and not self._log.undelivered()

    def now_ns(self) -> int:
        """Return the time of the log, which may be behind what was returned before: the log's clock was set back."""
        self._latest_ns = self._time_ns()
        return self._latest_ns

    # --- what the log calls (see Replica) ------------------------------------------------------------------

    def deliver(self, command: Command) -> None:
        """Apply a command of this node."""
        self._latest_ns = command.at_ns
        if isinstance(command, NodeLost):
            self._lose(command)
            return
        super().deliver(command)
        if isinstance(command, Claim):
            offer = self.machine.pending_offer(command.namespace, command.id)
            if offer is not None and offer.waiter is None:
                self._withdraw_abandoned(offer)  # again: the claim counts as a request, so the first has no effect

    def follow(self, command: Command) -> None:
        """Apply a command of another node."""
        self._latest_ns = command.at_ns
        if isinstance(command, NodeLost):
            self._lose(command)
            return
        if isinstance(command, Offer):
            command.waiter = ELSEWHERE
        super().deliver(command)
        if isinstance(command, Claim):
            offer = self.machine.pending_offer(command.namespace, command.id)
            if offer is not None and offer.node == command.node:
                self._move_elsewhere(offer)

    def leave_elsewhere(self) -> None:
        """Note that the clients of all pending offers are connected to other nodes."""
        for offer in self.machine.all_pending():
            offer.waiter = ELSEWHERE

    def abandon(self, error: RetryableError) -> None:
        """End all waits with an error: the state is no longer certain."""
        for offer in self.machine.all_pending():
            self._remove_deadline(offer)
            if isinstance(offer.waiter, Lingering):
                offer.waiter.ended(error)
            self._end_wait(offer, error)
        for command in self._log.undelivered():
            self.refuse(command, error)

    def fingerprint(self, namespace: str, after: int) -> tuple[int, bytes]:
        """Return the number of the latest sync, and some bytes that differ where states most likely differ."""
        pending, syncs, exhausted = self.machine.totals(namespace)
        new = self.machine.syncs_since(after)
        members = [(sync.sync, [member[0] for member in sync.members]) for sync in new]
        return syncs, repr((pending, syncs, exhausted, members)).encode()

    def restore(self, snapshot: Snapshot) -> None:
        """Take on an earlier state."""
        counts = self.machine.counts
        super().restore(snapshot)
        self.machine.counts = counts

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with each effect from now on, or once the state is complete."""
        if self.namespace_log.is_ready:
            super().add_observer(observer)
        else:
            self._later_observers = (*self._later_observers, observer)

    def _shut_down_error(self) -> RetryableError:
        """Return an error that leaves open what happens: the offers are still in the log, where others see them."""
        return ClusterError("this node has shut down before its offers were withdrawn; ask another by the id")

    # --- inside --------------------------------------------------------------------------------------------

    def _begin(self, error: RetryableError | None) -> None:
        """Count and observe from now on: what came before was counted and seen on other nodes."""
        with self.lock:
            if error is not None:
                self.namespace_log.when_ready_at_last(self._begin)
                return
            self.machine.counts = Counts()
            self._observers = self._later_observers
            for offer in self.machine.all_pending():
                self._observe(Pending(offer))

    def _lose(self, command: NodeLost) -> None:
        """Withdraw the offers of a lost node. Where that is this one, its clients that are connected keep waiting."""
        for outcome in self.machine.end(command):
            self._observe(outcome)
            self.machine.counts.ends[Cause.LOST] += 1
            if isinstance(outcome, Withdrawn):
                self._ended(outcome.offer, outcome)
        is_ours = self.namespace_log.is_own(command.by)
        for offer in self.machine.all_pending():
            if offer.node == command.by:
                if is_ours:
                    self._adopt(offer)
                elif offer.waiter is not ELSEWHERE:
                    self._keep(offer)

    def _keep(self, offer: Offer) -> None:
        """Keep an offer of this node that another has adopted, if its client is connected."""
        if offer.waiter is None or isinstance(offer.waiter, Lingering):
            self._move_elsewhere(offer)
        elif self.is_draining:
            self._remove_deadline(offer)
            self._end_wait(offer, DrainingError("the server is shutting down; ask another by the id"))
            offer.waiter = ELSEWHERE
        else:
            node, log = self.namespace_log.node_name, self.namespace_log
            log.enqueue(Claim(self.now_ns(), offer.spec.namespace, offer.id, node, offer.at_ns, offer.asked))

    def _adopt(self, offer: Offer) -> None:
        """Let an offer linger that this node has taken over from a lost one."""
        if (state_of(offer), Event.ADOPTED) in TRANSITIONS:
            if offer.spec.timeout_ns is not None:
                self._set_deadline(offer)
            self._linger(offer)

    def _ended(self, offer: Offer, outcome: Remembered) -> None:
        waiter = offer.waiter
        is_withdrawn = isinstance(outcome, Withdrawn) and outcome.cause != Cause.WITHDRAWN
        is_here = waiter is not None and waiter is not ELSEWHERE and not isinstance(waiter, Lingering)
        if not (is_withdrawn and is_here):
            super()._ended(offer, outcome)
            return
        self._remove_deadline(offer)
        if self.is_draining:
            self._end_wait(offer, DrainingError("the server is shutting down"))
        else:
            self._offer_again(offer)

    def _offer_again(self, offer: Offer) -> None:
        """Make an offer again whose client is still connected although its node was taken for lost."""
        waiter, offer.waiter = offer.waiter, None
        spec, now_ns = offer.spec, self.now_ns()
        if spec.timeout_ns is not None and not offer.named:
            spec = _with_timeout(spec, max(0, offer.at_ns + spec.timeout_ns - now_ns))
        again = Offer(spec, offer.id, now_ns, offer.payload, offer.payload_bytes, offer.named, waiter)
        self.namespace_log.enqueue(again)


def _with_timeout(spec: OfferSpec, timeout_ns: int) -> OfferSpec:
    other = OfferSpec(
        spec.namespace,
        spec.events,
        spec.actor,
        spec.mates,
        spec.roster,
        spec.labels,
        spec.selector,
        timeout_ns,
        spec.linger_ns,
        spec.owner,
        sum([len(event) for event in spec.events]),
    )
    other.mates_most = spec.mates_most
    return other
