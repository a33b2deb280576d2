"""The machines of a node are counted together, and a counter never falls."""

from syncnet.coordinator.machines import Machines
from tests.core.offers import offer


def sync_alone(machines: Machines, namespace: str) -> None:
    machines.by_namespace[namespace].offer(offer("A", mates=0, namespace=namespace))


def test_what_a_removed_machine_has_counted_stays_counted() -> None:
    machines = Machines()
    for namespace in ("one", "two"):
        machines.add(namespace)
        sync_alone(machines, namespace)
    machines.count()
    assert machines.counts.synced == 2
    machines.remove("one")
    machines.count()
    assert (machines.counts.synced, sum(machines.counts.syncs), machines.namespaces_total) == (2, 2, 1)
    machines.add("one")
    sync_alone(machines, "one")
    machines.count()
    machines.count()
    assert machines.counts.synced == 3
