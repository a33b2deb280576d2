"""G8: a client that uses up its share of work is refused until it has a share again; others are not."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from syncnet.core.limits import CHARGED_STEPS_MIN, LIMITS
from syncnet.server.access import Access
from syncnet.server.shares import REFUSAL_STEPS, Shares
from syncnet.server.tokens import new_token, parse_tokens
from tests.server.fakes import Exchange, Server

FEW = replace(LIMITS, client_steps_max=1_000, client_steps_per_s=100)
REFUSED = "event=e&actor=!"
ELSEWHERE = "127.0.0.9:50000"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bucket_is_emptied_by_charges_and_refills_with_time() -> None:
    clock = Clock()
    shares = Shares(FEW, clock)
    shares.charge("a", 999)
    assert (shares.wait_s("a"), shares.debtors) == (0, set())
    shares.charge("a", 100)
    assert shares.debtors == {"a"}
    assert shares.wait_s("a") == pytest.approx(1.0)
    assert shares.wait_s("b") == 0
    clock.now_s = 0.5
    assert shares.wait_s("a") == pytest.approx(0.5)
    clock.now_s = 1.01
    assert (shares.wait_s("a"), shares.debtors) == (0, set())


def test_a_bucket_holds_no_more_than_its_size() -> None:
    clock = Clock()
    shares = Shares(FEW, clock)
    shares.charge("a", 10)
    clock.now_s = 1e6
    shares.charge("a", 1_001)
    assert shares.wait_s("a") == pytest.approx(0.02)


def test_a_debt_is_paid_in_the_time_of_one_bucket() -> None:
    shares = Shares(FEW, Clock())
    for _ in range(100):
        shares.charge("a", 10**9)
    assert shares.wait_s("a") == pytest.approx(10.01)


def test_the_clients_that_are_remembered_are_bounded() -> None:
    shares = Shares(FEW, Clock())
    for number in range(10_100):
        shares.charge(str(number), 2_000)
    assert len(shares.debtors) == 10_000
    assert (shares.wait_s("0"), shares.wait_s("10099") > 0) == (0, True)


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server(limits=FEW)) as server:
        yield server


def in_debt(server: Server, **how: Any) -> None:
    """Send refused requests until the share is used up."""
    for _ in range(2 * FEW.client_steps_max // REFUSAL_STEPS):
        (exchange,) = server.ask(REFUSED, **how)
        assert exchange.statuses in ([400], [])


def test_g8_a_client_that_only_sends_refused_requests_is_refused_later_and_others_are_served(server: Server) -> None:
    in_debt(server)
    (refused,) = server.ask("event=coin&actor=VM")
    assert refused.answers == [], "it is held for a moment, so that a client that asks in a loop becomes slow"
    served = server.ask("event=coin&actor=VM", "event=coin&actor=CUST", client=ELSEWHERE)
    assert [exchange.statuses for exchange in served] == [[200], [200]]
    server.until(lambda: refused.answers)
    ((status, headers, body),) = refused.answers
    assert status == 429
    assert b"problem:rate-limited" in body
    names = dict(headers)
    assert names["ratelimit-policy"] == '"steps";q=1000;w=10'
    assert names["ratelimit"] == f'"steps";r=0;t={names["retry-after"]}'
    assert [int(value) > 0 for name, value in headers if name == "retry-after"] == [True]
    assert server.coordinator.machine.pending_total == 0


def test_g8_a_client_is_its_token_where_it_has_one() -> None:
    secrets, entries = zip(*[new_token(name, ["*"], ["admin"]) for name in ("one", "two")], strict=True)
    access = Access(parse_tokens("\n".join(entries).encode()), hosts=())
    with closing(Server(access=access, limits=FEW)) as server:
        one, two = ({"host": "localhost", "authorization": f"Bearer {secret}"} for secret in secrets)
        in_debt(server, headers=one)
        (refused,) = server.ask("event=solo&actor=A&mates=0", headers=one, client=ELSEWHERE)
        (served,) = server.ask("event=solo&actor=A&mates=0", headers=two)
        server.until(lambda: refused.answers)
        assert (refused.statuses, served.statuses) == ([429], [200])


def test_probes_are_answered_whoever_asks(server: Server) -> None:
    in_debt(server)
    probes = [server.take(Exchange("", path=path)) for path in ("/healthz", "/livez", "/readyz")]
    assert [probe.statuses for probe in probes] == [[200], [200], [200]]


def test_ordinary_requests_cost_nothing(server: Server) -> None:
    for number in range(2_000):
        server.ask(f"event=e{number}&actor=A&timeout=60s", f"event=e{number}&actor=B&labels=x=y&selector=actor!=C")
    assert server.app.handler.shares.debtors == set()
    assert server.app.handler.shares.wait_s("127.0.0.1") == 0
    assert not server.app.handler.shares._levels


def test_g8_large_reports_are_charged(server: Server) -> None:
    server.ask(*[f"event=e{number}&actor=A" for number in range(CHARGED_STEPS_MIN)])
    while not server.app.handler.shares.debtors:
        report = server.take(Exchange("", path="/stats"))
        server.until(lambda report=report: report.answers)  # type: ignore[misc]
        assert report.statuses == [200]
    (refused,) = server.ask("event=e&actor=B")
    server.until(lambda: refused.answers)
    assert refused.statuses == [429]


def in_many_namespaces(server: Server) -> None:
    server.ask(*[f"event=e&actor=A&namespace=n{number}" for number in range(8 * CHARGED_STEPS_MIN)])


def under_many_events(server: Server) -> None:
    for number in range(CHARGED_STEPS_MIN // 16):
        server.ask("&".join([f"event=e{number}-{each}" for each in range(64)]) + "&actor=A")


def in_one_namespace(server: Server) -> None:
    server.ask(*["event=e&actor=A" for _ in range(20 * CHARGED_STEPS_MIN)])


@pytest.mark.parametrize(
    ("offers", "path", "query", "method"),
    [
        (in_many_namespaces, "/explain", "event=other", "GET"),
        (under_many_events, "/explain", "id=unknown", "GET"),
        (in_one_namespace, "/abort", "actor=B&reason=test", "POST"),
    ],
)
def test_g8_what_looks_at_all_offers_or_namespaces_is_charged(
    server: Server, offers: Callable[[Server], None], path: str, query: str, method: str
) -> None:
    offers(server)
    server.app.handler.shares._levels.clear()
    asked = server.take(Exchange(query, method=method, path=path))
    if method == "POST":
        asked.come()
    server.until(lambda: asked.answers)
    assert server.app.handler.shares._left("127.0.0.1") < FEW.client_steps_max - CHARGED_STEPS_MIN


def test_g8_offers_that_take_much_work_are_charged(server: Server) -> None:
    """By their arrival, and by the explanation of their timeout."""
    for more in ("&mates=2", "&mates=2&timeout=0"):
        shares = server.app.handler.shares
        left = shares._left("127.0.0.1")
        server.ask(*[f"event=e&actor=A{number}{more}&labels=n{number}=&selector=actor" for number in range(2)])
        assert shares._left("127.0.0.1") == left
    chance = random.Random(1)
    graph = [",".join(f"!n{other}" for other in range(number) if chance.random() < 0.5) for number in range(60)]
    hard = [f"event=h&actor=A{number}&mates=9&labels=n{number}=&selector=actor,{graph[number]}" for number in range(60)]
    for query in hard:
        if shares.debtors:
            break
        server.ask(query, client=ELSEWHERE)
    assert shares.debtors == {"127.0.0.9"}
    left = shares._left("127.0.0.1")
    (asked,) = server.ask(query.replace("actor=A", "actor=B") + "&timeout=0")
    server.until(lambda: asked.answers)
    assert asked.statuses == [410]
    assert shares._left("127.0.0.1") < left - CHARGED_STEPS_MIN


def test_the_loop_may_have_ended_when_a_refusal_is_due() -> None:
    """The answer is then dropped, as everything is that waits for that loop."""
    with closing(Server(limits=FEW)) as server:
        in_debt(server)
        loop, server.app.handler.background.loop = server.app.handler.background.loop, asyncio.new_event_loop()
        server.app.handler.background.loop.close()
        (dropped,) = server.ask("event=coin&actor=VM")
        server.app.handler.background.loop = loop
        assert dropped.answers == []
