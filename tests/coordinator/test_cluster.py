"""The coordinator of a node: its namespaces, its lease, and what it answers while the log cannot be reached.

The nodes are those of the simulator, without faults but for those that a test asks for.
"""

import pytest

from syncnet.core.commands import Abort
from syncnet.core.effects import Effect, Synced, TimedOut
from syncnet.core.limits import Limits
from syncnet.errors import BusyError, ClusterError, DrainingError, RetryableError
from syncnet.testing.simulator.events import SECOND, Events
from syncnet.testing.simulator.nodes import SimulatedNode
from syncnet.testing.simulator.stream import StreamServer
from tests.coordinator.fakes import Client, Outcomes
from tests.core.offers import offer

LEASE_S = 4.0
UNUSED_S = 61


class Cluster:
    """Some nodes, and the time that passes for them."""

    def __init__(self, nodes: int = 2) -> None:
        self.events = Events(1)
        self.server = StreamServer(self.events, int(0.6 * LEASE_S * SECOND), 120 * SECOND, 10**6)
        self.nodes = [SimulatedNode(self.server, f"n{number}", LEASE_S, 10_000) for number in range(nodes)]
        self.wait(1)

    def wait(self, seconds: float) -> None:
        self.events.run(int(seconds * SECOND))

    def offer(self, node: int, actor: str, *events: str, **options: object) -> Client:
        coordinator = self.nodes[node].coordinator
        made = offer(actor, *events, id=coordinator.new_id(), **options)  # type: ignore[arg-type]
        return Client(coordinator, made)

    def reach(self, *, up: bool) -> None:
        """Let the stream be reached by all nodes, or by none."""
        for node in self.nodes:
            if up:
                node.stream.heal()
            else:
                node.stream.is_up = False


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_offers_at_two_nodes_sync_in_each_namespace_by_itself(cluster: Cluster) -> None:
    one, other = cluster.offer(0, "A", namespace="x"), cluster.offer(1, "B", namespace="y")
    cluster.wait(1)
    assert one.results == other.results == []
    mates = cluster.offer(1, "C", namespace="x"), cluster.offer(0, "D", namespace="y")
    cluster.wait(1)
    results = [each.result for each in (one, other, *mates)]
    assert [each.sync for each in results if isinstance(each, Synced)] == [1, 1, 1, 1]
    for node in cluster.nodes:
        node.coordinator.count()
        assert node.coordinator.machine.counts.synced == 4
        assert node.coordinator.machine.namespaces_total == 2


def test_observers_see_the_effects_of_all_namespaces_once(cluster: Cluster) -> None:
    seen: list[Effect] = []
    coordinator = cluster.nodes[0].coordinator
    cluster.offer(0, "A", namespace="x")
    cluster.wait(1)
    observe = seen.append
    coordinator.add_observer(observe)
    cluster.offer(1, "B", namespace="x")
    cluster.offer(0, "C", namespace="y", mates=0)
    cluster.wait(1)
    assert len([each for each in seen if isinstance(each, Synced)]) == 2
    coordinator.remove_observer(observe)
    before = len(seen)
    cluster.offer(0, "D", namespace="y", mates=0)
    cluster.wait(1)
    assert len(seen) == before


def test_timeouts_withdrawals_and_aborts(cluster: Cluster) -> None:
    coordinator, done = cluster.nodes[1].coordinator, Outcomes()
    timed = cluster.offer(0, "T", timeout_s=2.0, at_ns=cluster.nodes[0].coordinator.now_ns())
    withdrawn, aborted = cluster.offer(0, "W", "w"), cluster.offer(0, "A", "a")
    cluster.wait(1)
    coordinator.withdraw("default", withdrawn.offer.id, done)
    coordinator.abort(Abort(0, "default", "a", "", "", "ops", "because"), done)
    cluster.wait(3)
    assert isinstance(timed.result, TimedOut)
    assert len(withdrawn.results) == len(aborted.results) == 1
    assert [len(called) for called in done.called if not isinstance(called, RetryableError)] == [1, 1]


