"""G8: bodies on their way share a budget of memory, and slow work of one kind does not delay another kind."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from syncnet.core.limits import LIMITS
from syncnet.errors import BusyError
from syncnet.server.body_budget import BodyBudget
from tests.server.fakes import Exchange, Server

JSON = {"host": "localhost", "content-type": "application/json"}
YAML = {"host": "localhost", "content-type": "application/yaml"}
LARGE = b'{"event":"solo","actor":"A","mates":0,"payload":"%s"}' % (b"x" * 20_000)
SMALL = b'{"event":"solo","actor":"A","mates":0}'
ELSEWHERE = "127.0.0.9:50000"


def post(server: Server, body: bytes, headers: dict[str, str] = JSON, **how: str) -> Exchange:
    return server.take(Exchange("", headers, "POST", body=body, **how))


def test_a_budget_is_shared_by_all_clients() -> None:
    budget = BodyBudget(100_000)
    reserved = [budget.reserve(client, 25_000) for client in "abcd"]
    for client in "ae":
        with pytest.raises(BusyError):
            budget.reserve(client, 20_000)
    assert budget.reserve("a", 16_384) == 0, "small bodies are not counted"
    for client, each in zip("abcd", reserved, strict=True):
        budget.release(client, each)
    assert (budget.bytes_total, budget._reserved) == (0, {})


def test_one_client_gets_a_quarter_or_one_body() -> None:
    budget = BodyBudget(200_000)
    budget.reserve("a", 30_000)
    with pytest.raises(BusyError, match="this client"):
        budget.reserve("a", 30_000)
    assert budget.reserve("b", 150_000) == 150_000


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server(limits=replace(LIMITS, bodies_bytes_max=100_000))) as server:
        yield server


def test_g8_a_body_that_does_not_come_holds_its_own_share_only(server: Server) -> None:
    slow = post(server, LARGE)
    refused = post(server, LARGE)
    assert refused.statuses == [503]
    assert b"problem:busy" in refused.answers[0][2]
    assert refused.reading is None, "it was not read"
    served = [post(server, SMALL), post(server, LARGE, client=ELSEWHERE)]
    server.until_answered(*served)
    assert [exchange.statuses for exchange in served] == [[200], [200]]
    server.until_answered(slow)
    again = post(server, LARGE)
    server.until_answered(again)
    assert again.statuses == [200]
    assert server.app.handler.bodies.bytes_total == 0


def test_the_share_of_a_body_that_breaks_off_is_released(server: Server) -> None:
    broken = post(server, LARGE)
    assert broken.reading is not None
    broken.reading.set_exception(ValueError("it broke off"))
    server.until(lambda: broken.answers)
    assert server.app.handler.bodies.bytes_total == 0


def test_g8_work_of_one_kind_does_not_delay_another_and_its_queue_is_bounded(server: Server) -> None:
    go, began = threading.Event(), threading.Event()

    def slowly(body: bytes) -> bytes:
        began.set()
        assert go.wait(60)
        return body

    server.app.handler.encoders = (server.app.handler.encoders[0], slowly)
    solo = "event=solo&actor=A&mates=0&output=yaml"
    waiting = server.ask(*[solo] * 64)
    server.until(began.is_set)
    (too_many,) = server.ask(solo)
    server.until(lambda: too_many.answers)
    assert too_many.statuses == [503]
    assert b"problem:busy" in too_many.answers[0][2]
    others = [post(server, LARGE), server.take(Exchange("", path="/stats"))]
    server.until_answered(*others)
    assert [exchange.statuses for exchange in others] == [[200], [200]]
    go.set()
    server.until(lambda: all(exchange.answers for exchange in waiting))
    assert {exchange.statuses[0] for exchange in waiting} == {200}


def test_a_body_of_yaml_is_read_in_its_own_thread(server: Server) -> None:
    exchange = post(server, b"event: solo\nactor: A\nmates: 0\n", YAML)
    server.until_answered(exchange)
    assert exchange.statuses == [200]
