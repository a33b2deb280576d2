"""The rules of access in an application: origins by default, hosts and tokens where they are asked for."""

import asyncio
from pathlib import Path

import httpx
import pytest

from syncnet import ASGIApp
from syncnet.coordinator.coordinator import Coordinator
from syncnet.server.tokens import new_token
from tests.coordinator.test_coordinator import LaterLog

pytestmark = pytest.mark.anyio

OFFER = "/event?event=e&actor=A&mates=0"
THERE = {"origin": "https://there.example", "sec-fetch-site": "cross-site"}


async def ask(app: ASGIApp, path: str, headers: dict[str, str], method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        return await client.request(method, path, headers=headers)


async def test_by_default_origins_are_checked_and_hosts_are_not() -> None:
    app = ASGIApp()
    assert (await ask(app, OFFER, THERE)).status_code == 403
    assert (await ask(app, OFFER, {"origin": "https://app.example"})).status_code == 200
    assert (await ask(app, OFFER, {"origin": "http://app.example"})).status_code == 403
    assert (await ask(app, OFFER, {"host": "any.example"})).status_code == 200


async def test_origins_can_be_named_or_left_to_the_application() -> None:
    named = ASGIApp(cors_origins=["https://There.example/"])
    answer = await ask(named, OFFER, THERE)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://there.example")
    preflight = await ask(named, "/event", {**THERE, "access-control-request-method": "POST"}, "OPTIONS")
    assert preflight.status_code == 204
    assert "content-length" not in preflight.headers
    left = await ask(ASGIApp(cors_origins=None), OFFER, THERE)
    assert (left.status_code, "access-control-allow-origin" in left.headers) == (200, False)


async def test_hosts_and_tokens_where_they_are_asked_for(tmp_path: Path) -> None:
    hosts = ASGIApp(allow_hosts=["app.example"])
    assert (await ask(hosts, OFFER, {})).status_code == 200
    assert (await ask(hosts, OFFER, {"host": "evil.example"})).status_code == 403
    secret, entry = new_token("ci", ["*"], ["sync"])
    (tmp_path / "tokens.yaml").write_text(entry)
    guarded = ASGIApp(token_file=tmp_path / "tokens.yaml")
    assert (await ask(guarded, OFFER, {})).status_code == 401
    assert (await ask(guarded, OFFER, {"authorization": f"Bearer {secret}"})).status_code == 200
    twice = httpx.Headers([("authorization", f"Bearer {secret}"), ("authorization", "Bearer x")])
    transport = httpx.ASGITransport(app=guarded)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        assert (await client.get(OFFER, headers=twice)).status_code == 401


async def test_what_is_no_origin_and_no_host() -> None:
    with pytest.raises(ValueError, match="expected an origin"):
        ASGIApp(cors_origins=["there"])
    with pytest.raises(ValueError, match="expected the name of a host"):
        ASGIApp(allow_hosts=["a:80"])


async def test_a_token_cannot_withdraw_the_offer_of_another_that_is_on_its_way_through_the_log(tmp_path: Path) -> None:
    (alice, of_alice), (mallory, of_mallory) = (new_token(name, ["*"], ["sync"]) for name in ("alice", "mallory"))
    (tmp_path / "tokens.yaml").write_text(f"{of_alice}\n{of_mallory}\n")
    log = LaterLog()
    app = ASGIApp(Coordinator(log), token_file=tmp_path / "tokens.yaml")
    offer, withdrawal = "/event?event=e&actor=A&id=a", "/event?id=a"

    async def by(token: str, path: str, method: str) -> int:
        async with asyncio.timeout(10):
            return (await ask(app, path, {"authorization": f"Bearer {token}"}, method)).status_code

    async def appended(commands: int) -> None:
        async with asyncio.timeout(10):
            while len(log.appended) < commands:
                await asyncio.sleep(0)

    waiting = asyncio.create_task(by(alice, offer, "GET"))
    await appended(1)
    early = asyncio.create_task(by(mallory, withdrawal, "DELETE"))
    await appended(2)
    log.flush()
    assert await early == 403
    own = asyncio.create_task(by(alice, withdrawal, "DELETE"))
    await appended(1)
    log.flush()
    assert (await own, await waiting) == (204, 410)
    late = asyncio.create_task(by(mallory, withdrawal, "DELETE"))
    await appended(1)
    log.flush()
    assert await late == 403, "how it ended is told to its own side only"
