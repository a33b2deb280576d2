"""The machines of all namespaces in which a node of a cluster takes part, to be asked as if they were one."""

from __future__ import annotations

from syncnet.core.commands import Offer
from syncnet.core.counts import Counts
from syncnet.core.departures import Departures
from syncnet.core.effects import Remembered
from syncnet.core.limits import ELSEWHERE_LOOKUPS_MAX, LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from syncnet.core.trace import TracedSync

__all__ = ["Machines"]


class Machines(Machine):
    """Answers the questions that a `Machine` answers; it takes no commands. `pending_total` is kept by `count`."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self.by_namespace: dict[str, Machine] = {}
        self._counted = Counts()  # by the machines that were removed: a counter never falls

    def add(self, namespace: str) -> Machine:
        """Return a new machine for a namespace; what it counts is counted for all."""
        machine = self.by_namespace[namespace] = Machine(self.limits)
        return machine

    def remove(self, namespace: str) -> None:
        """Remove the machine of a namespace; what it has counted stays counted."""
        self._counted.add(self.by_namespace.pop(namespace).counts)

    def count(self) -> None:
        """Sum up what the machines count."""
        self.pending_total: int = sum([each.pending_total for each in self.by_namespace.values()])
        self.counts: Counts = Counts()
        self.counts.add(self._counted)
        for machine in self.by_namespace.values():
            self.counts.add(machine.counts)

    def pending(self, namespace: str) -> list[Offer]:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.pending(namespace) if known else []

    def all_pending(self) -> list[Offer]:
        """See `Machine`."""
        return [offer for each in self.by_namespace.values() for offer in each.all_pending()]

    def oldest_ns(self) -> int | None:
        """See `Machine`."""
        oldest = [each.oldest_ns() for each in self.by_namespace.values()]
        return min([each for each in oldest if each is not None], default=None)

    @property
    def namespaces_total(self) -> int:
        """See `Machine`."""
        return len(self.by_namespace)

    @property
    def pending_bytes(self) -> int:
        """See `Machine`."""
        return sum([each.pending_bytes for each in self.by_namespace.values()])

    def pending_offer(self, namespace: str, id: str) -> Offer | None:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.pending_offer(namespace, id) if known else None

    def outcome_of(self, namespace: str, id: str, now_ns: int) -> tuple[Offer, Remembered] | None:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.outcome_of(namespace, id, now_ns) if known else None

    def totals(self, namespace: str) -> tuple[int, int, int]:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.totals(namespace) if known else (0, 0, 0)

    def trace(self, namespace: str, after: int, syncs_max: int) -> list[TracedSync]:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.trace(namespace, after, syncs_max) if known else []

    def departures(self, namespace: str) -> Departures:
        """See `Machine`."""
        known = self.by_namespace.get(namespace)
        return known.departures(namespace) if known else Departures()

    def namespaces(self, after: int, namespaces_max: int) -> list[tuple[str, int, int]]:
        """See `Machine`; a namespace is listed also while nothing is known of it yet."""
        page = list(self.by_namespace.items())[after : after + namespaces_max]
        return [(name, *machine.totals(name)[:2]) for name, machine in page]

    def waiting_elsewhere(
        self, namespace: str, events: list[str], steps: Steps, lookups_max: int = ELSEWHERE_LOOKUPS_MAX
    ) -> list[tuple[str, str, int]]:
        """See `Machine`."""
        found: list[tuple[str, str, int]] = []
        looked_at = list(self.by_namespace.items())[: lookups_max // max(1, len(events))]
        for name, machine in looked_at:
            if name != namespace:
                found += machine.waiting_elsewhere(namespace, events, steps)
        return found
