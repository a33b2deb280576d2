"""Every limit, reached over real HTTP: its status and message; pending offers are not affected."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from syncnet.core.limits import Limits
from syncnet.server.rsgi import RequestCounts
from tests.end_to_end.live import SSE, Reader
from tests.end_to_end.running import Server, curls, running, until

REQUEST_LIMITS = {
    "mates-max": 3,
    "events-per-offer-max": 2,
    "event-characters-max": 8,
    "events-characters-max": 10,
    "labels-per-offer-max": 3,
    "selector-characters-max": 20,
    "payload-bytes-max": 50,
    "timeout-s-max": 60,
    "linger-s-max": 60,
    "url-bytes-max": 300,
    "parameters-max": 8,
    "body-bytes-max": 400,
    "yaml-bytes-max": 100,
    "yaml-answer-bytes-max": 200,
}
IN_CORE_ONLY = {"pending-per-token-max"}


def options(limits: dict[str, int]) -> list[str]:
    return [
        "--log-format",
        "none",
        *(word for name, value in limits.items() for word in ("--limit", f"{name}={value}")),
    ]


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server with small limits, and with one pending offer all the time."""
    with running(*options(REQUEST_LIMITS)) as server, curls(f"{server.url}/event?event=coin&actor=VM") as (curl,):
        server.until_pending(1)
        yield server
        response = server.client.get("/event?event=coin&actor=CUST")
        assert (response.status_code, curl.communicate()[0]) == (200, response.content)


QUERIES = [
    ("mates-max", "event=e&actor=A&mates=4", 400, "mates: expected a whole number from 0 to 3, got 4"),
    ("mates-max", "event=e&actor=A&expect=B,C,D,E", 413, "expect: expected at most 3 actors, got 4"),
    ("events-per-offer-max", "event=a&event=b&event=c&actor=A", 413, "event: expected at most 2 events, got 3"),
    ("event-characters-max", "event=123456789&actor=A", 413, "event: expected at most 8 characters, got 9"),
    ("events-characters-max", "event=123456&event=12345&actor=A", 413, "at most 10 characters in all events, got 11"),
    ("labels-per-offer-max", "event=e&actor=A&labels=a=,b=,c=", 413, "labels: expected at most 3 labels, got 4"),
    ("labels-per-offer-max", "event=e&actor=A&labels=a=,b=,c=,d=", 413, "labels: expected at most 3 labels, got 4"),
    ("selector-characters-max", f"event=e&actor=A&selector={'k' * 21}", 413, "selector: expected at most 20 char"),
    (
        "payload-bytes-max",
        f"event=e&actor=A&payload={'x' * 49}",
        413,
        "payload: expected at most 50 bytes as JSON, got 51",
    ),
    ("timeout-s-max", "event=e&actor=A&timeout=2m", 400, "timeout: expected 0 to 60 seconds, got 120"),
    ("linger-s-max", "event=e&actor=A&id=i&linger=2m", 400, "linger: expected 0 to 60 seconds, got 120"),
    ("url-bytes-max", f"event=e&actor=A&payload={'x' * 300}", 414, "expected a query of at most 300 bytes, got 324"),
    ("parameters-max", "&".join(f"event={n}" for n in range(9)), 413, "expected at most 8 parameters, got more"),
]


@pytest.mark.parametrize(
    ("limit", "query", "status", "detail"), QUERIES, ids=[f"{row[0]}-{row[1][:24]}" for row in QUERIES]
)
def test_a_query_above_a_limit_is_refused(small: Server, limit: str, query: str, status: int, detail: str) -> None:
    assert limit in REQUEST_LIMITS
    response = small.client.get(f"/event?{query}")
    assert (response.status_code, response.json()["status"]) == (status, status)
    assert detail in response.json()["detail"]
    assert small.pending() == 1


BODIES: list[tuple[str, dict[str, Any], int, str]] = [
    ("mates-max", {"mates": 4}, 400, "mates: expected a whole number from 0 to 3, got 4"),
    ("events-per-offer-max", {"event": ["a", "b", "c"]}, 413, "event: expected at most 2 events, got 3"),
    ("labels-per-offer-max", {"labels": {"a": "", "b": "", "c": ""}}, 413, "labels: expected at most 3 labels, got 4"),
    ("selector-characters-max", {"selector": "k" * 21}, 413, "selector: expected at most 20 characters, got 21"),
    ("payload-bytes-max", {"payload": ["x" * 47]}, 413, "payload: expected at most 50 bytes as JSON, got 51"),
    ("timeout-s-max", {"timeout": 61}, 400, "timeout: expected 0 to 60 seconds, got 61"),
    ("body-bytes-max", {"payload": "x" * 400}, 413, "expected a body of at most 400 bytes, got more"),
]


