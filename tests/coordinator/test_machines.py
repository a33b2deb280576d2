"""The machines of several namespaces answer as one machine would."""

from typing import Any

import pytest

from syncnet.coordinator.machines import Machines
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from tests.core.offers import offer

NAMESPACES = ("one", "two", "three")


@pytest.fixture
def both() -> tuple[Machine, Machines]:
    """One machine, and machines, that took the same offers."""
    alone, machines = Machine(), Machines()
    for number in range(12):
        for namespace in NAMESPACES[: 1 + number % 3]:
            made = {"id": f"{namespace}-{number}", "namespace": namespace, "at_ns": number, "named": True}
            events = ("coin",) if number % 2 else (f"e{number}",)
            alone.offer(offer(f"A{number}", *events, **made))  # type: ignore[arg-type]
            machine = machines.by_namespace.get(namespace) or machines.add(namespace)
            machine.offer(offer(f"A{number}", *events, **made))  # type: ignore[arg-type]
    machines.count()
    return alone, machines


QUESTIONS: dict[str, Any] = {
    "pending": lambda machine: [machine.pending(namespace) for namespace in (*NAMESPACES, "none")],
    "pending_total": lambda machine: machine.pending_total,
    "pending_bytes": lambda machine: machine.pending_bytes,
    "oldest_ns": lambda machine: machine.oldest_ns(),
    "namespaces_total": lambda machine: machine.namespaces_total,
    "pending_offer": lambda machine: [machine.pending_offer(name, "one-0") for name in ("one", "two", "none")],
    "outcome_of": lambda machine: [machine.outcome_of(name, "one-1", 99) for name in ("one", "two", "none")],
    "totals": lambda machine: [machine.totals(namespace) for namespace in (*NAMESPACES, "none")],
    "trace": lambda machine: [machine.trace(namespace, 1, 9) for namespace in (*NAMESPACES, "none")],
    "departures": lambda machine: [machine.departures(namespace).all() for namespace in (*NAMESPACES, "none")],
    "namespaces": lambda machine: [machine.namespaces(after, 2) for after in range(4)],
    "elsewhere": lambda machine: machine.waiting_elsewhere("one", ["coin", "e2"], Steps(10**6)),
    "synced": lambda machine: (machine.counts.synced, machine.counts.syncs, machine.counts.waits),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_all_machines_answer_as_one(both: tuple[Machine, Machines], question: str) -> None:
    alone, machines = both
    assert QUESTIONS[question](machines) == QUESTIONS[question](alone)


def test_without_namespaces_nothing_is_known() -> None:
    machines = Machines()
    machines.count()
    assert (machines.pending_total, machines.all_pending(), machines.oldest_ns()) == (0, [], None)
