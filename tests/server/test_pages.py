"""G8: `/stats` and `/trace` answer in pages of bounded size, and every item is on one of them."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from syncnet.core.limits import LIMITS, PAGE_BYTES_MAX
from tests.server.fakes import Exchange, Server

NEXT = re.compile(r'<\?(?P<query>[^>]*)>; rel="next"')


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server(limits=replace(LIMITS, client_steps_max=1_000_000_000))) as server:
        yield server


def page(server: Server, path: str, query: str) -> tuple[Any, str | None]:
    """The document of a page, and the query of the next one."""
    exchange = server.take(Exchange(query, path=path))
    server.until(lambda: exchange.answers)
    ((status, headers, body),) = exchange.answers
    assert status == 200, body
    link = dict(headers).get("link")
    if link is None:
        return json.loads(body), None
    match = NEXT.fullmatch(link)
    assert match is not None, link
    return json.loads(body), match["query"]


def pages(server: Server, path: str, query: str) -> list[Any]:
    found = []
    after: str | None = query
    while after is not None:
        document, after = page(server, path, after)
        found.append(document)
    return found


def ids(stats: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    return [id for actors in stats.values() for by_id in actors.values() for id in by_id]


def test_stats_come_in_pages_by_arrival(server: Server) -> None:
    server.ask(*[f"event=solo{number}&actor=A&id={number}" for number in range(7)])
    server.ask("event=solo0&actor=B&id=other&namespace=other")
    found = pages(server, "/stats", "limit=3")
    assert [ids(each) for each in found] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert [ids(each) for each in pages(server, "/stats", "limit=7")] == [[str(number) for number in range(7)]]
    assert [ids(each) for each in pages(server, "/stats", "namespace=other&limit=1")] == [["other"]]
    assert pages(server, "/stats", "namespace=none") == [{}]


def test_an_offer_that_ends_between_two_pages_hides_no_other(server: Server) -> None:
    server.ask(*[f"event=solo{number}&actor=A&id={number}" for number in range(4)])
    _, after = page(server, "/stats", "limit=2")
    server.ask("event=solo1&actor=B")
    assert after is not None
    assert ids(page(server, "/stats", after)[0]) == ["2", "3"]


def test_a_choice_is_listed_once_under_its_first_event(server: Server) -> None:
    server.ask("event=tea&event=coffee&actor=A&id=a")
    (stats,) = pages(server, "/stats", "")
    assert list(stats) == ["tea"]
    assert stats["tea"]["A"]["a"]["params"]["event"] == ["tea", "coffee"]


def test_a_page_of_large_offers_has_few(server: Server) -> None:
    events = "&".join(f"event={number:02}{'e' * 30}" for number in range(60))
    selector = "k!=" + "v" * 60 + "".join(f",k{number}!={'v' * 60}" for number in range(50))
    for number in range(400):
        server.ask(f"{events}&actor=A&id={number}&selector={selector}&mates=999")
    found = pages(server, "/stats", "")
    assert sorted((id for each in found for id in ids(each)), key=int) == [str(number) for number in range(400)]
    assert len(found) > 2
    assert all(len(json.dumps(each)) < PAGE_BYTES_MAX for each in found)


def test_the_trace_comes_in_pages_by_number(server: Server) -> None:
    for number in range(5):
        server.ask(f"event=e{number}&actor=A", f"event=e{number}&actor=B")
        server.ask(f"event=e{number}&actor=A&mates=0&namespace=other")
    found = pages(server, "/trace", "limit=2")
    assert [[sync["sync"] for sync in each["syncs"]] for each in found] == [[1, 2], [3, 4], [5]]
    assert [len(each["syncs"]) for each in pages(server, "/trace", "namespace=other&after=3")] == [2]


def test_a_page_of_large_syncs_has_few(server: Server) -> None:
    labels = "".join(f",k{number}={'v' * 60}" for number in range(60))
    for number in range(300):
        server.ask(*[f"event=e&actor={actor}{number}&labels=x=y{labels}&mates=2" for actor in "ABC"])
    found = pages(server, "/trace", "")
    assert [sync["sync"] for each in found for sync in each["syncs"]] == list(range(1, 301))
    assert len(found) > 2
    assert all(len(json.dumps(each)) < PAGE_BYTES_MAX for each in found)
