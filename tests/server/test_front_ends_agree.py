"""RSGI and ASGI answer the same requests with the same status, headers and body, and leave the same state behind."""

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.effects import Effect
from syncnet.core.limits import LIMITS
from syncnet.server.access import Access
from syncnet.server.asgi import ASGIApp
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tokens import load_tokens, new_token
from syncnet.view.graph_log import GraphLog
from tests.server.fakes import PATIENCE_S, USUAL, Answer, Exchange

TURNS = 20  # of the loop; an offer whose mates are not there has been made by then
ORIGIN = "https://there.example"
OF_THE_PROTOCOL = {"content-length", "connection"}


class Sent(NamedTuple):
    """A request."""

    query: str = ""
    headers: dict[str, str] = USUAL
    method: str = "GET"
    path: str = "/event"
    body: bytes = b""

    def may_wait(self) -> bool:
        return self.path == "/event" and self.method in ("GET", "POST")


class Reply:
    """A request over ASGI, and its answer."""

    def __init__(self, app: ASGIApp, sent: Sent) -> None:
        self.answers: list[Answer] = []
        headers = sent.headers | ({"content-length": str(len(sent.body))} if sent.body else {})
        self._scope = {
            "type": "http",
            "scheme": "http",
            "method": sent.method,
            "path": sent.path,
            "query_string": sent.query.encode(errors="surrogateescape"),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self._body: list[bytes] = [sent.body]
        self._head: tuple[int, list[tuple[str, str]]] = (0, [])
        self.task = asyncio.ensure_future(app(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        forever: dict[str, Any] = await asyncio.get_running_loop().create_future()
        return forever

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
            self._head = message["status"], headers
        else:
            status, headers = self._head
            length = len(message["body"])
            assert self._scope["method"] == "HEAD" or status == 204 or ("content-length", str(length)) in headers
            self.answers.append((status, headers, message["body"]))


class Shared:
    """A coordinator whose ids and clock give the same each time, and what its observer has seen."""

    def __init__(self) -> None:
        numbers = itertools.count()
        times = itertools.count(1_790_000_000_000_000_000, 1_000)
        self.seen: list[Effect] = []
        self.coordinator = Coordinator(
            observers=[self.seen.append],
            time_ns=lambda: next(times),
            new_ids=lambda: [f"{next(numbers):016x}"],
            timer_thread=False,
        )

    def state(self) -> object:
        graph = GraphLog()
        log = [line for effect in self.seen for line in graph.lines(effect)]
        return self.coordinator.snapshot(), log


def plain(answer: Answer, sent: Sent) -> Answer:
    status, headers, body = answer
    kept = [header for header in headers if header[0] not in OF_THE_PROTOCOL]
    return status, kept, b"" if sent.method == "HEAD" else body  # granian itself sends no body with HEAD


async def answers(
    start: Callable[[Sent], Exchange | Reply], shared: Shared, requests: list[Sent]
) -> tuple[list[list[Answer]], object]:
    """Send the requests one after the other; those that wait in the end are ended by a shutdown."""
    exchanges: list[Exchange | Reply] = []

    async def until_answered(exchange: Exchange | Reply) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not exchange.answers:
                await asyncio.sleep(0)

    for sent in requests:
        exchange = start(sent)
        exchanges.append(exchange)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not sent.may_wait():
            await until_answered(exchange)
    state = shared.state()
    shared.coordinator.shut_down()
    for exchange in exchanges:
        await until_answered(exchange)
        if isinstance(exchange, Reply):
            await exchange.task
    return [
        [plain(answer, sent) for answer in exchange.answers] for exchange, sent in zip(exchanges, requests, strict=True)
    ], state


def through_rsgi(requests: list[Sent], access: Access) -> tuple[list[list[Answer]], object]:
    async def run() -> tuple[list[list[Answer]], object]:
        shared = Shared()
        loop = asyncio.get_running_loop()
        app = RSGIApp(shared.coordinator, access, LIMITS, loop)

        def start(sent: Sent) -> Exchange:
            exchange = Exchange(*sent)
            exchange.loop = loop
            app.take(exchange, exchange)
            if exchange.reading is not None:
                exchange.come()
            return exchange

        return await answers(start, shared, requests)

    return asyncio.run(run())


def through_asgi(requests: list[Sent], **options: Any) -> tuple[list[list[Answer]], object]:
    async def run() -> tuple[list[list[Answer]], object]:
        shared = Shared()
        app = ASGIApp(shared, **options)
        return await answers(lambda sent: Reply(app, sent), shared, requests)

    return asyncio.run(run())


def agreed(requests: list[Sent]) -> list[list[Answer]]:
    """The answers of both, without tokens, to loopback names and the pages of one other origin."""
    rsgi, rsgi_state = through_rsgi(requests, Access(origins=[ORIGIN], hosts=()))
    asgi, asgi_state = through_asgi(requests, cors_origins=[ORIGIN], allow_hosts=[])
    assert rsgi == asgi
    assert rsgi_state == asgi_state
    assert all(len(each) == 1 for each in rsgi)
    return rsgi


MORE = ["", "", "", "", "&mates=1", "&mates=2", "&mates=0", "&selector=", "&selector=actor%3DA", "&labels=k=v"]
MORE += ["&payload=1", "&timeout=5s", "&id=x", "&output=yaml", "&mates=x", "&mate=1", "&payload=%FF", "&expect=A,B"]
QUERIES = st.builds(
    "event={}&actor={}{}".format, st.sampled_from(["a", "b", 'c"\\']), st.sampled_from("ABC"), st.sampled_from(MORE)
)
HEADERS = st.sampled_from(
    [
        *[USUAL] * 4,
        {"host": "localhost"},
        {},
        {"host": "evil.example"},
        USUAL | {"x-y": "z"},
        USUAL | {"accept": "application/yaml"},
        USUAL | {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        USUAL | {"origin": "https://evil.example"},
        USUAL | {"sec-fetch-site": "cross-site"},
    ]
)
BODIES = st.sampled_from(
    [
        b'{"event":"a","actor":"A"}',
        b'{"event":["a","b"],"actor":"B","payload":{"k":[1]}}',
        b'{"event":"a","actor":"A","actor":"B"}',
        b'{"event":"a"',
        b'{"event":"a","actor":"C","labels":{"k":"v"},"selector":""}',
        b"event=a&actor=A",
    ]
)
TYPES = st.sampled_from(["application/json", "application/json", "application/x-www-form-urlencoded", "text/html"])
REQUESTS = st.one_of(
    st.builds(lambda query, headers: Sent(query, headers), QUERIES, HEADERS),
    st.builds(lambda query, headers: Sent(query, headers), QUERIES, HEADERS),
    st.builds(
        lambda query, content_type, body: Sent(query, USUAL | {"content-type": content_type}, "POST", "/event", body),
        st.sampled_from(["", "", "mates=0"]),
        TYPES,
        BODIES,
    ),
    st.sampled_from(
        [
            Sent("id=x", method="DELETE"),
            Sent("event=a&reason=because", method="POST", path="/abort"),
            Sent("actor=A&reason=because&by=ops", method="POST", path="/abort"),
            Sent(path="/stats"),
            Sent(path="/trace"),
            Sent(path="/trace", method="HEAD"),
            Sent(path="/healthz"),
            Sent(path="/readyz"),
            Sent("verbose", path="/readyz"),
            Sent(path="/livez"),
            Sent(path="/openapi.json"),
            Sent(path="/"),
            Sent(path="/evnt"),
            Sent(method="PUT"),
            Sent(method="HEAD"),
            Sent(
                method="OPTIONS",
                headers=USUAL | {"origin": ORIGIN, "access-control-request-method": "POST"},
            ),
        ]
    ),
)


@given(st.lists(REQUESTS, max_size=25))
def test_both_give_the_same_answers_the_same_state_and_the_same_log(requests: list[Sent]) -> None:
    """G1, G2, G4, G5, G7."""
    agreed(requests)


def test_a_plain_pair() -> None:
    first, second = agreed([Sent("event=coin&actor=VM"), Sent("actor=CUST&event=coin")])
    ((status, headers, body),) = first
    assert (status, dict(headers)["syncnet-rank"]) == (200, "0")
    ((status, other_headers, other_body),) = second
    assert (status, dict(other_headers)["syncnet-rank"]) == (200, "1")
    assert body == other_body
    ids = [member["id"] for member in json.loads(body)["members"]]
    assert ids == [dict(headers)["syncnet-id"], dict(other_headers)["syncnet-id"]]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({}, 400),
        (USUAL | {"origin": "http://evil.example"}, 403),
        (USUAL | {"origin": ORIGIN}, 200),
        (USUAL | {"sec-fetch-site": "cross-site"}, 403),
        (USUAL | {"authorization": "Bearer x"}, 200),
        (USUAL | {"content-length": "1"}, 400),
        (USUAL | {"content-length": "0"}, 200),
        (USUAL | {"transfer-encoding": "chunked"}, 400),
        (USUAL | {"expect": "100-continue"}, 400),
        (USUAL | {"accept": "application/yaml"}, 200),
    ],
)
def test_a_header_that_is_looked_at_decides(headers: dict[str, str], status: int) -> None:
    (((got, answer_headers, body),),) = agreed([Sent("event=coin&actor=VM&mates=0", headers)])
    assert got == status, body
    if "accept" in headers and headers["accept"] != "*/*":
        assert dict(answer_headers)["content-type"] == "application/yaml"


def test_what_is_waiting_at_the_shutdown_is_answered() -> None:
    (((status, headers, _),),) = agreed([Sent("event=coin&actor=VM")])
    assert status == 503
    assert dict(headers)["retry-after"] == "1"


def test_tokens_are_checked_alike(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    secret, entry = new_token("ci", ["default"], ["sync"])
    file.write_text(entry)
    requests = [
        Sent("event=coin&actor=VM&mates=0", USUAL | {"authorization": authorization}, method, path)
        for authorization in ("", "Bearer wrong", "Basic x", f"Bearer {secret}")
        for method, path in (("GET", "/event"), ("GET", "/stats"), ("GET", "/healthz"), ("POST", "/abort"))
    ]
    requests.append(Sent("event=coin&actor=VM&namespace=ci", USUAL | {"authorization": f"Bearer {secret}"}))
    rsgi = through_rsgi(requests, Access(load_tokens(file), hosts=()))
    assert rsgi == through_asgi(requests, allow_hosts=[], token_file=file)
    statuses = [status for each in rsgi[0] for status, _, _ in each]
    assert statuses == 3 * [401, 401, 200, 401] + [200, 403, 200, 403, 403]