def test_the_state_is_read_when_it_is_complete(cluster: Cluster) -> None:
    cluster.offer(0, "A", mates=0)
    cluster.wait(1)
    called: list[RetryableError | None] = []
    coordinator = cluster.nodes[1].coordinator
    coordinator.when_ready("default", called.append)
    coordinator.when_ready("*", called.append)
    assert called == [None], "the one of all namespaces"
    assert isinstance(coordinator.conditions()["loaded"], ClusterError)
    cluster.wait(1)
    assert called == [None, None]
    assert coordinator.machine.totals("default")[1] == 1
    assert coordinator.conditions() == {"cluster": None, "loaded": None}


def test_nothing_is_accepted_while_the_stream_cannot_be_reached(cluster: Cluster) -> None:
    """What is on its way gets an error, too; and what was pending before is pending still."""
    before = cluster.offer(0, "BEFORE")
    cluster.wait(1)
    cluster.reach(up=False)
    on_its_way = cluster.offer(0, "A", "tea", timeout_s=60.0)
    cluster.wait(LEASE_S)
    late, done = cluster.offer(0, "LATE"), Outcomes()
    cluster.nodes[0].coordinator.withdraw("default", before.offer.id, done)
    called: list[RetryableError | None] = []
    cluster.nodes[0].coordinator.when_ready("new", called.append)
    assert isinstance(on_its_way.result, ClusterError)
    assert isinstance(late.result, ClusterError)
    assert isinstance(done.called[0], ClusterError)
    assert isinstance(called[0], ClusterError)
    assert isinstance(cluster.nodes[0].coordinator.conditions()["cluster"], ClusterError)
    assert before.results == []
    cluster.reach(up=True)
    cluster.wait(2 * LEASE_S)
    assert cluster.nodes[0].coordinator.conditions() == {"cluster": None, "loaded": None}
    mate = cluster.offer(1, "MATE")
    cluster.wait(1)
    assert mate.result is before.result or isinstance(before.result, Synced)
    assert cluster.nodes[0].coordinator.is_idle


def test_a_node_stops_taking_part_where_no_client_waits(cluster: Cluster) -> None:
    coordinator = cluster.nodes[0].coordinator
    cluster.offer(0, "A", mates=0, namespace="quiet")
    waiting = cluster.offer(0, "B", namespace="waiting")
    cluster.wait(UNUSED_S)
    assert [name for name, _, _ in coordinator.machine.namespaces(0, 9)] == ["waiting"]
    cluster.offer(1, "C", namespace="waiting")
    again = cluster.offer(0, "A", mates=0, namespace="quiet")
    cluster.wait(1)
    assert isinstance(waiting.result, Synced)
    assert isinstance(again.result, Synced)
    assert again.result.sync == 2


def test_a_node_takes_part_in_so_many_namespaces_at_most() -> None:
    cluster = Cluster(1)
    coordinator = cluster.nodes[0].coordinator
    coordinator.machine.change_limits(Limits(namespaces_max=2))
    for name in ("a", "b", "a"):
        cluster.offer(0, "A", namespace=name)
    with pytest.raises(BusyError, match="2 namespaces, which is the limit"):
        cluster.offer(0, "A", namespace="c")


def test_a_node_that_leaves(cluster: Cluster) -> None:
    """Its offers are withdrawn or left to the other, and its clients get an error by which they go there."""
    unnamed = cluster.offer(0, "A", namespace="x")
    named = cluster.offer(0, "B", namespace="y", named=True, linger_s=60.0)
    cluster.offer(1, "W", "tea", namespace="x")
    cluster.wait(1)
    coordinator = cluster.nodes[0].coordinator
    coordinator.drain()
    with pytest.raises(DrainingError):
        cluster.offer(0, "C", namespace="x")
    coordinator.leave()
    cluster.wait(1)
    assert coordinator.is_idle
    assert isinstance(unnamed.result, DrainingError)
    assert isinstance(named.result, DrainingError)
    assert coordinator.shut_down() == 0
    coordinator.close()
    mate = cluster.offer(1, "M", namespace="y")
    gone = cluster.offer(1, "N", namespace="x")
    cluster.wait(1)
    assert isinstance(mate.result, Synced)
    assert gone.results == []


def test_a_node_that_shuts_down_while_the_stream_cannot_be_reached(cluster: Cluster) -> None:
    waiting = cluster.offer(0, "A")
    cluster.wait(1)
    cluster.reach(up=False)
    cluster.nodes[0].coordinator.drain()
    cluster.nodes[0].coordinator.leave()
    assert cluster.nodes[0].coordinator.shut_down() == 1
    assert isinstance(waiting.result, ClusterError)
