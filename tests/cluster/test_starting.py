"""Nodes that start: with other settings, without NATS, all anew, and where much has happened."""

import asyncio
import signal
import subprocess
import sys

import pytest

from tests.cluster.busy_namespace import fill
from tests.cluster.cluster import LEASE_S, Cluster


def failed_start(*options: str) -> str:
    """Return what a node says that cannot start."""
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "2"], "Error: all nodes need the same shards: expected 1, got 2\n"),
        (["--lease", "3s"], "Error: all nodes need the same lease_ms: expected 2000, got 3000\n"),
        (["--limit", "trace-syncs-max=5"], "Error: all nodes need the same trace_syncs_max: expected 10000, got 5\n"),
    ],
)
def test_a_node_with_other_settings_does_not_start(cluster: Cluster, options: list[str], message: str) -> None:
    assert failed_start(*cluster.options, *options).endswith(message)


def test_clusters_with_other_names_have_other_settings(cluster: Cluster, namespace: str) -> None:
    node = cluster.new_node("127.0.0.1:0", "--cluster-name", "other", "--shards", "4", "--limit", "trace-syncs-max=5")
    try:
        cluster.pair(namespace)
        assert node.client.get("/trace", params={"namespace": namespace}).json()["syncs"] == []
        assert node.client.get("/event?event=x&actor=A&mates=0").json()["sync"] == 1
    finally:
        assert node.stop() == 0
        node.close()


def test_a_node_without_nats_does_not_start(lonely_node: subprocess.Popen[str]) -> None:
    out, err = lonely_node.communicate(timeout=60)
    assert (lonely_node.returncode, out) == (1, "")
    assert err.startswith("Error: cannot connect to nats://127.0.0.1:")


def test_all_nodes_are_restarted(cluster: Cluster, namespace: str) -> None:
    """What has happened stays, and an offer with an id waits for its client."""
    cluster.pair(namespace)
    waiting = cluster.ask(0, "x", "A", namespace, id="mine", linger="1m")
    cluster.until_pending(1, namespace)
    for number, signum in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        cluster.end_node(number, signum)
    assert waiting.exception() is not None
    cluster.mend()
    cluster.pair(namespace)
    mate = cluster.ask(1, "x", "B", namespace)
    again = cluster.get(2, "/event", event="x", actor="A", namespace=namespace, id="mine", linger="1m")
    assert (again.json()["sync"], again.content) == (3, mate.result().content)
    assert [sync["sync"] for sync in cluster.get(0, "/trace", namespace=namespace).json()["syncs"]] == [1, 2, 3]


def test_a_node_joins_a_namespace_where_much_has_happened(cluster: Cluster, namespace: str) -> None:
    """It loads a snapshot, and the commands after that."""
    syncs = 100_000
    asyncio.run(fill(",".join(cluster.nats.urls), namespace, syncs, LEASE_S))
    node = cluster.new_node()
    try:
        response = node.client.get("/event", params={"event": "x", "actor": "A", "mates": 0, "namespace": namespace})
        assert response.json()["sync"] == syncs + 1
        traced = node.client.get("/trace", params={"namespace": namespace, "after": syncs - 1}).json()["syncs"]
        assert [sync["sync"] for sync in traced] == [syncs, syncs + 1]
    finally:
        node.close()
    cluster.pair(namespace)