@pytest.mark.parametrize(("limit", "values", "status", "detail"), BODIES, ids=[row[0] for row in BODIES])
def test_a_body_above_a_limit_is_refused(
    small: Server, limit: str, values: dict[str, Any], status: int, detail: str
) -> None:
    assert limit in REQUEST_LIMITS
    response = small.client.post("/event", json={"event": "e", "actor": "A", **values})
    assert (response.status_code, response.json()["detail"][: len(detail)]) == (status, detail)
    assert small.pending() == 1


def test_a_body_at_all_limits_is_accepted(small: Server) -> None:
    body = {"event": ["12345678", "12"], "actor": "A", "labels": {"a": "", "b": ""}, "payload": "x" * 48, "timeout": 60}
    assert small.client.post("/event", json={**body, "mates": 0, "selector": "k" * 20}).status_code == 200


def test_a_yaml_body_above_its_limit_is_refused_and_json_of_that_length_is_accepted(small: Server) -> None:
    """The limit is "yaml-bytes-max"."""
    body = b'{event: e, actor: "A", mates: 0}'.ljust(100)
    headers = {"content-type": "application/yaml"}
    assert small.client.post("/event", content=body, headers=headers).status_code == 200
    refused = small.client.post("/event", content=body + b" ", headers=headers)
    detail = "expected a body in YAML of at most 100 bytes, got 101; one in JSON may be longer"
    assert (refused.status_code, refused.json()["detail"]) == (413, detail)
    assert small.client.post("/event", json={"event": "e", "actor": "A", "mates": 0, "id": "x" * 60}).status_code == 200


def test_g7_an_answer_above_the_limit_is_json_for_members_that_asked_for_yaml(small: Server) -> None:
    """The limit is "yaml-answer-bytes-max". The sync has happened, so its outcome is not kept from any member."""
    url = "/event?event=e&actor=A&mates=0&output="
    short = small.client.get(f"{url}yaml")
    assert (short.status_code, short.headers["content-type"]) == (200, "application/yaml")
    long_url = f"/event?event=e&actor=A&mates=0&id={'i' * 128}&payload={'x' * 20}&output="
    long = small.client.get(f"{long_url}yaml")
    assert (long.status_code, long.headers["content-type"], len(long.content) > 200) == (200, "application/json", True)
    assert long.content == small.client.get(f"{long_url}json").content


FULL = [
    ({"pending-offers-max": 1}, "other", 503, "1 offers are pending, which is the limit"),
    ({"pending-bytes-max": 1_000}, "other", 503, "and this one is too large to be added"),
    ({"namespaces-max": 1}, "other", 503, "offers are pending in 1 namespaces"),
    ({"pending-per-namespace-max": 1}, "first", 429, "1 offers are pending in this namespace, which is the limit"),
]


