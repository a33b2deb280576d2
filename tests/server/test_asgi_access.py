"""Access control of `ASGIApp`: origins are checked by default, hosts and tokens if they are configured."""

import asyncio
from pathlib import Path

import httpx
import pytest

from syncnet import ASGIApp
from syncnet.coordinator.coordinator import Coordinator
from syncnet.server.tokens import new_token
from tests.coordinator.fakes import LateLog

pytestmark = pytest.mark.anyio

OFFER = "/event?event=e&actor=A&mates=0"
CROSS_SITE = {"origin": "https://there.example", "sec-fetch-site": "cross-site"}


class Shared:
    """A runtime whose coordinator is shared."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator


async def ask(app: ASGIApp, path: str, headers: dict[str, str], method: str = "GET") -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        return await client.request(method, path, headers=headers)


async def test_by_default_origins_are_checked_and_hosts_are_not() -> None:
    app = ASGIApp()
    assert (await ask(app, OFFER, CROSS_SITE)).status_code == 403
    assert (await ask(app, OFFER, {"origin": "https://app.example"})).status_code == 200
    assert (await ask(app, OFFER, {"origin": "http://app.example"})).status_code == 403
    assert (await ask(app, OFFER, {"host": "any.example"})).status_code == 200


async def test_origins_can_be_allowed_or_left_to_the_application() -> None:
    allowing = ASGIApp(cors_origins=["https://There.example/"])
    response = await ask(allowing, OFFER, CROSS_SITE)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "https://there.example")
    preflight = await ask(allowing, "/event", {**CROSS_SITE, "access-control-request-method": "POST"}, "OPTIONS")
    assert preflight.status_code == 204
    assert "content-length" not in preflight.headers
    unchecked = await ask(ASGIApp(cors_origins=None), OFFER, CROSS_SITE)
    assert (unchecked.status_code, "access-control-allow-origin" in unchecked.headers) == (200, False)


async def test_hosts_and_tokens_are_checked_if_configured(tmp_path: Path) -> None:
    hosts = ASGIApp(allow_hosts=["app.example"])
    assert (await ask(hosts, OFFER, {})).status_code == 200
    assert (await ask(hosts, OFFER, {"host": "evil.example"})).status_code == 403
    secret, entry = new_token("ci", ["*"], ["sync"])
    (tmp_path / "tokens.yaml").write_text(entry)
    with_tokens = ASGIApp(token_file=tmp_path / "tokens.yaml")
    assert (await ask(with_tokens, OFFER, {})).status_code == 401
    assert (await ask(with_tokens, OFFER, {"authorization": f"Bearer {secret}"})).status_code == 200
    twice = httpx.Headers([("authorization", f"Bearer {secret}"), ("authorization", "Bearer x")])
    transport = httpx.ASGITransport(app=with_tokens)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        assert (await client.get(OFFER, headers=twice)).status_code == 401


async def test_invalid_origins_and_hosts_raise_value_error() -> None:
    with pytest.raises(ValueError, match="expected an origin"):
        ASGIApp(cors_origins=["there"])
    with pytest.raises(ValueError, match="expected a host name"):
        ASGIApp(allow_hosts=["a:80"])


async def test_a_token_cannot_withdraw_another_tokens_offer_that_the_log_has_not_delivered(tmp_path: Path) -> None:
    (alice, alice_entry), (mallory, mallory_entry) = (new_token(name, ["*"], ["sync"]) for name in ("alice", "mallory"))
    (tmp_path / "tokens.yaml").write_text(f"{alice_entry}\n{mallory_entry}\n")
    log = LateLog()
    app = ASGIApp(Shared(Coordinator(log)), token_file=tmp_path / "tokens.yaml")
    offer, withdrawal = "/event?event=e&actor=A&id=a", "/event?id=a"

    async def status(token: str, path: str, method: str) -> int:
        async with asyncio.timeout(10):
            return (await ask(app, path, {"authorization": f"Bearer {token}"}, method)).status_code

    async def until_appended(commands: int) -> None:
        async with asyncio.timeout(10):
            while len(log.appended) < commands:
                await asyncio.sleep(0)

    offering = asyncio.create_task(status(alice, offer, "GET"))
    await until_appended(1)
    early = asyncio.create_task(status(mallory, withdrawal, "DELETE"))
    await until_appended(2)
    log.flush()
    assert await early == 403
    own = asyncio.create_task(status(alice, withdrawal, "DELETE"))
    await until_appended(1)
    log.flush()
    assert (await own, await offering) == (204, 410)
    late = asyncio.create_task(status(mallory, withdrawal, "DELETE"))
    await until_appended(1)
    log.flush()
    assert await late == 403, "the outcome is shown only to the token that made the offer"
