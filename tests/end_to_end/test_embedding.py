"""What we rely on in granian's internal classes: the thread of a request, and responses from any thread."""

import asyncio
import logging
import threading
from typing import Any

import httpx
import pytest

from syncnet.server.address import Address, listen
from syncnet.server.embedding import Granian, Take

pytestmark = pytest.mark.anyio


async def responses(take: Take, *paths: str) -> list[httpx.Response]:
    """Serve with `take`; return the responses to requests for these paths, which are sent concurrently."""
    listener = listen(Address("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = Granian(take, listener)
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=base_url) as client:
        received = await asyncio.gather(*(client.get(path) for path in paths))
    server.stop()
    await serving
    return received


async def test_all_requests_arrive_on_one_thread_other_than_that_of_the_loop() -> None:
    threads = set()

    def take(scope: Any, protocol: Any) -> None:
        threads.add(threading.get_ident())
        protocol.response_bytes(200, [("x-path", scope.path)], b"yes")

    received = await responses(take, *(f"/{number}" for number in range(20)))
    assert [response.headers["x-path"] for response in received] == [f"/{number}" for number in range(20)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_a_response_can_be_sent_later_and_from_another_thread() -> None:
    pending: list[Any] = []

    def take(scope: Any, protocol: Any) -> None:
        _ = scope
        pending.append(protocol)
        if len(pending) == 2:
            for each in pending:
                threading.Thread(target=each.response_bytes, args=(200, [], b"both are here")).start()

    received = await responses(take, "/a", "/b")
    assert [response.text for response in received] == ["both are here"] * 2


async def test_an_exception_is_logged_and_answered_with_500_and_the_server_continues(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def take(scope: Any, protocol: Any) -> None:
        if scope.path == "/bad":
            raise ValueError("a bug")
        protocol.response_bytes(200, [], b"yes")

    with caplog.at_level(logging.ERROR, "syncnet"):
        received = await responses(take, "/bad", "/good")
    assert [response.status_code for response in received] == [500, 200]
    assert "a request could not be handled" in caplog.text
