"""No path is open by mistake: every path requires a role, or is listed here."""

import asyncio
import threading

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS
from syncnet.server.access import Access
from syncnet.server.asgi import ASGIApp
from syncnet.server.handler import Handler
from syncnet.server.page import PAGE_PATHS
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tokens import new_token, parse_tokens
from tests.server.fakes import PATIENCE_S, USUAL, Exchange

OPEN_PATHS = {"/healthz", "/livez", "/readyz", "/openapi.json", *PAGE_PATHS}


def respond(access: Access, method: str, path: str, authorization: str) -> tuple[int, list[tuple[str, str]]]:
    """The answer to a request that is answered before `take` returns; the loop does not run."""
    loop = asyncio.new_event_loop()
    try:
        headers = USUAL | ({"authorization": authorization} if authorization else {})
        exchange = Exchange("", headers, method, path)
        exchange.loop = loop
        RSGIApp(Coordinator(timer_thread=False), access, LIMITS, loop).take(exchange, exchange)
        assert exchange.reading is None, "the body of a refused request must not be read"
        ((status, answer_headers, _),) = exchange.answers
        return status, answer_headers
    finally:
        loop.close()


def test_every_path_requires_a_token_unless_it_is_listed_as_open() -> None:
    _, entry = new_token("x", ["*"], ["admin"])
    access = Access(parse_tokens(entry.encode()))
    routes = Handler(Coordinator(timer_thread=False)).routes
    assert routes.keys() > OPEN_PATHS
    for path, (role, methods) in routes.items():
        assert (role is None) == (path in OPEN_PATHS)
        for method in methods:
            for authorization in ("", "Bearer wrong"):
                status, headers = respond(access, method, path, authorization)
                assert status == (200 if path in OPEN_PATHS else 401), (method, path)
                if path not in OPEN_PATHS:
                    assert ("www-authenticate", 'Bearer realm="syncnet"') in headers


@pytest.mark.parametrize(("role", "other"), [("sync", "observe"), ("observe", "sync")])
def test_every_path_requires_its_role(role: str, other: str) -> None:
    secret, entry = new_token("x", ["*"], [role])
    access = Access(parse_tokens(entry.encode()))
    refused = 0
    for path, (needed, methods) in Handler(Coordinator(timer_thread=False)).routes.items():
        if needed in (other, "admin"):
            for method in methods:
                refused += 1
                assert respond(access, method, path, f"Bearer {secret}")[0] == 403, (method, path)
    assert refused


def test_g8_a_member_whose_event_loop_has_closed_does_not_delay_the_others() -> None:
    app = ASGIApp()
    appeared = threading.Event()

    async def answers(actors: str) -> list[int]:
        statuses: list[int] = []

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        def scope(actor: str) -> dict[str, object]:
            query = f"event=coin&actor={actor}&mates=2".encode()
            headers = [(b"host", b"localhost")]
            return {"type": "http", "method": "GET", "path": "/event", "query_string": query, "headers": headers}

        async def receive() -> dict[str, object]:
            forever: dict[str, object] = await asyncio.get_running_loop().create_future()
            return forever

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*[app(scope(actor), receive, send) for actor in actors])
        return statuses

    def one_on_a_loop_that_closes() -> None:
        """The loop is closed while the request waits, without the cancellation that would withdraw its offer."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(answers("A"))
        while not app.coordinator.machine.pending_total:
            loop.run_until_complete(asyncio.sleep(0))
        abandoned.append(task)
        loop.close()
        appeared.set()

    abandoned: list[asyncio.Task[list[int]]] = []
    thread = threading.Thread(target=one_on_a_loop_that_closes)
    thread.start()
    thread.join(PATIENCE_S)
    assert appeared.is_set()
    assert asyncio.run(answers("BC")) == [200, 200]
    app.coordinator.close()
