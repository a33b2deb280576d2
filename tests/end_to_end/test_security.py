"""A real server with tokens and real clients: roles, browser headers, `Host`, SIGHUP, warnings, secrecy of tokens."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.live import SSE, Reader
from tests.end_to_end.running import Server, running, until

SYNCNET = [sys.executable, "-m", "syncnet"]


def make_token(name: str, *options: str) -> tuple[str, str]:
    """Return a token and its entry, as `syncnet token` prints them."""
    done = subprocess.run([*SYNCNET, "token", name, *options], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.startswith(f"syncnet: the token of {name}, shown this once:\n")
    secret = done.stderr.splitlines()[-1]
    assert secret not in done.stdout
    return secret, done.stdout


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


class Tokens:
    def __init__(self, file: Path) -> None:
        self.ci, ci = make_token("ci", "--namespace", "ci-*")
        self.eye, eye = make_token("eye", "--role", "observe")
        self.root, root = make_token("root", "--role", "admin")
        self.all = (self.ci, self.eye, self.root)
        self.file = file
        file.write_text(ci + eye + root)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens") / "tokens.yaml")


@pytest.fixture(scope="module")
def guarded(tokens: Tokens) -> Iterator[Server]:
    with running("--token-file", str(tokens.file), client={"headers": bearer(tokens.root)}) as server:
        yield server


OFFER = "/event?event=e&actor=A&mates=0&namespace="


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("ci", OFFER + "ci-1", 200),
        ("ci", OFFER + "default", 403),
        ("ci", "/stats?namespace=ci-1", 403),
        ("ci", "/healthz", 200),
        ("eye", OFFER + "default", 403),
        ("eye", "/stats", 200),
        ("eye", "/stats?namespace=ci-1", 200),
        ("root", OFFER + "default", 200),
        ("root", "/stats", 200),
    ],
)
def test_a_token_has_only_its_roles_and_namespaces(
    guarded: Server, tokens: Tokens, name: str, path: str, status: int
) -> None:
    response = guarded.client.get(path, headers=bearer(getattr(tokens, name)))
    assert response.status_code == status
    if status == 403:
        assert response.json()["type"] == "urn:syncnet:problem:forbidden"
        assert f"got {name} " in response.json()["detail"]


def test_a_token_is_checked_for_the_namespace_in_a_body(guarded: Server, tokens: Tokens) -> None:
    offer = {"event": "e", "actor": "A", "mates": 0, "namespace": "default"}
    assert guarded.client.post("/event", json=offer, headers=bearer(tokens.ci)).status_code == 403
    assert guarded.client.post("/event?namespace=ci-1", json=offer, headers=bearer(tokens.ci)).status_code == 400
    offer["namespace"] = "ci-1"
    assert guarded.client.post("/event", json=offer, headers=bearer(tokens.ci)).status_code == 200


def test_curl_without_a_token_gets_401_and_with_a_token_200(guarded: Server, tokens: Tokens) -> None:
    url = f"{guarded.url}{OFFER}ci-1"
    curl = ["curl", "--silent", "--include", "--max-time", "20"]
    without = subprocess.run([*curl, url], capture_output=True, text=True, timeout=30, check=True).stdout
    assert without.startswith("HTTP/1.1 401 Unauthorized")
    assert '\nwww-authenticate: Bearer realm="syncnet"' in without
    assert json.loads(without.splitlines()[-1])["type"] == "urn:syncnet:problem:unauthorized"
    with_token = [*curl, "--oauth2-bearer", tokens.ci, url]
    assert subprocess.run(with_token, capture_output=True, text=True, timeout=30, check=True).stdout.startswith(
        "HTTP/1.1 200 OK"
    )


def test_an_open_path_accepts_requests_without_a_token_and_with_a_wrong_one(guarded: Server) -> None:
    for authorization in (b"", b"Bearer wrong", b"Bearer \xff\xfe"):
        headers = [(b"authorization", authorization)] if authorization else []
        assert httpx.get(f"{guarded.url}/healthz", headers=headers).status_code == 200
        assert httpx.get(f"{guarded.url}/stats", headers=headers).status_code == 401


def test_tokens_are_never_echoed_or_logged(guarded: Server, tokens: Tokens) -> None:
    """Neither in the right header nor in any other part of a request."""
    secret = tokens.ci
    root = {"authorization": f"Bearer {tokens.root}"}
    requests: list[dict[str, Any]] = [
        {"url": "/stats", "headers": {"authorization": f"Bearer {secret}x"}},
        {"url": "/stats", "headers": {"authorization": secret}},
        {"url": "/stats", "headers": {"authorization": f"Basic {secret}"}},
        {"url": "/stats", "headers": {"authorization": f"Bearer {secret}, {secret}"}},
        {"url": "/stats", "headers": bearer(secret)},
        {"url": f"/stats?token={secret}", "headers": root},
        {"url": f"/event?event=e&actor=A&access_token={secret}", "headers": root},
        {"url": "/event", "method": "POST", "json": {"event": "e", "actor": "A", "token": secret}, "headers": root},
        {"url": "/event", "method": "POST", "data": {"event": "e", "token": secret}, "headers": root},
        {"url": "/stats", "headers": {"x-token": secret, "cookie": f"token={secret}"}},
        {"url": "/event?event=e&actor=A&mates=0&namespace=ci-1", "headers": bearer(secret)},
    ]
    for each in requests:
        response = guarded.client.request(**{"method": "GET", **each})
        assert secret not in response.text, each
        assert secret not in str(response.headers), each
    waiting = ["curl", "--silent", "--oauth2-bearer", secret, f"{guarded.url}/event?event=w&actor=A&namespace=ci-1"]
    with subprocess.Popen(waiting, stdout=subprocess.PIPE) as curl:
        guarded.until_pending(1, "ci-1")
        assert secret not in json.dumps(guarded.stats("ci-1"))
        curl.kill()
    guarded.until_pending(0, "ci-1")
    for token in tokens.all:
        assert token not in guarded.stderr
        assert token not in guarded.stdout


def test_sighup_reloads_the_token_file_unless_it_is_invalid(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    old, old_entry = make_token("old")
    new, new_entry = make_token("new")
    file.write_text(old_entry)

    def status(secret: str) -> int:
        return server.client.get(OFFER + "default", headers=bearer(secret)).status_code

    with running("--token-file", str(file)) as server:
        assert (status(old), status(new)) == (200, 401)
        file.write_text(new_entry.replace("sha256: ", f"sha256: {old} "))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the tokens were not reloaded" in server.stderr, lambda: server.stderr)
        assert f"{file}: line 2, entry 1: sha256: expected 64 hexadecimal digits" in server.stderr
        assert old not in server.stderr
        assert (status(old), status(new)) == (200, 401)
        file.write_text(new_entry)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: f"1 token read from {file}" in server.stderr, lambda: server.stderr)
        assert (status(old), status(new)) == (401, 200)
        assert server.stop() == 0


def test_a_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    (old, old_entry), (new, new_entry) = make_token("old", "--role", "observe"), make_token("new", "--role", "admin")
    file = tmp_path / "tokens.yaml"
    file.write_text(old_entry + new_entry)
    with running("--token-file", str(file)) as server, contextlib.ExitStack() as streams:

        def reader(secret: str, namespace: str) -> Reader:
            stream = streams.enter_context(Reader(server.port, SSE | bearer(secret), namespace=namespace))
            assert stream.words(1) == ["open 0"]
            return stream

        revoked, quiet, kept = reader(old, "n"), reader(old, "quiet"), reader(new, "n")
        for tokens, what in ((old_entry + new_entry, "2 tokens read"), (new_entry, "1 token read")):
            file.write_text(tokens)
            server.process.send_signal(signal.SIGHUP)
            until(lambda what=what: server.stderr.count(what), lambda: server.stderr)
            query: dict[str, str | int] = {"event": what, "actor": "A", "mates": 0, "namespace": "n"}
            assert server.client.get("/event", params=query, headers=bearer(new)).status_code == 200
        assert kept.words(2) == ["pending 2 tokens read A", "synced 2 tokens read A"]
        assert revoked.words(2) == ["pending 2 tokens read A", "synced 2 tokens read A"]
        assert kept.words(2) == ["pending 1 token read A", "synced 1 token read A"]
        assert b"data:" not in revoked.body()
        assert b"data:" not in quiet.body()
        assert server.stop() == 0


def test_a_stream_ends_when_its_token_loses_the_namespace(tmp_path: Path) -> None:
    secret, entry = make_token("one", "--role", "admin", "--namespace", "n")
    file = tmp_path / "tokens.yaml"
    file.write_text(entry)
    with (
        running("--token-file", str(file)) as server,
        Reader(server.port, SSE | bearer(secret), namespace="n") as stream,
    ):
        file.write_text(entry.replace('"n"', '"m"'))
        server.process.send_signal(signal.SIGHUP)
        assert stream.words(1) == ["open 0"]
        assert b"data:" not in stream.body()


def test_without_a_token_file_sighup_ends_the_server() -> None:
    with running() as server:
        assert server.stop(signal.SIGHUP) == -signal.SIGHUP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--token-file", "none.yaml"], "Error: --token-file none.yaml: cannot be read: No such file or directory"),
        (["--cors-origin", "x"], "expected an origin such as https://example.com"),
        (["--allow-host", "x:1"], "expected a host name without a port"),
        (["--keepalive", "1s"], "expected 3s to 1h, got 1s"),
        (["--keepalive", "soon"], "expected a duration such as 250ms"),
    ],
)
def test_invalid_options_end_the_server_with_a_message(options: list[str], message: str) -> None:
    ended = subprocess.run([*SYNCNET, "127.0.0.1:0", *options], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode in (1, 2)
    assert message in ended.stderr
    assert "serves on" not in ended.stderr


def test_a_token_with_an_invalid_name_namespace_or_role_is_refused() -> None:
    for arguments in (["a b"], ["x", "--namespace", "a b"], ["x", "--role", "king"]):
        ended = subprocess.run([*SYNCNET, "token", *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 2
        assert ended.stdout == ""


# --- browsers ----------------------------------------------------------------------------------------------


def test_a_page_of_another_site_can_neither_make_offers_nor_read(server: Server) -> None:
    server.client.get("/event?event=e&actor=A&mates=0")
    for headers in (
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ):
        for path in ("/event?event=e&actor=EVIL", "/event?event=e&actor=EVIL&mates=0", "/stats", "/healthz", "/none"):
            response = server.client.get(path, headers=headers)
            assert response.status_code == 403
            assert response.json()["type"] == "urn:syncnet:problem:cross-site"
            assert not [name for name in response.headers if name.startswith("access-control-")]
        form = {"event": "e", "actor": "EVIL", "mates": "0"}
        assert server.client.post("/event", data=form, headers=headers).status_code == 403
        preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        assert server.client.options("/event", headers=preflight).status_code == 403
    assert server.pending() == 0


def test_same_origin_requests_and_typed_urls_are_accepted(server: Server) -> None:
    for headers in ({"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": server.url}):
        response = server.client.get("/event?event=e&actor=A&mates=0", headers=headers)
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control-")]


def test_an_allowed_origin_is_accepted_with_cors_headers() -> None:
    origin = {"origin": "https://there.example", "sec-fetch-site": "cross-site"}
    with running("--cors-origin", "https://there.example", "--cors-origin", "http://localhost:3000") as server:
        headers = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = server.client.options("/event", headers=headers)
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert "content-length" not in preflight.headers
        assert preflight.headers["access-control-allow-origin"] == "https://there.example"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        for path, status in (("/event?event=e&actor=A&mates=0", 200), ("/event", 400), ("/none", 404)):
            response = server.client.get(path, headers=origin)
            assert response.status_code == status
            assert response.headers["access-control-allow-origin"] == "https://there.example"
            assert response.headers["vary"] == "Origin"
            assert "Syncnet-Rank" in response.headers["access-control-expose-headers"]
        refused = server.client.get("/stats", headers={"origin": "https://evil.example"})
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers


def test_an_unknown_host_is_refused_on_the_loopback(server: Server) -> None:
    for host, status in (
        ("evil.example", 403),
        (f"evil.example:{server.port}", 403),
        ("localhost:1", 200),
        ("a.localhost", 200),
    ):
        response = server.client.get("/event?event=e&actor=A&mates=0", headers={"host": host})
        assert response.status_code == status, host
        if status == 403:
            assert response.json()["type"] == "urn:syncnet:problem:unknown-host"


def test_hosts_are_checked_on_all_interfaces_only_if_names_are_allowed() -> None:
    with running("--allow-host", "sync.example.com") as server:
        assert server.client.get("/healthz", headers={"host": "sync.example.com:80"}).status_code == 200
        assert server.client.get("/healthz", headers={"host": "evil.example"}).status_code == 403
    with running(address=":0") as server:
        assert server.client.get("/healthz", headers={"host": "any.example"}).status_code == 200
    with running("--allow-host", "sync.example.com", address=":0") as server:
        assert server.client.get("/healthz", headers={"host": "any.example"}).status_code == 403


# --- warnings ----------------------------------------------------------------------------------------------


def test_a_server_without_tokens_on_all_interfaces_prints_warnings() -> None:
    with running(address=":0") as server:
        assert server.stderr.count("WARNING") == 4
        assert f"port {server.port} gives full access to all clients" in server.stderr
        assert "syncnet token NAME >> tokens.yaml" in server.stderr
    with running() as server:
        assert "WARNING" not in server.stderr


def test_a_server_with_tokens_but_without_tls_on_all_interfaces_prints_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(make_token("x")[1])
    with running("--token-file", str(file), address=":0") as server:
        assert server.stderr.count("WARNING") == 1
        assert "tokens are sent unencrypted over the network" in server.stderr
    with running("--token-file", str(file)) as server:
        assert "WARNING" not in server.stderr
