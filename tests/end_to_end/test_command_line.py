"""The command line as users type it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import syncnet
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.server.address import Address, AddressError, parse_address
from syncnet.server.build import build
from tests.end_to_end.running import curls, running, until


def start(*arguments: str, folder: Path | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "syncnet", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    process = start(*arguments, folder=folder)
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_the_help_has_examples() -> None:
    shown = run("--help").stdout
    for needed in ("syncnet :8000", "curl 'localhost:8000/event?event=coin&actor=VM'", "expect=A,B,C", "timeout=5s"):
        assert needed in shown
    assert "--log-format" in run("serve", "--help").stdout


def test_version() -> None:
    assert run("--version").stdout.strip() == f"syncnet, version {syncnet.__version__} ({build()})"


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0", "localhost:0"])
def test_addresses_to_serve_on(address: str) -> None:
    with running(address=address) as server:
        assert server.client.get("/healthz").text == "ok\n"
        assert server.stop() == 0


@pytest.mark.parametrize(
    "words", [["serve", "127.0.0.1:0"], ["--log-format=none", "127.0.0.1:0"], ["127.0.0.1:0", "--log-format", "none"]]
)
def test_serve_is_the_default_and_options_may_come_first(words: list[str]) -> None:
    first, *others = words
    with running(*others, address=first) as server:
        assert server.client.get("/healthz").status_code == 200


def test_a_closed_standard_output() -> None:
    with running(preexec=lambda: os.close(1)) as server:
        assert server.client.get("/event?event=e&actor=A&mates=0").status_code == 200
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


def test_a_taken_port_has_an_exit_status_of_its_own() -> None:
    with running() as server:
        second = run(f"127.0.0.1:{server.port}")
        assert second.returncode == ExitStatus.PORT_TAKEN
        assert second.stderr == f"Error: cannot listen on 127.0.0.1:{server.port}: address already in use\n"
        assert server.client.get("/healthz").status_code == 200


def test_a_host_that_is_not_of_this_machine() -> None:
    refused = run("192.0.2.1:0")
    assert refused.returncode == ExitStatus.FAILED
    assert refused.stderr.startswith("Error: cannot listen on 192.0.2.1:0: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((":99999",), "expected an address such as :8000 or 127.0.0.1:8000, got ':99999'"),
        (("8000",), "expected an address such as :8000 or 127.0.0.1:8000, got '8000'"),
        (("serve", "nonsense"), "expected an address such as :8000 or 127.0.0.1:8000, got 'nonsense'"),
        (("127.0.0.1:http",), "expected an address such as :8000 or 127.0.0.1:8000, got '127.0.0.1:http'"),
        ((":0", "--log-format", "xml"), "Invalid value for '--log-format'"),
        ((":0", "--journal", ""), "expected the name of a folder, got an empty text"),  # --journal "$UNSET"
        ((":0", "--journal="), "expected the name of a folder, got an empty text"),  # --journal=$UNSET
        ((":0", "--journal"), "Option '--journal' requires an argument"),  # --journal $UNSET
        (("evnt", "coin"), 'expected a subcommand or an address such as :8000, got "evnt"; did you mean event?'),
        (("localhost",), 'got "localhost"; the subcommands are abort, bench, cluster, completion, event, serve, stats'),
        (("event",), "Missing argument 'EVENT'"),
        (
            ("event", "start", "pytest", "tests"),
            "expected one EVENT, got also pytest tests; "
            "a command to run comes after --, as in: syncnet event start -- pytest tests; "
            "a choice of events is --or, as in: syncnet event start --or pytest",
        ),
        (
            ("event", "coin", "note", "--", "true"),
            "expected one EVENT, got also note; a choice is --or note",
        ),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    refused = run(*arguments, folder=tmp_path)
    assert refused.returncode == ExitStatus.USAGE
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_choice_of_events() -> None:
    with running() as server:
        words = ("event", "--url", server.url, "--namespace", "n", "--output", "json")
        waiting = start(*words, "coin", "--or", "card", "--or", "note", "--actor", "VM")
        server.until_pending(1, "n")
        other = run(*words, "note", "--actor", "CUST")
        assert (other.returncode, json.loads(other.stdout)["event"]) == (0, "note")
        out, _ = waiting.communicate(timeout=30)
        assert (waiting.returncode, json.loads(out)["event"]) == (0, "note")


def test_a_timeout_has_an_exit_status_of_its_own() -> None:
    with running() as server:
        ended = run("event", "coin", "--url", server.url, "--timeout", "50ms")
        assert ended.returncode == ExitStatus.TIMED_OUT


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8000", Address("", 8000)),
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("[::1]:8000", Address("::1", 8000)),
        ("my-host.example:1", Address("my-host.example", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8000", "a", "a:b", "::1:80", "[::1]", "a b:1", ":65536", "http://x:1"])
def test_texts_that_are_no_addresses(text: str) -> None:
    with pytest.raises(AddressError, match=re.escape("expected an address such as :8000 or 127.0.0.1:8000, got ")):
        parse_address(text)


def test_an_address_without_host_is_all_addresses_of_ipv4_and_ipv6() -> None:
    with running(address=":0") as server:
        for host in ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]:
            with socket.create_connection((host, server.port), timeout=30) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("closed", [(0, 1, 2), (1, 2), (1,), (2,)], ids=str)
def test_a_server_with_closed_standard_streams_ends_cleanly(closed: tuple[int, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = (
        "import os, sys\nfor fd in map(int, sys.argv.pop().split()): os.close(fd)\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            program,
            sys.executable,
            "-m",
            "syncnet",
            f"127.0.0.1:{port}",
            " ".join(map(str, closed)),
        ]
    )

    def health() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
        except httpx.ConnectError:
            return False

    try:
        until(health, lambda: "the server did not start")
        url = f"http://127.0.0.1:{port}/event?event=coin&actor=VM"
        with curls(url) as (waiting,):
            until(lambda: "VM" in httpx.get(f"http://127.0.0.1:{port}/stats").text, lambda: "the offer is not pending")
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == ExitStatus.OK
            assert b"the server is shutting down" in waiting.communicate()[0]
    finally:
        server.kill()
        server.wait()
