"""The short way: the same requests go both ways, and nobody can tell which."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syncnet.core.terms import Seen, in_full

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.effects import Pending, Synced
from syncnet.core.limits import LIMITS
from syncnet.core.validation import make_abort
from syncnet.server.access import Access
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tokens import Tokens, new_token, parse_tokens
from syncnet.view.graph_log import GraphLog
from tests.core.offers import offer

USUAL = {"host": "localhost:8000", "user-agent": "curl/8.5.0", "accept": "*/*"}

Answer = tuple[int, list[tuple[str, str]], bytes]


class Headers:
    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def keys(self) -> list[str]:
        return list(self._headers)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._headers.get(name, default)


class Exchange:
    """A request as granian brings it, scope and protocol in one, and the answers that it was given."""

    scheme, client, server = "http", "127.0.0.1:50000", "127.0.0.1:8000"

    def __init__(self, query: str, headers: dict[str, str] = USUAL, method: str = "GET", path: str = "/event") -> None:
        self.query_string, self.method, self.path = query, method, path
        self.headers = Headers(headers)
        self.answers: list[Answer] = []

    async def __call__(self) -> bytes:
        return b"event=coin&actor=VM"

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, headers, body))


class Server:
    """An application without granian; where `is_short` is not set everything goes the long way."""

    def __init__(self, *, is_short: bool = True, access: Access | None = None) -> None:
        self.seen: list[Seen] = []
        self.hub = Coordinator(observers=[self.seen.append])
        self.loop = asyncio.new_event_loop()
        self.app = RSGIApp(self.hub, access or Access(hosts=()), LIMITS, self.loop)
        self.taken_short = 0
        short = self.app._short_way.take

        def take(scope: Any, protocol: Any) -> bool:
            is_taken = is_short and short(scope, protocol)
            self.taken_short += is_taken
            return is_taken

        self.app._short_way.take = take  # type: ignore[method-assign]
        self.ask("event=warm&actor=A", "event=warm&actor=B")  # the host is looked at once, and the namespace known

    def ask(self, *queries: str, **more: Any) -> list[Exchange]:
        exchanges = [Exchange(query, **more) for query in queries]
        for exchange in exchanges:
            self.app.take(exchange, exchange)
        return exchanges

    def log(self) -> list[str]:
        lanes = GraphLog()
        return [line for seen in self.seen for line in lanes.lines(seen)]

    def close(self) -> None:
        self.hub.close()
        self.loop.run_until_complete(self.run_out())
        self.loop.close()

    async def run_out(self) -> None:
        """Let what was given to the loop come to its end."""
        await asyncio.sleep(0)
        while tasks := [*self.app._waiters._tasks]:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.taken_short = 0
    yield server
    server.close()


def without_ids(exchanges: list[Exchange]) -> list[list[tuple[int, list[tuple[str, str]], str]]]:
    """The answers, with every id that the server made replaced by the place at which it came first."""
    places: dict[str, str] = {}

    def place(id: str) -> str:
        return places.setdefault(id, f"id-{len(places)}")

    def plain(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
        status, headers, body = answer
        text = body.decode()
        for member in json.loads(body).get("members", ()):
            text = text.replace(member["id"], place(member["id"]))
        return status, [(name, place(value) if name == "syncnet-id" else value) for name, value in headers], text

    return [[plain(answer) for answer in exchange.answers] for exchange in exchanges]


def some_tokens() -> Tokens:
    return parse_tokens(new_token("x", ["*"], ["sync"])[1].encode())


MORE = [
    "",
    "",
    "",
    "",
    "",
    "",
    "&mates=1",
    "&mates=2",
    "&mates=0",
    "&selector=",
    "&labels=k=v",
    "&mates=x",
    "&payload=1",
]
QUERIES = st.builds(
    "event={}&actor={}{}".format, st.sampled_from(["a", "b", 'c"\\']), st.sampled_from("ABC"), st.sampled_from(MORE)
)
HEADERS = st.sampled_from([USUAL, USUAL, USUAL, {"host": "localhost"}, {"host": "evil.example"}, USUAL | {"x-y": "z"}])
ABORT = "abort"
LOOK = "look"


@given(st.lists(st.one_of(st.tuples(QUERIES, HEADERS), st.sampled_from([ABORT, LOOK])), max_size=30))
def test_both_ways_give_the_same_answers_the_same_log_and_the_same_trace(steps: list[Any]) -> None:
    """G1, G2, G4, G5, G7."""

    def outcome(*, is_short: bool) -> object:
        server, exchanges = Server(is_short=is_short), []
        for step in steps:
            if step == ABORT:
                server.hub.abort(make_abort(at_ns=1, by="ops", reason="because", event="a"), lambda _: None)
            elif step == LOOK:
                assert server.hub.machine.totals("default")
            else:
                exchanges += server.ask(step[0], headers=step[1])
        machine = server.hub.machine
        trace = [
            (sync.sync, sync.event, [member.actor for member in sync.members])
            for sync in machine.trace("default", 0, 99)
        ]
        pending = [(each.events, each.actor, each.mates) for each in machine.pending("default")]
        log = server.log()
        server.close()
        return without_ids(exchanges), trace, pending, log

    assert outcome(is_short=True) == outcome(is_short=False)


def test_a_plain_pair_goes_the_short_way(server: Server) -> None:
    first, second = server.ask("event=coin&actor=VM", "actor=CUST&event=coin")
    assert server.taken_short == 2
    ((status, headers, body),) = first.answers
    assert (status, dict(headers)["syncnet-rank"]) == (200, "0")
    ((status, headers, other_body),) = second.answers
    assert (status, dict(headers)["syncnet-rank"]) == (200, "1")
    assert body == other_body
    assert [member["id"] for member in json.loads(body)["members"]][1] == dict(headers)["syncnet-id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {},
        USUAL | {"origin": "http://evil.example"},
        USUAL | {"sec-fetch-site": "cross-site"},
        USUAL | {"authorization": "Bearer x"},
        USUAL | {"content-length": "1"},
        USUAL | {"transfer-encoding": "chunked"},
        USUAL | {"expect": "100-continue"},
        USUAL | {"accept": "application/yaml"},
    ],
)
def test_what_must_be_decided_goes_the_long_way(server: Server, headers: dict[str, str]) -> None:
    server.ask("event=coin&actor=VM", headers=headers)
    assert server.taken_short == 0


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/event"), ("DELETE", "/event"), ("GET", "/"), ("HEAD", "/event")]
)
def test_what_is_no_offer_by_get_goes_the_long_way(server: Server, method: str, path: str) -> None:
    server.ask("event=coin&actor=VM", method=method, path=path)
    assert server.taken_short == 0


@pytest.mark.parametrize(
    "access", [lambda: Access(some_tokens(), hosts=()), lambda: Access(origins=["https://a.example"], hosts=())]
)
def test_rules_that_need_a_look_are_kept(access: Callable[[], Access]) -> None:
    server = Server(access=access())
    assert server.taken_short == 0
    server.close()


def test_a_new_token_file_is_asked_from_the_next_request_on(server: Server) -> None:
    (waiting,) = server.ask("event=coin&actor=VM")
    server.app._handler._access.tokens = some_tokens()
    (refused,) = server.ask("event=coin&actor=CUST")
    assert ([status for status, _, _ in refused.answers], waiting.answers) == ([401], [])


def test_who_rests_is_sent_away_at_the_end(server: Server) -> None:
    (waiting,) = server.ask("event=coin&actor=VM")
    assert server.hub.shut_down() == 1
    (late,) = server.ask("event=coin&actor=CUST")
    assert [exchange.answers[0][0] for exchange in (waiting, late)] == [503, 503]


def test_who_rests_leaves_as_any_other(server: Server) -> None:
    """G6."""
    (gone,) = server.ask("event=coin&actor=VM")
    (resting,) = server.app._short_way._lane._resting.values()
    resting.leave()
    (stays,) = server.ask("event=coin&actor=CUST")
    assert not stays.answers
    assert server.log()[-3:] == ["┴  VM:coin disconnected", "", "┌─ CUST:coin"]
    assert len(gone.answers) == 1  # which nobody reads


def test_what_is_seen_in_brief_stands_for_the_effects(server: Server) -> None:
    server.seen.clear()
    server.ask("event=coin&actor=VM", "event=coin&actor=CUST")
    effects = [effect for seen in server.seen for effect in in_full(seen)]
    assert [type(effect) for effect in effects] == [Pending, Pending, Synced]
    (first, second, synced) = effects
    assert isinstance(first, Pending)
    assert isinstance(second, Pending)
    assert isinstance(synced, Synced)
    assert synced.members == (first.offer, second.offer)
    assert (synced.event, synced.sync) == ("coin", 2)


def test_the_lane_is_for_one_alone() -> None:
    hub = Coordinator()
    assert hub.take_lane() is not None
    assert hub.take_lane() is None
    told: list[object] = []
    for actor in "AB":
        hub.offer(offer(actor), told.append)
    assert len(told) == 2
