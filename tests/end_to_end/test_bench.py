"""`syncnet bench`: a load on a real server, and its reports of errors."""

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from syncnet.cli.bench.connection import now_s
from syncnet.cli.bench.load import Load, Plan
from syncnet.client.requests import Target
from syncnet.server.tokens import new_token
from tests.end_to_end.running import Server, running, until
from tests.end_to_end.test_tls import Files

PATIENCE_S = 60
DOCUMENT = Path(__file__).parents[2] / "docs" / "command-line.md"


def start(*words: str, **how: Any) -> "subprocess.Popen[str]":
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
    return subprocess.Popen([sys.executable, "-m", "syncnet", "bench", *words], **how)


def finished(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def run(*words: str) -> tuple[int, str, str]:
    return finished(start(*words))


def syncs(server: Server, namespace: str) -> int:
    return int(server.client.get("/stats", params={"namespace": namespace}).headers["syncnet-syncs"])


def until_it_syncs(server: Server, namespace: str, process: "subprocess.Popen[str]") -> None:
    """Wait until the load has begun; the first sync is that of the one offer before it."""
    until(lambda: syncs(server, namespace) > 20, lambda: f"no syncs; the bench has ended with {process.poll()}")


def test_the_table(server: Server) -> None:
    status, out, err = run(server.url, "--duration", "300ms", "--concurrency", "8")
    assert (status, err) == (0, "")  # standard error is a pipe, so there is no progress bar
    head, second, _, columns, response, last_arrival, _, errors = out.splitlines()
    match = re.fullmatch(
        rf"{server.url}, namespace (bench-[0-9a-f]{{8}}): 1 mate, 8 connections, as fast as possible, [0-9.]+ s", head
    )
    assert match is not None
    synced = int(second.split()[0].replace(",", ""))
    assert synced > 0
    assert columns.split() == ["ms", "p50", "p90", "p99", "p99.9", "max", "count"]
    assert response.split()[-1] == f"{2 * synced:,}"
    assert last_arrival.split()[-1] == f"{synced:,}"
    assert errors == "errors: none"
    assert syncs(server, match[1]) == synced + 1  # one offer is made before the load
    assert server.pending(match[1]) == 0


@pytest.mark.parametrize("words", [[], ["--payload-bytes", "2000"], ["--mates", "0"], ["--rate", "200"]])
def test_json_for_scripts(server: Server, words: list[str], request: pytest.FixtureRequest) -> None:
    namespace = re.sub(r"[^a-z0-9]+", "-", request.node.name).strip("-")
    given = ["--duration", "300ms", "--namespace", namespace, "--concurrency", "6", "--output", "json"]
    status, out, err = run(server.url, *given, *(words or ["--mates", "2"]))
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["url"] == server.url
    assert document["namespace"] == namespace
    assert document["syncs"] == syncs(server, namespace) - 1 > 0
    latency_ms = document["latency_ms"]
    assert document["exchanges"] == document["syncs"] * (document["mates"] + 1)
    assert document["exchanges"] == latency_ms["request_to_response"]["count"]
    assert document["syncs"] == latency_ms["last_arrival_to_response"]["count"]
    assert (document["errors"], document["withdrawn"], document["is_interrupted"]) == ({}, 0, False)
    if words == ["--rate", "200"]:
        assert document["exchanges"] + document["not_sent"] == 60
    page = DOCUMENT.read_text()
    for name in (*document, *latency_ms, *latency_ms["request_to_response"]):
        assert f"`{name}`" in page


def test_the_progress_bar_on_a_terminal(server: Server) -> None:
    ours, theirs = pty.openpty()
    process = start(server.url, "--duration", "1s", "--concurrency", "2", stderr=theirs)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's other end is closed
        while select.select([ours], [], [], PATIENCE_S)[0]:
            shown += os.read(ours, 4096)
    os.close(ours)
    status, out, _ = finished(process)
    assert (status, out.splitlines()[-1]) == (0, "errors: none")
    assert re.search(rb"\[-+\] +0% ", shown)
    assert re.search(rb"\[#+\] +100% +[0-9,]+ syncs, 0 errors", shown)


def test_wrong_arguments(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for words, status, said in (
        ([nowhere], 4, f"Error: no answer from {nowhere}: "),
        (["nonsense"], 3, "Error: url: expected a URL"),
        ([f"{server.url}/nowhere"], 3, "Error: no /nowhere/event here"),
        ([server.url, "--payload-bytes", "300000"], 3, "Error: payload: expected at most 262144 bytes"),
        ([server.url, "--namespace", "a&b=c"], 3, "Error: namespace: "),
        ([server.url, "--mates", "64", "--concurrency", "64"], 2, "expected 65 or more, which is what one sync"),
        ([server.url, "--duration", "0"], 2, "expected 0.1 to 3600 seconds, got 0"),
        ([server.url, "--duration", "2h"], 2, "expected 0.1 to 3600 seconds, got 7200"),
        ([], 2, "Missing argument 'URL'"),
    ):
        found, out, err = run(*words)
        assert (found, out) == (status, "")
        assert said in err


def test_more_connections_than_open_files_are_allowed(server: Server) -> None:
    script = f"ulimit -n 200; exec {sys.executable} -m syncnet bench {server.url} --concurrency 1000"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "expected at most 168 connections, because this process may have 200 open files" in done.stderr


@pytest.mark.parametrize(
    ("signum", "kinds"),
    [
        (signal.SIGKILL, {"connection-lost", "unreachable", "mate-failed"}),
        (signal.SIGTERM, {"connection-lost", "unreachable", "mate-failed", "draining"}),
    ],
)
def test_a_server_that_stops_during_the_run(signum: int, kinds: set[str]) -> None:
    with running("--log-format", "none") as server:
        process = start(server.url, "--duration", "3s", "--namespace", "n", "--output", "json")
        until_it_syncs(server, "n", process)
        server.process.send_signal(signum)
        status, out, err = finished(process)
    assert (status, err) == (7, "")
    document = json.loads(out)
    assert document["syncs"] > 0
    assert set(document["errors"]) <= kinds
    assert document["errors"]["unreachable"]["first"]
    assert document["duration_s"] >= 3


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_g6_an_interrupted_run_prints_its_figures_and_leaves_no_offer_pending(signum: int, status: int) -> None:
    """The server is stopped when the signal comes, so offers are in flight; none may be pending when it continues."""
    with running("--log-format", "none") as server:
        words = ["--duration", "10m", "--timeout", "10m", "--namespace", "n", "--output", "json"]
        process = start(server.url, *words)
        until_it_syncs(server, "n", process)
        server.process.send_signal(signal.SIGSTOP)
        process.send_signal(signum)
        found, out, err = finished(process)
        server.process.send_signal(signal.SIGCONT)
        server.until_pending(0, "n")
    assert (found, err) == (status, "")
    document = json.loads(out)
    assert document["is_interrupted"] is True
    assert document["syncs"] > 20
    assert document["withdrawn"] > 0
    assert document["errors"] == {}


def load_of(server: Server, **plan: Any) -> Load:
    named = {"run": "run", "namespace": "n", "mates": 1, "groups": 1, "rate": None, "payload_bytes": 0, **plan}
    return Load(Target(server.url), Plan(**named))


@pytest.mark.anyio
async def test_times_count_from_the_intended_moment(fresh_server: Server) -> None:
    """The server is stopped for half a second; exchanges that were due in it count from when they were due."""
    load = load_of(fresh_server, rate=100.0, duration_s=1.0, timeout_s=30.0)
    fresh_server.process.send_signal(signal.SIGSTOP)
    running_load = asyncio.create_task(load.run())
    while now_s() < load.began_s + 0.5:
        await asyncio.sleep(0.001)
    fresh_server.process.send_signal(signal.SIGCONT)
    figures = await running_load
    assert figures.response.total + figures.not_sent == 100
    # 30 exchanges were due in the first 300 ms; those of them that were sent have waited for 200 ms or more.
    slow = max(1, 30 - figures.not_sent)
    assert figures.response.at_s((figures.response.total - slow + 1) / figures.response.total) >= 0.2
    assert not figures.errors


@pytest.mark.anyio
async def test_exchanges_that_were_due_and_never_sent_are_counted(fresh_server: Server) -> None:
    load = load_of(fresh_server, rate=100.0, duration_s=0.5, timeout_s=30.0)
    fresh_server.process.send_signal(signal.SIGSTOP)
    running_load = asyncio.create_task(load.run())
    while now_s() < load.began_s + 0.5:
        await asyncio.sleep(0.001)
    fresh_server.process.send_signal(signal.SIGCONT)
    figures = await running_load
    assert (figures.syncs, figures.not_sent) == (1, 48)
    assert figures.response.at_s(0.01) >= 0.5


@pytest.mark.anyio
async def test_a_server_that_never_responds(fresh_server: Server) -> None:
    load = load_of(fresh_server, groups=3, duration_s=0.1, timeout_s=0.05)
    fresh_server.process.send_signal(signal.SIGSTOP)
    figures = await load.run()
    fresh_server.process.send_signal(signal.SIGCONT)
    assert dict(figures.errors) == {"no-response": 6}
    fresh_server.until_pending(0, "n")


@pytest.mark.anyio
async def test_g6_offers_are_withdrawn_when_a_mate_fails(fresh_server: Server) -> None:
    """A member with an invalid actor is refused, so its mates can never sync and are withdrawn."""
    load = load_of(fresh_server, mates=2, duration_s=0.3, timeout_s=20.0)
    before, after = load._requests[1]
    load._requests[1] = (before.replace(b"actor=bench-1", b"actor="), after)
    figures = await load.run()
    assert set(figures.errors) == {"bad-parameter", "mate-failed"}
    assert figures.errors["mate-failed"] == 2 * figures.errors["bad-parameter"]
    assert figures.first_errors["bad-parameter"].startswith("actor: expected")
    fresh_server.until_pending(0, "n")


@pytest.mark.anyio
async def test_errors_are_counted_by_kind() -> None:
    with running("--log-format", "none", "--limit", "pending-offers-max=1") as server:
        figures = await load_of(server, mates=2, duration_s=0.2, timeout_s=5.0).run()
        assert figures.errors["full"] > 0
        assert set(figures.errors) == {"full", "mate-failed"}
        figures = await load_of(server, mates=1, duration_s=0.2, timeout_s=5.0).run()
        assert (figures.syncs > 0, dict(figures.errors)) == (True, {})
        server.until_pending(0, "n")


class _OtherServer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(params=[200, 502])
def other_server(request: pytest.FixtureRequest) -> Iterator[HTTPServer]:
    handler = type("OtherServer", (_OtherServer,), {"status": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http
        http.shutdown()
        thread.join()


@pytest.mark.anyio
async def test_responses_of_other_servers_are_errors(other_server: HTTPServer) -> None:
    plan = Plan("run", "n", mates=0, groups=1, rate=None, duration_s=0.2, timeout_s=1.0, payload_bytes=0)
    figures = await Load(Target(f"http://127.0.0.1:{other_server.server_port}"), plan).run()
    assert figures.syncs == 0
    (kind,) = figures.errors
    assert kind == {200: "not-syncnet", 502: "status-502"}[other_server.RequestHandlerClass.status]  # type: ignore[attr-defined]


def test_https_with_a_token_that_may_only_sync(tmp_path: Path) -> None:
    files = Files(tmp_path)
    token, entry = new_token("runner", ["bench-*"], ["sync"])
    (tmp_path / "tokens.yaml").write_text(entry + "\n")
    options = ("--tls-cert", files.cert, "--tls-key", files.key, "--token-file", str(tmp_path / "tokens.yaml"))
    with running(*options, client=files.of_client()) as server:
        words = (server.url, "--ca", files.ca, "--duration", "300ms", "--concurrency", "4")
        status, out, err = finished(start(*words, env={**os.environ, "SYNCNET_TOKEN": token}))
        assert (status, err) == (0, "")
        assert out.endswith("errors: none\n")
        assert run(*words)[0] == 3
        assert run(*words, "--token", token, "--namespace", "prod")[0] == 3
        assert token not in out
