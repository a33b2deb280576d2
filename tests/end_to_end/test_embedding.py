"""What is relied on of granian's own classes: a request is given away where it comes in, and answered from anywhere."""

import asyncio
import logging
import threading
from typing import Any

import httpx
import pytest

from syncnet.server.address import Address, listen
from syncnet.server.embedding import Granian, Take

pytestmark = pytest.mark.anyio


async def asked(take: Take, *paths: str) -> list[httpx.Response]:
    """Serve with `take`, and return the answers to requests of these paths, which are sent at once."""
    listener = listen(Address("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = Granian(take, listener)
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=base) as client:
        answers = await asyncio.gather(*(client.get(path) for path in paths))
    server.stop()
    await serving
    return answers


async def test_all_requests_are_taken_on_one_thread_which_is_not_that_of_the_loop() -> None:
    threads = set()

    def take(scope: Any, protocol: Any) -> None:
        threads.add(threading.get_ident())
        protocol.response_bytes(200, [("x-path", scope.path)], b"yes")

    answers = await asked(take, *(f"/{number}" for number in range(20)))
    assert [answer.headers["x-path"] for answer in answers] == [f"/{number}" for number in range(20)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_request_is_answered_later_and_from_another_thread() -> None:
    waiting: list[Any] = []

    def take(scope: Any, protocol: Any) -> None:
        _ = scope
        waiting.append(protocol)
        if len(waiting) == 2:
            for each in waiting:
                threading.Thread(target=each.response_bytes, args=(200, [], b"both are here")).start()

    answers = await asked(take, "/a", "/b")
    assert [answer.text for answer in answers] == ["both are here"] * 2


async def test_an_error_is_answered_and_told_and_the_next_request_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    def take(scope: Any, protocol: Any) -> None:
        if scope.path == "/bad":
            raise ValueError("a bug")
        protocol.response_bytes(200, [], b"yes")

    with caplog.at_level(logging.ERROR, "syncnet"):
        answers = await asked(take, "/bad", "/good")
    assert [answer.status_code for answer in answers] == [500, 200]
    assert "a request could not be handled" in caplog.text
