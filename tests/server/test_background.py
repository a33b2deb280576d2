"""Requests that take long are watched; each is answered once, whatever goes wrong with the answers of others."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import cast

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS
from syncnet.server.access import Access
from syncnet.server.background import Background
from syncnet.server.request import Request
from syncnet.server.tokens import new_token, parse_tokens
from tests.coordinator.fakes import LateLog
from tests.core.offers import offer
from tests.server.fakes import PATIENCE_S, Exchange, Server

BUG = "this is a bug in syncnet"
BODY = b'{"event": "coin", "actor": "CUST"}'
JSON = {"host": "localhost", "content-type": "application/json"}


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


def post(body: bytes = BODY) -> Exchange:
    return Exchange("", JSON, "POST", body=body)


def test_a_request_that_waits_is_watched_and_an_answered_one_is_not(server: Server) -> None:
    answered = server.ask("event=coin&actor=VM", "event=coin&actor=CUST", "event=solo&actor=VM&mates=0")
    (waiting,) = server.ask("event=tea&actor=VM")
    assert not waiting.is_watched, "most are answered within some milliseconds, and so cost nothing on the loop"
    server.until(lambda: waiting.is_watched)
    assert [exchange.statuses for exchange in answered] == [[200], [200], [200]]
    assert not any(exchange.is_watched for exchange in answered)
    assert waiting.answers == []


def test_requests_are_watched_again_after_a_time_without_any(server: Server) -> None:
    for event in ("a", "b"):
        (waiting,) = server.ask(f"event={event}&actor=VM")
        server.until(lambda waiting=waiting: waiting.is_watched)  # type: ignore[misc]
        server.ask(f"event={event}&actor=CUST")
        server.until(lambda waiting=waiting: waiting.connected.cancelled())  # type: ignore[misc]
        assert waiting.statuses == [200]


def test_g6_the_offer_of_a_client_that_disconnects_is_withdrawn(server: Server) -> None:
    (gone,) = server.ask("event=coin&actor=VM")
    server.until(lambda: gone.is_watched)
    gone.disconnect()
    server.until(lambda: gone.answers)
    (stays,) = server.ask("event=coin&actor=CUST")
    assert stays.answers == []
    assert server.log()[-3:] == ["┴  VM:coin disconnected", "", "┌─ CUST:coin"]
    assert len(gone.answers) == 1, "nobody reads it"


def test_g7_the_offer_of_a_client_that_disconnects_stays_for_its_linger(server: Server) -> None:
    (gone,) = server.ask("event=coin&actor=VM&id=vm")
    server.until(lambda: gone.is_watched)
    gone.disconnect()
    server.until(lambda: gone.answers)
    assert server.coordinator.machine.pending_total == 1
    back, mate = server.ask("event=coin&actor=VM&id=vm", "event=coin&actor=CUST")
    assert (back.statuses, mate.statuses) == ([200], [200])


def test_g6_the_offer_of_a_post_is_withdrawn_too(server: Server) -> None:
    exchange = server.take(post())
    exchange.come()
    server.until(lambda: exchange.is_watched)
    assert server.coordinator.machine.pending_total == 1
    exchange.disconnect()
    server.until(lambda: exchange.answers)
    assert server.coordinator.machine.pending_total == 0


def test_a_client_that_disconnects_after_its_answer_changes_nothing(server: Server) -> None:
    (first,) = server.ask("event=coin&actor=VM")
    server.until(lambda: first.is_watched)
    server.ask("event=coin&actor=CUST")
    first.disconnect()  # before the watch is cancelled on the loop
    (later,) = server.ask("event=tea&actor=VM")
    server.until(lambda: later.is_watched)
    later.disconnect()
    server.until(lambda: later.answers)
    assert first.statuses == [200]
    assert server.coordinator.machine.totals("default") == (0, 1, 0)


def test_a_body_that_does_not_come_in_time_is_answered_with_408() -> None:
    with closing(Server(limits=replace(LIMITS, body_read_s_max=0))) as server:
        late, withdrawal = server.take(post()), server.take(Exchange("", JSON, "POST", "/abort", BODY))
        server.until(lambda: late.answers and withdrawal.answers)
        for exchange in (late, withdrawal):
            ((status, _, body),) = exchange.answers
            assert status == 408
            assert b"problem:slow-body" in body
            assert exchange.reading is not None
            assert exchange.reading.cancelled(), "the body is not read any more"
        (other,) = server.ask("event=coin&actor=VM")
        server.until(lambda: other.is_watched)
        assert [len(late.answers), other.answers, server.coordinator.machine.pending_total] == [1, [], 1]


def test_an_offer_whose_body_came_in_time_waits_longer_than_a_body_may_take() -> None:
    with closing(Server(limits=replace(LIMITS, body_read_s_max=0))) as server:
        exchange = server.take(post())
        exchange.come()
        server.until(lambda: exchange.is_watched)
        assert exchange.answers == []
        server.ask("event=coin&actor=VM")
        assert exchange.statuses == [200]


def test_a_body_that_cannot_be_read_is_answered(server: Server) -> None:
    exchange = server.take(post())
    assert exchange.reading is not None
    exchange.reading.set_exception(ValueError("a bug"))
    server.until(lambda: exchange.answers)
    assert exchange.statuses == [500]


# --- bugs and late answers ---------------------------------------------------------------------------------


def broken(_: object) -> bytes:
    raise ValueError("a bug")


def test_g8_a_bug_in_an_answer_is_answered_and_others_get_theirs(server: Server) -> None:
    encoders = server.app.handler.encoders
    server.app.handler.encoders = (broken, encoders[1])
    bad = server.ask("event=coin&actor=VM", "event=coin&actor=CUST")
    server.app.handler.encoders = encoders
    good = server.ask("event=coin&actor=VM", "event=coin&actor=CUST")
    assert [exchange.statuses for exchange in bad + good] == [[500], [500], [200], [200]]
    assert all(BUG in exchange.answers[0][2].decode() for exchange in bad)


def test_a_bug_in_yaml_is_answered_and_the_mate_gets_its_json(server: Server) -> None:
    server.app.handler.encoders = (server.app.handler.encoders[0], broken)
    as_yaml, as_json = server.ask("event=coin&actor=VM&output=yaml", "event=coin&actor=CUST")
    server.until_answered(as_yaml, as_json)
    assert (as_yaml.statuses, as_json.statuses) == ([500], [200])


def test_a_request_is_answered_once_whatever_the_log_does_later() -> None:
    log = LateLog()
    with closing(Server(Coordinator(log, timer_thread=False))) as server:
        (waiting,) = server.ask("event=coin&actor=VM")
        assert waiting.answers == []
        assert server.coordinator.shut_down() == 1
        (late,) = server.ask("event=coin&actor=CUST")
        log.flush()
        assert (waiting.statuses, late.statuses) == ([503], [503])


def test_a_token_file_that_was_replaced_is_used_from_the_next_request_on() -> None:
    access = Access(hosts=())
    with closing(Server(access=access)) as server:
        (waiting,) = server.ask("event=coin&actor=VM")
        access.tokens = parse_tokens(new_token("x", ["*"], ["sync"])[1].encode())
        (refused,) = server.ask("event=coin&actor=CUST")
        assert (refused.statuses, waiting.answers) == ([401], [])


# --- loops -------------------------------------------------------------------------------------------------


def test_an_application_may_be_used_on_one_loop_after_another() -> None:
    """As test clients do. The first loop ends while requests wait there; those of the next are watched all the same."""
    watched: list[int] = []

    class Waiting:
        """What is looked at of a request that waits."""

        is_answered = False
        offer = offer("VM")
        watch = None

        def disconnected(self) -> Awaitable[None]:
            watched.append(requests.index(self))
            return asyncio.sleep(PATIENCE_S)

    requests = [Waiting() for _ in range(3)]
    background = Background(LIMITS.body_read_s_max)

    async def one_loop(number: int, *, is_watched: bool) -> None:
        background.loop = asyncio.get_running_loop()
        background.watch(cast(Request, requests[number]))
        async with asyncio.timeout(PATIENCE_S):
            while is_watched and number not in watched:
                await asyncio.sleep(0.001)

    asyncio.run(one_loop(0, is_watched=False))
    asyncio.run(one_loop(1, is_watched=True))
    asyncio.run(one_loop(2, is_watched=True))
    assert [number for number in watched if number] == [1, 2], "one of an ended loop may be watched or dropped"


def test_what_is_called_on_a_loop_that_has_ended_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    background = Background(LIMITS.body_read_s_max, loop)
    assert not background.call(print)
    background.spawn(work())
    assert ran == []
