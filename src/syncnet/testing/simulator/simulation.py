"""One run of the simulator: a seed in, violations of the contract out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from syncnet.testing.checker import Violation
from syncnet.testing.simulator.checks import check_nodes, check_records, check_waiting
from syncnet.testing.simulator.clients import LINGER_S_MAX, TIMEOUT_S_MAX, Client
from syncnet.testing.simulator.cluster import Cluster
from syncnet.testing.simulator.events import SECOND, Events, LivelockError
from syncnet.testing.simulator.faults import Faults

__all__ = ["Report", "simulate"]

_ANSWER_S: Final = 8
"""In so much time after the faults an answer comes to everything that is asked."""
_QUIET_S: Final = 70
"""Long enough that nodes leave namespaces, and entries are purged."""


@dataclass(frozen=True)
class Report:
    """What came of a run. `digest` is a hash of everything that happened: it is equal whenever the seed is."""

    seed: int
    violations: tuple[Violation, ...]
    digest: str
    events_total: int
    offers_total: int
    syncs_total: int

    def __str__(self) -> str:
        shown = [f"  {violation.kind}: {violation.text[:600]}" for violation in self.violations[:20]]
        return "\n".join([f"seed {self.seed}: {len(self.violations)} violations", *shown])


def simulate(seed: int, note: Callable[[str], None] | None = None) -> Report:
    """Run a cluster with the faults of a seed, and check what came of it. `note` gets a line for all that happens."""
    events = Events(seed, note)
    bugs = _Bugs(events)
    logger = logging.getLogger("syncnet")
    before = logger.propagate
    logger.addHandler(bugs)
    logger.propagate = False
    try:
        violations, offers, syncs = _run(events)
    except LivelockError as error:
        violations, offers, syncs = [Violation("livelock", str(error))], 0, 0
    finally:
        logger.removeHandler(bugs)
        logger.propagate = before
    return Report(seed, (*bugs.violations, *violations), events.digest, events.happened_total, offers, syncs)


def _run(events: Events) -> tuple[list[Violation], int, int]:
    cluster = Cluster(events)
    names = "abcdefgh"[: events.random.choice([3, 5, 8])]
    clients = [Client(events, name, cluster.namespaces, cluster.reachable) for name in names]
    faults = Faults(cluster)
    events.run(events.random.choice([5, 10, 20]) * SECOND)
    if events.chance(0.2):
        for client in clients:
            client.is_resting = True
        events.run(_QUIET_S * SECOND)
        for client in clients:
            client.go_on()
        events.run(10 * SECOND)
    for client in clients:
        client.is_finishing = True
    faults.stop()
    _take_part(cluster)
    events.run(int((cluster.lease_s + LINGER_S_MAX + TIMEOUT_S_MAX + 2 * _ANSWER_S) * SECOND))
    violations = list(check_waiting(cluster, clients))
    for client in clients:
        client.withdraw_pending()
    events.run(_ANSWER_S * SECOND)
    for client in clients:
        client.ask_again()
    _take_part(cluster)
    events.run(_ANSWER_S * SECOND)
    for client in clients:
        client.done()
    violations += check_nodes(cluster)
    violations += check_records(cluster, clients, faults.clock_jumps_s)
    offers = sum(len(client.wishes) for client in clients)
    syncs = sum(node.coordinator.machine.totals(each)[1] for node in cluster.alive()[:1] for each in cluster.namespaces)
    return violations, offers, syncs


def _take_part(cluster: Cluster) -> None:
    """Let all nodes take part in all namespaces."""
    for node in cluster.alive():
        for namespace in cluster.namespaces:
            node.take_part(namespace)


class _Bugs(logging.Handler):
    """Takes what the production code logs: an exception, or states that differ, are violations."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.ERROR)
        self._events = events
        self.violations: list[Violation] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of the log."""
        text = record.getMessage()
        self._events.note(text)
        if record.exc_info and record.exc_info[1]:
            self.violations.append(Violation("bug", f"{text}: {record.exc_info[1]!r}"))
        elif "differs" in text or "not served" in text:
            self.violations.append(Violation("divergence", text))
