"""Nodes and servers of NATS that die, end or stand still; the others go on."""

import signal
from concurrent.futures import Future

import httpx
import pytest

from syncnet import Client
from tests.cluster.cluster import Cluster, code_of, is_ready, paused, readiness
from tests.end_to_end.running import until


def assert_lost(asked: Future[httpx.Response]) -> None:
    """Check that the connection of a request was lost."""
    with pytest.raises(httpx.TransportError):
        asked.result()


def test_a_node_is_killed(cluster: Cluster, namespace: str) -> None:
    """Its unnamed offers are withdrawn, its named ones linger, and its clients go to another node."""
    unnamed = cluster.ask(0, "unnamed", "U", namespace)
    named = cluster.ask(0, "named", "N", namespace, id="mine", linger="1m")
    with Client(cluster.urls) as net:
        moving = net.send("moving", actor="A", namespace=namespace)
        cluster.until_pending(3, namespace)
        cluster.end_node(0)
        assert_lost(unnamed)
        assert_lost(named)
        cluster.until_pending(2, namespace, 1, 2)
        assert set(cluster.get(2, "/stats", namespace=namespace).json()) == {"named", "moving"}
        mate = cluster.get(2, "/event", event="moving", actor="B", namespace=namespace)
        assert [member.actor for member in moving.result().members] == ["A", "B"]
        assert mate.json()["sync"] == moving.result().number
    back = cluster.ask(1, "named", "N", namespace, id="mine", linger="1m")
    cluster.pair(namespace, 1, 2)
    mate = cluster.get(2, "/event", event="named", actor="M", namespace=namespace)
    assert back.result().content == mate.content


def test_an_adopted_offer_is_withdrawn_when_its_linger_is_over(cluster: Cluster, namespace: str) -> None:
    asked = cluster.ask(0, "named", "N", namespace, id="mine", linger="500ms")
    timed = cluster.ask(0, "timed", "T", namespace, id="timed", linger="1m", timeout="4s")
    cluster.until_pending(2, namespace)
    cluster.end_node(0)
    assert_lost(asked)
    assert_lost(timed)
    cluster.until_pending(1, namespace, 1, 2)
    again = cluster.get(
        2, "/event", event="timed", actor="T", namespace=namespace, id="timed", linger="1m", timeout="4s"
    )
    assert code_of(again) == "timed-out"
    cluster.until_pending(0, namespace, 1, 2)


def test_a_node_is_ended(cluster: Cluster, namespace: str) -> None:
    unnamed = cluster.ask(0, "unnamed", "U", namespace)
    with Client(cluster.urls) as net:
        moving = net.send("moving", actor="A", namespace=namespace)
        cluster.until_pending(2, namespace)
        assert cluster.end_node(0, signal.SIGTERM) == 0
        assert (unnamed.result().status_code, code_of(unnamed.result())) == (503, "draining")
        cluster.until_pending(1, namespace, 1, 2)
        mate = cluster.get(2, "/event", event="moving", actor="B", namespace=namespace)
        assert mate.json()["sync"] == moving.result().number


def test_the_leader_of_the_stream_is_killed(cluster: Cluster, namespace: str) -> None:
    cluster.pair(namespace)
    waiting = cluster.ask(0, "x", "A", namespace)
    cluster.until_pending(1, namespace)
    cluster.nats.kill(cluster.stream_leader())
    with Client(cluster.urls[1]) as net:  # asks again until the others have a leader
        sync = net.sync("x", actor="B", namespace=namespace)
    assert waiting.result().json()["sync"] == sync.number


def test_nats_stands_still(cluster: Cluster, namespace: str) -> None:
    """Offers get 503 meanwhile, and what waited before waits on.

    Such an offer may be made nevertheless, when NATS goes on; so a client asks again by its id.
    """
    cluster.pair(namespace)
    waiting = cluster.ask(0, "x", "A", namespace)
    cluster.until_pending(1, namespace)
    with paused(cluster, *map(cluster.nats.pid, range(3))):
        for number in range(3):
            offer = cluster.get(number, "/event", event="x", actor="B", namespace=namespace, id="b")
            assert (offer.status_code, code_of(offer)) == (503, "cluster"), offer.text
        node = cluster.nodes[0]
        until(lambda: not is_ready(node), lambda: f"it is ready: {readiness(node)}")
        abort = cluster.http.post(
            f"{cluster.urls[0]}/abort", json={"event": "x", "reason": "r", "namespace": namespace}
        )
        assert (abort.status_code, code_of(abort)) == (503, "cluster"), abort.text
    cluster.until_ready()
    with Client(cluster.urls) as net:
        sync = net.sync("x", actor="B", namespace=namespace, id="b")
    assert waiting.result().json()["sync"] == sync.number


def test_a_node_ends_while_nats_stands_still(cluster: Cluster, namespace: str) -> None:
    waiting = cluster.ask(0, "x", "A", namespace)
    cluster.until_pending(1, namespace)
    with paused(cluster, *map(cluster.nats.pid, range(3))):
        assert cluster.end_node(0, signal.SIGTERM) == 0
    assert (waiting.result().status_code, code_of(waiting.result())) == (503, "cluster"), "it may still sync"
    cluster.until_pending(0, namespace, 1, 2)


def test_a_node_stands_still_for_longer_than_its_lease(cluster: Cluster, namespace: str) -> None:
    """Its offers are withdrawn. When it goes on, it makes them again for the clients that are still connected."""
    unnamed = cluster.ask(0, "unnamed", "U", namespace)
    named = cluster.ask(0, "named", "N", namespace, id="mine", linger="1m")
    cluster.until_pending(2, namespace)
    with paused(cluster, cluster.nodes[0].process.pid):
        cluster.until_pending(1, namespace, 1, 2)
        cluster.pair(namespace, 1, 2)
    cluster.until_pending(2, namespace)
    for event, asked in (("unnamed", unnamed), ("named", named)):
        mate = cluster.get(2, "/event", event=event, actor="M", namespace=namespace)
        assert asked.result().content == mate.content


def test_the_offers_of_a_node_that_stands_still_sync(cluster: Cluster, namespace: str) -> None:
    """Its client gets the sync when the node goes on."""
    named = cluster.ask(0, "named", "N", namespace, id="mine", linger="1m")
    cluster.until_pending(1, namespace)
    with paused(cluster, cluster.nodes[0].process.pid):
        mate = cluster.get(2, "/event", event="named", actor="M", namespace=namespace)
        assert mate.status_code == 200
    assert named.result().content == mate.content
