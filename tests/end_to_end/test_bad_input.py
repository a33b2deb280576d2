"""Bad input gets its status and a message that says what was expected, what came and where; the server continues."""

import socket
from typing import Any

import httpx
import pytest

from syncnet.core.limits import LIMITS
from tests.end_to_end.running import Server


@pytest.fixture(autouse=True)
def server_still_syncs(server: Server) -> Any:
    yield
    assert server.client.get("/event?event=after&actor=A&mates=0").status_code == 200


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:syncnet:problem:")
    assert document["title"]
    assert "Traceback" not in response.text
    return document


QUERIES = [
    ("actor=A", "event", "expected a value, got none"),
    ("event=e", "actor", "expected a value, got none"),
    ("", "event", "expected a value, got none"),
    ("event=&actor=A", "event", "got an empty one"),
    ("event=e&actor=", "actor", "got an empty one"),
    ("event=e&actor=no%20good", "actor", 'got "no good"'),
    ("event=e&actor=A&mates=-1", "mates", 'expected a whole number from 0 to 9999, got "-1"'),
    ("event=e&actor=A&mates=two", "mates", 'expected a whole number from 0 to 9999, got "two"'),
    ("event=e&actor=A&mates=99999999999", "mates", "got 99999999999"),
    ("event=e&actor=A&selector=x%20in", "selector", "expected '(', got the end at character 5"),
    ("event=e&actor=A&labels=a=1,b", "labels", 'expected key=value, got "b" (label 2 of 2)'),
    ("event=e&actor=A&mate=2", "mate", 'did you mean "mates"?'),
    ("event=e&actor=A&mates=1&mates=2", "mates", "expected once, got it 2 times"),
    ("event=e&actor=A&payload=%ff", "payload", "expected UTF-8, got the byte 0xff at character 1"),
    ("event=e%1b[2J&actor=A", "event", "expected printable characters only"),
]


@pytest.mark.parametrize(("query", "parameter", "message"), QUERIES, ids=[row[0] for row in QUERIES])
def test_a_bad_parameter_is_named(server: Server, query: str, parameter: str, message: str) -> None:
    document = problem(server.client.get(f"/event?{query}"), 400)
    assert document["parameter"] == parameter
    assert document["detail"].startswith(f"{parameter}: ")
    assert message in document["detail"]


BODIES = [
    ("application/json", b'{"event": ', 400, "expected a JSON object with parameters, but: "),
    ("application/json", b"\xff\xfe", 400, "expected UTF-8, got the byte 0xff at byte 1"),
    ("application/json", b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, "expected at most 64 levels of nesting"),
    ("application/yaml", b"a: &a [x]\nb: [*a, *a]", 400, "expected no anchors in YAML, got one, at line 1, column 4"),
    ("application/yaml", b"b: *a", 400, "expected no aliases in YAML"),
    ("application/yaml", b"a: !!python/name:os.system x", 400, "expected no tags in YAML"),
    ("application/yaml", b"a: [", 400, "expected YAML, but: "),
    (
        "application/json",
        b" " * (LIMITS.body_bytes_max + 1),
        413,
        f"expected a body of at most {LIMITS.body_bytes_max} bytes",
    ),
    ("application/json", b'{"event": "e", "actor": "A", "payload": "%s"}' % (b"x" * 262_143), 413, "got 262145"),
    ("application/xml", b"<a/>", 415, "expected the content type application/json, application/yaml or"),
    ("application/x-www-form-urlencoded", b'{"event": "e"}', 400, "Content-Type: application/json"),
]


@pytest.mark.parametrize(("content_type", "body", "status", "message"), BODIES, ids=[str(r[1][:24]) for r in BODIES])
def test_a_bad_body_is_refused(server: Server, content_type: str, body: bytes, status: int, message: str) -> None:
    response = server.client.post("/event", content=body, headers={"content-type": content_type})
    assert message in problem(response, status)["detail"]


def test_a_response_before_the_body_was_read_closes_the_connection(server: Server) -> None:
    for _ in range(20):
        refused = server.client.post("/event", content=b" " * (LIMITS.body_bytes_max + 1))
        assert (refused.status_code, refused.headers["connection"]) == (413, "close")
        assert "connection" not in server.client.get("/healthz").headers, "a new connection is kept"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "BREW"])
def test_an_unsupported_method_is_refused(server: Server, method: str) -> None:
    response = server.client.request(method, "/event?event=e&actor=A")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST, DELETE"
    if method != "HEAD":
        assert problem(response, 405)["detail"] == f"/event takes GET, POST, DELETE, got {method}"


@pytest.mark.parametrize(
    ("path", "hint"), [("/events", 'did you mean "/event"?'), ("/x", "expected one of /event"), ("/ui/", "one of")]
)
def test_an_unknown_path_is_404_with_a_hint(server: Server, path: str, hint: str) -> None:
    assert hint in problem(server.client.get(path), 404)["detail"]


def test_stats_refuses_unknown_parameters_and_methods(server: Server) -> None:
    assert problem(server.client.get("/stats?namespace=a b"), 400)["parameter"] == "namespace"
    assert problem(server.client.get("/stats?event=e"), 400)["parameter"] == "event"
    assert problem(server.client.post("/stats"), 405)["detail"] == "/stats takes GET, HEAD, got POST"


RAW = [
    (b"GET /event?event=\xff&actor=A HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    (b"NONSENSE\r\n\r\n", b"400"),
    (b"GET /event?event=e&actor=A&mates=0 HTTP/1.1\r\n\r\n", b"400"),
    (b"GET http://localhost/healthz HTTP/1.1\r\n\r\n", b"400"),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", b"400"),
    (b"POST /nowhere HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"400"),
    (b"GET /event?event=e&actor=A&mates=0 HTTP/1.0\r\n\r\n", b"200"),
    (b"GET /event HTTP/9.9\r\nHost: localhost\r\n\r\n", b"400"),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
    (b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", b"4"),
    (b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n", b"413"),
    (b"GET /event?event=e&actor=A HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx", b"400"),
    (b"GET /event?event=e&actor=A HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
    (b"GET /event?event=e&actor=A HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n", b"400"),
    (b"POST /event HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
]


@pytest.mark.parametrize(("sent", "status"), RAW, ids=[str(row[0][:40]) for row in RAW])
def test_malformed_http_is_refused(server: Server, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        line = connection.recv(4096).split(b"\r\n")[0]
    assert line.split()[1].startswith(status), line


def test_an_incomplete_body_makes_no_offer(server: Server) -> None:
    """The part of the body that arrives would be a valid form."""
    form = b"Content-Type: application/x-www-form-urlencoded"
    head = b"POST /event HTTP/1.1\r\nHost: localhost\r\n" + form + b"\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head + b"event=broken&actor=A")
    assert server.client.get("/event?event=broken&actor=B&timeout=50ms").status_code == 410