@pytest.mark.parametrize(("limits", "namespace", "status", "detail"), FULL, ids=[next(iter(row[0])) for row in FULL])
def test_a_full_server_accepts_only_offers_that_sync_at_once(
    limits: dict[str, int], namespace: str, status: int, detail: str
) -> None:
    """Another offer gets `Retry-After`; after a sync has made room, the next offer is accepted."""
    with (
        running(*options(limits)) as server,
        curls(f"{server.url}/event?event=coin&actor=VM&namespace=first") as (curl,),
    ):
        server.until_pending(1, "first")
        body: dict[str, object] = {"event": "tea", "actor": "X", "namespace": namespace, "payload": "x" * 900}
        refused = server.client.post("/event", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (status, "1")
        assert refused.json()["detail"].endswith(detail)
        assert server.pending("first") == 1
        assert server.client.get("/event?event=coin&actor=CUST&namespace=first").status_code == 200
        assert curl.communicate()[0]
        body |= {"timeout": 0, "payload": ""}
        assert server.client.post("/event", json=body).status_code == 410


def test_the_limit_of_a_namespace_does_not_affect_other_namespaces() -> None:
    with (
        running(*options({"pending-per-namespace-max": 1})) as server,
        curls(f"{server.url}/event?event=coin&actor=VM&namespace=first"),
    ):
        server.until_pending(1, "first")
        assert server.client.get("/event?event=e&actor=A&timeout=0").status_code == 410


def test_a_search_at_its_limit_is_counted_as_a_miss() -> None:
    with running(*options({"search-steps-max": 10})) as server:
        incompatible = f"mates=2&labels=side=1&selector={quote('side!=1')}"
        urls = [f"{server.url}/event?event=e&actor=A{number}&{incompatible}" for number in range(12)]
        with curls(*urls):
            server.until_pending(12)
            assert server.client.get("/event?event=e&actor=B&mates=2&timeout=0").status_code == 410
            assert int(server.client.get("/stats").headers["syncnet-misses"]) > 0


def test_outcomes_and_trace_are_limited_by_number() -> None:
    with running("--log-format", "none", "--trace-keep", "2", "--limit", "outcomes-max=1") as server:
        first, second = ("/event?event=e&actor=A&mates=0&id=1", "/event?event=e&actor=A&mates=0&id=2")
        assert [server.client.get(path).json()["sync"] for path in (first, second, second)] == [1, 2, 2]
        assert server.client.get(first).json()["sync"] == 3, "the first outcome was forgotten, so the offer syncs again"
        assert [sync["sync"] for sync in server.client.get("/trace").json()["syncs"]] == [2, 3]


def test_outcomes_and_trace_are_limited_by_size() -> None:
    with running(*options({"trace-bytes-max": 1_000, "outcomes-bytes-max": 1_500})) as server:
        for number in (1, 2):
            body = {"event": "e", "actor": "A", "mates": 0, "id": str(number), "payload": "x" * 900}
            assert server.client.post("/event", json=body).json()["sync"] == number
        assert [sync["sync"] for sync in server.client.get("/trace").json()["syncs"]] == [2]
        assert server.client.post("/event", json={**body, "id": "1"}).json()["sync"] == 3


def test_the_payloads_of_one_sync_are_limited() -> None:
    with running(*options({"sync-payload-bytes-max": 262_144})) as server:
        large = {"event": "e", "actor": "A", "payload": "x" * 100_000}
        refused = server.client.post("/event", json=large | {"mates": 2})
        assert (refused.status_code, refused.json()["parameter"]) == (413, "payload")
        with curls(f"{server.url}/event?event=e&actor=B&mates=2", f"{server.url}/event?event=e&actor=C&mates=2"):
            server.until_pending(2)
            alone = server.client.post("/event", json=large | {"timeout": 0})
            assert alone.status_code == 410, "with both others its payload would be in a sync of three"
            pair = server.client.get("/event?event=e&actor=D&mates=1&timeout=0")
            assert pair.status_code == 200, "a small payload is in it"


def test_a_client_that_causes_too_much_work_is_refused_for_a_while() -> None:
    with running(*options({"client-steps-max": 1_000, "client-steps-per-s": 100})) as server:
        other = httpx.HTTPTransport(local_address="127.0.0.2")
        refused = [server.client.get("/event?event=e&actor=!").status_code for _ in range(25)]
        assert set(refused) == {400, 429}
        assert refused == sorted(refused)
        response = server.client.get("/event?event=e&actor=A&mates=0")
        assert response.status_code == 429
        assert response.json()["type"] == "urn:syncnet:problem:rate-limited"
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["ratelimit-policy"] == '"steps";q=1000;w=10'
        with httpx.Client(base_url=server.url, transport=other) as client:
            assert client.get("/event?event=e&actor=A&mates=0").status_code == 200
        assert server.client.get("/healthz").status_code == 200


def test_large_bodies_on_their_way_are_limited() -> None:
    with running(*options({"bodies-bytes-max": 40_000})) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
            slow.sendall(b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\n{")

            def refused() -> bool:
                response = server.client.post(
                    "/event", json={"event": "e", "actor": "A", "mates": 0, "payload": "x" * 30_000}
                )
                return response.status_code == 503 and "urn:syncnet:problem:busy" in response.text

            until(refused, lambda: "the body that does not come was not counted")
            small = server.client.post("/event", json={"event": "e", "actor": "A", "mates": 0})
            assert small.status_code == 200
        large = {"event": "e", "actor": "A", "mates": 0, "payload": "x" * 30_000}
        until(lambda: server.client.post("/event", json=large).status_code == 200, lambda: "it was not released")


@pytest.mark.parametrize("option", [("--outcome-ttl", "500ms"), ("--limit", "outcome-ttl-s=1")])
def test_an_outcome_is_forgotten_after_its_time(option: tuple[str, str]) -> None:
    with running("--log-format", "none", *option) as server:
        path = "/event?event=e&actor=A&mates=0&id=1"
        assert server.client.get(path).json()["sync"] == 1
        until(lambda: server.client.get(path).json()["sync"] == 2, lambda: "the outcome was never forgotten")


def raw(server: Server, sent: bytes) -> bytes:
    """Send bytes; return all bytes that arrive until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        return connection.makefile("rb").read()


def test_slow_bodies_heads_and_idle_connections_are_ended() -> None:
    """A pending offer is not affected by these limits."""
    with (
        running(*options({"body-read-s-max": 1, "head-read-s-max": 1})) as server,
        curls(f"{server.url}/event?event=coin&actor=VM") as (curl,),
    ):
        server.until_pending(1)
        slow = raw(server, b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nevent=")
        assert slow.startswith(b"HTTP/1.1 408 ")
        assert b"urn:syncnet:problem:slow-body" in slow
        assert raw(server, b"GET /event?ev") == b""
        assert raw(server, b"") == b""
        idle = raw(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.startswith(b"HTTP/1.1 200 "), "closed because no further request came"
        assert httpx.get(f"{server.url}/event?event=coin&actor=CUST").status_code == 200
        assert curl.communicate()[0]


@pytest.mark.parametrize(
    "headers",
    [b"A: " + b"a" * 300_000 + b"\r\n", b"A: a\r\n" * 200],
    ids=["bytes", "number"],
)
def test_too_large_heads_get_431(headers: bytes) -> None:
    with running(*options({"head-bytes-max": 8_192})) as server:
        response = raw(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")
        assert response.startswith(b"HTTP/1.1 431 ")


def test_a_connection_is_closed_after_its_last_request() -> None:
    with running(*options({"requests-per-connection-max": 3})) as server:
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        responses = raw(server, request * 3)
        assert responses.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert responses.count(b"\r\nconnection: close\r\n") == 1
        with httpx.Client(base_url=server.url) as client:
            assert [client.get("/healthz").status_code for _ in range(10)] == [200] * 10


def test_too_many_readers_are_refused() -> None:
    with running(*options({"readers-max": 2})) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(Reader(server.port, SSE)).next()
        refused = server.client.get("/trace", headers=SSE)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:syncnet:problem:busy")
        assert refused.headers["retry-after"] == "1"
        stack.close()
        until(lambda: can_read(server), lambda: "the readers that disconnected are still counted")


def can_read(server: Server) -> bool:
    with Reader(server.port, SSE) as reader:
        return reader.status == 200


def test_every_limit_is_tested_in_this_file() -> None:
    text = Path(__file__).read_text()
    names = {field.name.replace("_", "-") for field in fields(Limits)}
    other_options = {"trace-syncs-max": "--trace-keep"}
    assert {name for name in names - IN_CORE_ONLY if f'"{other_options.get(name, name)}' not in text} == set()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"/event HTTP/1.1\r\nContent-Length: 9999999", b"413"),
        (b"/event HTTP/1.1\r\nTransfer-Encoding: chunked", b"411"),
        (b"/nowhere HTTP/1.1\r\nContent-Length: 9", b"404"),
        (b"/healthz HTTP/1.1\r\nContent-Length: 9", b"405"),
    ],
)
def test_a_response_before_the_body_closes_the_connection(small: Server, sent: bytes, status: bytes) -> None:
    """Otherwise a client would send its next request on a connection that is being closed."""
    response = raw(small, b"POST " + sent + b"\r\nHost: localhost\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nconnection: close\r\n" in response


def test_request_counts_are_limited_and_keep_a_busy_connection() -> None:
    counts = RequestCounts(1_000)
    last = []
    for number in range(1_000):
        last.append(counts.is_last("busy"))
        for other in range(99):
            assert not counts.is_last(f"once-{number}-{other}")
    assert last == [False] * 999 + [True]
    assert len(counts) < 10_000
