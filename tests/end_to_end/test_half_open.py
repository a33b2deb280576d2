"""G6 where the network goes without a word: a client in a namespace of its own, and a link that is cut.

Nothing is closed or reset: what the client's kernel would send does not arrive. This needs root, and `ip` and `ss`
(iproute2). In CI (CI=true) the test fails where it has not got them; a developer may do without.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.end_to_end.running import Server, running, until

HERE, THERE = "198.18.77.1", "198.18.77.2"  # of a range that is kept for benchmarks of networks (RFC 2544)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@pytest.fixture
def other_machine() -> Iterator[str]:
    """The name of a network namespace that stands for another machine, joined to this one by a cable."""
    lacking = None
    if sys.platform != "linux" or shutil.which("ip") is None:
        lacking = "Linux and the command ip (package iproute2)"
    elif os.geteuid() != 0:
        lacking = "root, to make a network namespace"
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(f"this test needs {lacking}")
    elif lacking:
        pytest.skip(f"G6 OF A CUT CABLE IS NOT TESTED HERE: it needs {lacking}")
    name = f"syncnet{os.getpid()}"
    near, far = f"sn{os.getpid()}a", f"sn{os.getpid()}b"
    ip("netns", "add", name)
    try:
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        ip("addr", "add", f"{HERE}/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        yield name
    finally:
        subprocess.run(["ip", "link", "del", near], capture_output=True, timeout=30, check=False)
        ip("netns", "del", name)


def cut(machine: str) -> None:
    ip("-n", machine, "link", "set", f"sn{os.getpid()}b", "down")


@contextlib.contextmanager
def curl_from(machine: str, url: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = ["ip", "netns", "exec", machine, "curl", "--silent", "--max-time", "120", *options, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        try:
            yield curl
        finally:
            curl.kill()


@pytest.fixture
def server(other_machine: str) -> Iterator[Server]:
    _ = other_machine  # whose cable has the address
    with running("--keepalive", "3s", address=f"{HERE}:0") as server:
        yield server


def test_g6_a_client_behind_a_cut_cable_is_withdrawn(server: Server, other_machine: str) -> None:
    with curl_from(other_machine, f"{server.url}/event?event=coin&actor=GHOST") as curl:
        server.until_pending(1)
        cut(other_machine)
        server.until_pending(0)
        assert curl.poll() is None, "the client knows nothing of it"
        answer = server.client.get("/event?event=coin&actor=CUST&timeout=0")
        assert answer.status_code == 408, "nobody syncs with a ghost"
        assert curl.poll() is None
    server.until_stdout("┌─ GHOST:coin\n┴  GHOST:coin disconnected\n\n┌─ CUST:coin\n┴  CUST:coin timed out\n\n")


def test_g6_a_client_whose_cable_is_whole_stays(server: Server, other_machine: str) -> None:
    """It waits silently for longer than the keepalive, which asks its kernel, not it."""
    with (
        curl_from(other_machine, f"{server.url}/event?event=coin&actor=VM") as curl,
        curl_from(other_machine, f"{server.url}/event?event=clock&actor=CLOCK&timeout=5s") as clock,
    ):
        server.until_pending(2)
        assert b'"status":408' in clock.communicate(timeout=60)[0]
        assert server.pending() == 1
        assert server.client.get("/event?event=coin&actor=CUST").status_code == 200
        assert b'"sync":1' in curl.communicate(timeout=60)[0]


@pytest.mark.parametrize("cable", ["cut", "whole"])
def test_g8_an_answer_does_not_stay_for_a_client_that_reads_nothing(
    server: Server, other_machine: str, cable: str
) -> None:
    """Bytes are under way that nobody takes; without a bound the kernel keeps at it for 15 minutes, or for ever."""
    with curl_from(other_machine, f"{server.url}/event?event=coin&actor=SLOW") as curl:
        server.until_pending(1)
        curl.send_signal(signal.SIGSTOP)
        payload = "x" * 262_000  # twice in the answer, and so more than the buffers of a client that stands still
        assert server.client.post("/event", json={"event": "coin", "actor": "B", "payload": payload}).status_code == 200
        assert connections(server) == 1
        if cable == "cut":
            cut(other_machine)
        until(lambda: connections(server) == 0, lambda: f"{connections(server)} connections are left")
    assert server.client.get("/event?event=e&actor=A&mates=0").status_code == 200


def connections(server: Server) -> int:
    """Return how many connections the kernel has open from the other machine to the server."""
    command = ["ss", "--tcp", "--no-header", "src", f"{HERE}:{server.port}", "and", "dst", THERE]
    return len(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines())
