"""No path is open by mistake: every path requires a role, or is listed here."""

import asyncio
import threading

import pytest

from syncnet.coordinator.coordinator import Coordinator, Tell, Told
from syncnet.core.effects import Synced
from syncnet.server.access import Access
from syncnet.server.handler import Handler, _handing_over
from syncnet.server.tokens import new_token, parse_tokens
from tests.core.offers import offer

OPEN_PATHS = {"/healthz", "/readyz", "/openapi.json"}

pytestmark = pytest.mark.anyio


class FakeRequest:
    scheme = "http"

    def __init__(self, method: str, path: str, authorization: str = "") -> None:
        self.method, self.path, self._authorization = method, path, authorization

    def query_text(self) -> str:
        return ""

    def header(self, name: str) -> str:
        return self._authorization if name == "authorization" else ""

    async def body(self, bytes_max: int) -> bytes:
        raise AssertionError("the body of a refused request must not be read")

    async def disconnected(self) -> None:
        raise AssertionError("a refused request must not wait")


async def test_every_path_requires_a_token_unless_it_is_listed_as_open() -> None:
    _, entry = new_token("x", ["*"], ["admin"])
    handler = Handler(Coordinator(), Access(parse_tokens(entry.encode())))
    for path, route in handler._routes.items():
        for method in route.methods:
            for authorization in ("", "Bearer wrong"):
                response = await handler.respond(FakeRequest(method, path, authorization))
                assert response.status == (200 if path in OPEN_PATHS else 401), (method, path)
                if path not in OPEN_PATHS:
                    assert ("www-authenticate", 'Bearer realm="syncnet"') in response.headers


@pytest.mark.parametrize(("role", "other"), [("sync", "observe"), ("observe", "sync")])
async def test_every_path_requires_its_role(role: str, other: str) -> None:
    secret, entry = new_token("x", ["*"], [role])
    handler = Handler(Coordinator(), Access(parse_tokens(entry.encode())))
    refused = 0
    for path, route in handler._routes.items():
        if route.role in (other, "admin"):
            refused += 1
            response = await handler.respond(FakeRequest(next(iter(route.methods)), path, f"Bearer {secret}"))
            assert response.status == 403, path
    assert refused


async def test_g8_a_member_whose_event_loop_has_closed_does_not_delay_the_others() -> None:
    coordinator = Coordinator()

    def future_and_callback() -> tuple[asyncio.Future[Told], Tell]:
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        return future, _handing_over(future)

    async def offer_on_another_loop() -> None:
        coordinator.offer(offer("A", mates=2), future_and_callback()[1])

    thread = threading.Thread(target=lambda: asyncio.run(offer_on_another_loop()))
    thread.start()
    thread.join()
    futures = []
    for actor in "BC":
        future, callback = future_and_callback()
        coordinator.offer(offer(actor, mates=2), callback)
        futures.append(future)
    async with asyncio.timeout(10):
        for future in futures:
            assert isinstance(await future, Synced)
