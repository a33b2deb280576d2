"""The command line as people type it."""

import os
import re
import socket
import subprocess
import sys

import pytest

import syncnet
from syncnet.server.address import Address, AddressError, parse_address
from tests.end_to_end.running import running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncnet", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_help_teaches() -> None:
    shown = run("--help").stdout
    for needed in ("syncnet :8000", "curl 'localhost:8000/event?event=coin&actor=VM'", "expect=A,B,C", "timeout=5s"):
        assert needed in shown
    assert "--log-format" in run("serve", "--help").stdout


def test_version() -> None:
    assert run("--version").stdout.strip() == f"syncnet, version {syncnet.__version__}"


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0", "localhost:0"])
def test_addresses_to_serve_on(address: str) -> None:
    with running(address=address) as server:
        assert server.client.get("/healthz").text == "ok\n"
        assert server.stop() == 0


@pytest.mark.parametrize("words", [["serve", "127.0.0.1:0"], ["--log-format=none", "127.0.0.1:0"]])
def test_serve_may_be_said_and_options_come_first(words: list[str]) -> None:
    first, *others = words
    with running(*others, address=first) as server:
        assert server.client.get("/healthz").status_code == 200


def test_a_closed_standard_output() -> None:
    with running(preexec=lambda: os.close(1)) as server:
        assert server.client.get("/event?event=e&actor=A&mates=0").status_code == 200
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


def test_a_port_that_is_taken() -> None:
    with running() as server:
        second = run(f"127.0.0.1:{server.port}")
        assert second.returncode == 1
        assert second.stderr == f"Error: cannot listen on 127.0.0.1:{server.port}: address already in use\n"
        assert server.client.get("/healthz").status_code == 200


def test_a_host_that_is_not_ours() -> None:
    second = run("192.0.2.1:0")
    assert second.returncode == 1
    assert second.stderr.startswith("Error: cannot listen on 192.0.2.1:0: ")


@pytest.mark.parametrize(
    "arguments", [(":99999",), ("serve", "nonsense"), ("127.0.0.1:http",), (":0", "--log-format", "xml")]
)
def test_arguments_that_do_not_do(arguments: tuple[str, ...]) -> None:
    second = run(*arguments)
    assert second.returncode == 2
    assert "Error: " in second.stderr
    assert "Traceback" not in second.stderr


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
def test_no_addresses(text: str) -> None:
    with pytest.raises(AddressError, match=re.escape("expected an address such as :8000 or 127.0.0.1:8000, got ")):
        parse_address(text)


def test_no_host_means_all_addresses_of_both_kinds() -> None:
    with running(address=":0") as server:
        for host in ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]:
            with socket.create_connection((host, server.port), timeout=30) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
