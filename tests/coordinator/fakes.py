"""A clock that is set by hand, a log that delivers when it is asked to, and a waiter that notes its results."""

import threading
from collections.abc import Callable
from typing import cast

from syncnet.coordinator.coordinator import Coordinator, Observer
from syncnet.coordinator.ids import random_ids
from syncnet.coordinator.replica import ReplicaCoordinator
from syncnet.coordinator.timers import Timers
from syncnet.coordinator.waiters import Result
from syncnet.core.commands import Command, Offer
from syncnet.core.effects import Remembered, Synced
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.errors import RetryableError
from syncnet.log import Log, LogConsumer
from syncnet.log.cluster.namespace import NamespaceLog
from tests.core.offers import offer

SECOND_NS = 1_000_000_000
LIVE_NS = 10**18 + 10**17 * 8
"""The time at which the fake clock starts; an offer made then is not overdue."""
SLOT_NS = 2**22


class Clock:
    """Both clocks of a coordinator."""

    def __init__(self) -> None:
        self.passed_ns = 0
        self.set_back_ns = 0

    def time_ns(self) -> int:
        return LIVE_NS + self.passed_ns - self.set_back_ns

    def monotonic_ns(self) -> int:
        return self.passed_ns


class LateLog:
    """Delivers when `flush` is called, as a journal does it when its commit is done; `before` is restored."""

    def __init__(self, before: Snapshot | None = None) -> None:
        self.before = before
        self.appended: list[Command] = []

    def open(self, consumer: LogConsumer) -> None:
        self.consumer = consumer
        if self.before is not None:
            consumer.restore(self.before)

    def append(self, command: Command) -> None:
        self.appended.append(command)

    def undelivered(self) -> list[Command]:
        return list(self.appended)

    def flush(self, error: RetryableError | None = None) -> list[type[Command]]:
        """Deliver what was appended before this call, or refuse it; return the kinds of the commands."""
        kinds: list[type[Command]] = []
        with self.consumer.lock:
            for _ in range(len(self.appended)):
                command = self.appended.pop(0)
                kinds.append(type(command))
                if error is None:
                    self.consumer.deliver(command)
                else:
                    self.consumer.refuse(command, error)
        return kinds

    def on_disk(self) -> None:
        pass

    def close(self) -> None:
        pass


class Server:
    """A coordinator whose clocks and timers are moved by hand."""

    def __init__(
        self, log: Log | None = None, machine: Machine | None = None, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.clock = Clock()
        self.coordinator = Coordinator(
            log,
            machine,
            observers,
            time_ns=self.clock.time_ns,
            monotonic_ns=self.clock.monotonic_ns,
            timer_thread=False,
        )
        self.machine = self.coordinator.machine

    def offer(self, made: Offer) -> "Client":
        return Client(self.coordinator, made)

    def wait(self, seconds: float) -> int:
        """Let time pass and the timers fire, those within the last slot too."""
        self.clock.passed_ns += round(seconds * SECOND_NS) + SLOT_NS
        return self.coordinator.fire_due_timers()


class LateReplicaLog(LateLog):
    """A `LateLog` of one namespace of a cluster: commands of this node (`here`), and of another (`there`)."""

    node_name = "here"

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.is_ready = True
        self._when_ready: list[Callable[[RetryableError | None], None]] = []

    def append(self, command: Command) -> None:
        if isinstance(command, Offer):
            command.node = "here"
        super().append(command)

    enqueue = append

    def follow(self, command: Command) -> None:
        """Deliver a command of the other node, before all that was appended here."""
        if isinstance(command, Offer):
            command.node = "there"
        with self.consumer.lock:
            cast(ReplicaCoordinator, self.consumer).follow(command)

    def time_ns(self) -> int:
        return self.clock.time_ns()

    def is_own(self, name: str) -> bool:
        return name == "here"

    def when_ready(self, ready: Callable[[RetryableError | None], None]) -> None:
        self._when_ready.append(ready)
        if self.is_ready:
            self.become_ready()

    def become_ready(self) -> None:
        self.is_ready = True
        while self._when_ready:
            self._when_ready.pop(0)(None)


class ReplicaServer(Server):
    """The coordinator of a namespace on one node of a cluster."""

    coordinator: ReplicaCoordinator

    def __init__(self, log: LateReplicaLog, observers: tuple[Observer, ...] = ()) -> None:
        self.clock = log.clock
        self.machine = Machine()
        lock = threading.RLock()
        timers = Timers(lock, lambda what: self.coordinator.fire(what), self.clock.monotonic_ns, threaded=False)
        self.coordinator = ReplicaCoordinator(
            cast(NamespaceLog, log), self.machine, observers, lock, timers, random_ids
        )


class Client:
    """One who made an offer, and its results: none or one, which is a law of the coordinator."""

    def __init__(self, coordinator: Coordinator, made: Offer) -> None:
        self.coordinator, self.offer = coordinator, made
        self.results: list[Synced | Result] = []
        self.charged = 0
        self.rank = -1
        made.waiter = self
        coordinator.offer(made)

    def charge(self, steps: int) -> None:
        self.charged += steps

    def synced(self, synced: Synced, rank: int) -> None:
        self.results.append(synced)
        self.rank = rank

    def ended(self, result: Result) -> None:
        self.results.append(result)

    def disconnect(self) -> None:
        self.coordinator.disconnect(self.offer, self)

    @property
    def result(self) -> Synced | Result:
        (result,) = self.results
        return result


class Outcomes:
    """The callback of a withdrawal or an abort."""

    def __init__(self) -> None:
        self.called: list[list[Remembered] | RetryableError] = []

    def __call__(self, result: object) -> None:
        self.called.append(result if isinstance(result, RetryableError) else list(result))  # type: ignore[call-overload]


def named(
    actor: str,
    *events: str,
    linger_s: float | None = None,
    timeout_s: float | None = None,
    at_ns: int = LIVE_NS,
) -> Offer:
    """An offer whose client chose the id."""
    return offer(actor, *events, id=f"id-{actor}", named=True, linger_s=linger_s, timeout_s=timeout_s, at_ns=at_ns)
