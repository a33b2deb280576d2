"""`/explain` and `/namespaces`: what they say, to whom, and in which form."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.server.access import Access
from syncnet.server.tokens import new_token, parse_tokens
from tests.server.fakes import USUAL, Exchange, Server
from tests.server.test_pages import page, pages


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


def text(server: Server, query: str, accept: str = "*/*") -> tuple[int, str, str]:
    """The status, the media type and the body of an answer of `/explain`."""
    exchange = server.take(Exchange(query, headers={**USUAL, "accept": accept}, path="/explain"))
    server.until(lambda: exchange.answers)
    ((status, headers, body),) = exchange.answers
    return status, dict(headers)["content-type"].partition(";")[0], body.decode()


def seconds_left_out(text: str) -> str:
    return " ".join("S" if word.replace(".", "").isdigit() and after == "s" else word for word, after in _pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    words = text.split(" ")
    yield from zip(words, [each.rstrip(":\n").split("\n")[0].rstrip(":") for each in words[1:]] + [""], strict=True)


def test_it_says_who_is_here_who_gave_up_and_who_never_came(server: Server) -> None:
    server.ask("event=start&actor=app&expect=db,tests,worker&namespace=n")
    server.ask("event=start&actor=db&expect=app,tests,worker&id=db-1&namespace=n")
    server.ask("event=start&actor=tests&expect=app,db,worker&id=t&namespace=n")
    gone = server.take(Exchange("id=t&namespace=n", method="DELETE"))
    server.until(lambda: gone.answers)
    ((document, _),) = [page(server, "/explain", "namespace=n&actor=db")]
    (explained,) = document["offers"]
    assert (explained["id"], explained["actor"], explained["events"]) == ("db-1", "db", ["start"])
    assert (explained["present"], explained["never_came"]) == (["app"], ["worker"])
    assert [(each["actor"], each["how"]) for each in explained["gave_up"]] == [("tests", "withdrawn")]
    assert (explained["mates"], explained["missing"], explained["missing_actors"]) == (3, 2, ["tests", "worker"])
    assert [(each["actor"], each["fits"]) for each in explained["others"]] == [("app", True)]
    summary = seconds_left_out(text(server, "namespace=n&actor=db&output=text")[2])
    assert summary == (
        "db waits for 3 others on start since S s: app is here; worker never came; tests gave up S s ago (withdrawn)\n"
    )


def test_the_text_has_the_reasons_below(server: Server) -> None:
    server.ask("event=coin&actor=VM&selector=tier=gold", "event=coin&actor=CUST", "event=Coin&actor=X&mates=3")
    lines = seconds_left_out(text(server, "", accept="text/plain")[2]).splitlines()
    assert lines == [
        "VM waits for 1 other on coin since S s: nobody is here; 1 more is needed",
        "  VM wants tier=gold, and CUST has no tier",
        "CUST waits for 1 other on coin since S s: nobody is here; 1 more is needed",
        "  VM wants tier=gold, and CUST has no tier",
        "X waits for 3 others on Coin since S s: nobody is here; 3 more are needed",
        "  coin has 2 waiting; did you mean that?",
    ]


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("*/*", "", "application/json"),
        ("application/json", "", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", "text/plain"),
        ("text/plain", "", "text/plain"),
        ("text/plain", "output=json", "application/json"),
        ("application/json, text/plain, */*", "", "application/json"),
        ("application/json;q=0.5, text/plain", "", "text/plain"),
        ("text/plain, */*", "", "text/plain"),
        ("*/*", "output=text", "text/plain"),
    ],
)
def test_the_form_depends_on_output_and_accept(server: Server, accept: str, query: str, media_type: str) -> None:
    assert text(server, query, accept)[:2] == (200, media_type)


def test_an_event_for_which_nothing_waits_has_its_near_misses(server: Server) -> None:
    server.ask("event=choc&actor=VM", "event=choc&actor=VM&id=2", "event=shok&actor=X&namespace=ci-2")
    document, _ = page(server, "/explain", "event=Choc")
    assert document["offers"] == []
    assert document["near_events"] == [{"event": "choc", "waiting": 2}]
    assert text(server, "event=Choc&output=text")[2] == (
        "no such offer is pending in the namespace default\nchoc has 2 waiting; did you mean that?\n"
    )
    document, _ = page(server, "/explain", "event=shok")
    assert document["other_namespaces"] == [{"namespace": "ci-2", "event": "shok", "waiting": 1}]


def test_actors_that_wait_for_each_other_are_named(server: Server) -> None:
    server.ask("event=coin&actor=VM&expect=CUST", "event=choc&actor=CUST&selector=actor=VM", "event=tea&actor=X")
    document, _ = page(server, "/explain", "")
    (circle,) = document["circles"]
    assert circle == {
        "is_certain": True,
        "summary": "stuck together: VM waits for CUST on coin, CUST waits for VM on choc",
        "waits": [
            {"actor": "VM", "other": "CUST", "events": ["coin"]},
            {"actor": "CUST", "other": "VM", "events": ["choc"]},
        ],
    }
    assert text(server, "output=text")[2].splitlines()[-1] == circle["summary"]
    assert page(server, "/explain", "actor=X")[0]["circles"] == []


def test_an_id_that_is_not_pending_is_not_found(server: Server) -> None:
    status, _, body = text(server, "id=none")
    assert (status, json.loads(body)["type"]) == (404, "urn:syncnet:problem:unknown-id")


@pytest.mark.parametrize("query", ["event=a&event=b", "output=yaml", "limit=0", "payload=1"])
def test_a_wrong_parameter_is_refused(server: Server, query: str) -> None:
    assert text(server, query)[0] == 400


def test_explanations_come_in_pages(server: Server) -> None:
    server.ask(*[f"event=solo{number}&actor=A&id={number}" for number in range(5)])
    found = pages(server, "/explain", "limit=2&actor=A")
    assert [[each["id"] for each in document["offers"]] for document in found] == [["0", "1"], ["2", "3"], ["4"]]


def test_a_page_ends_where_its_steps_are_used_up(server: Server) -> None:
    """G8: sixty offers that do not fit each other are explained on several pages."""
    server.ask(*[f"event=e&actor=A{number}&selector=actor=NOBODY" for number in range(60)])
    found = pages(server, "/explain", "")
    assert len(found) > 1
    assert [each["actor"] for document in found for each in document["offers"]] == [f"A{n}" for n in range(60)]


def test_a_client_is_charged_for_explanations(server: Server) -> None:
    server.ask(*[f"event=e&actor=A{number}&selector=actor=NOBODY" for number in range(100)])
    statuses = []
    for _ in range(20):
        exchange = server.take(Exchange("", path="/explain"))
        server.until(lambda exchange=exchange: exchange.answers)  # type: ignore[misc]
        statuses += exchange.statuses
    assert statuses[0] == 200
    assert 429 in statuses


class Guarded(NamedTuple):
    server: Server
    secret: str

    def asked(self, path: str, query: str = "") -> Any:
        headers = {**USUAL, "authorization": f"Bearer {self.secret}"}
        exchange = self.server.take(Exchange(query, headers=headers, path=path))
        self.server.until(lambda: exchange.answers)
        return json.loads(exchange.answers[0][2])


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    """A server where offers are pending in two namespaces, of which a token may see one."""
    coordinator = Coordinator()
    secret, entry = new_token("one", ["n1"], ["observe"])
    with closing(Server(coordinator)) as open_server:
        open_server.ask("event=coin&actor=A&namespace=n2", "event=tea&actor=A&namespace=n1")
        with closing(Server(coordinator, Access(parse_tokens(entry.encode()), hosts=()))) as server:
            yield Guarded(server, secret)


def test_only_namespaces_that_the_caller_may_see_are_named(guarded: Guarded) -> None:
    assert guarded.asked("/namespaces") == {"namespaces": [{"namespace": "n1", "pending": 1, "syncs": 0}]}
    assert guarded.asked("/explain", "namespace=n1&event=coin")["other_namespaces"] == []
    assert guarded.asked("/explain", "namespace=n2")["status"] == 403


def test_namespaces_come_in_pages_with_their_counts(server: Server) -> None:
    server.ask("event=e&actor=A", "event=e&actor=B", "event=e&actor=A&namespace=n1", "event=e&actor=A&namespace=n2")
    found = [each for document in pages(server, "/namespaces", "limit=2") for each in document["namespaces"]]
    assert found == [
        {"namespace": "default", "pending": 0, "syncs": 1},
        {"namespace": "n1", "pending": 1, "syncs": 0},
        {"namespace": "n2", "pending": 1, "syncs": 0},
    ]
