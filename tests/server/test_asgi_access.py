"""The rules of access in an application: origins by default, hosts and tokens where they are asked for."""

from pathlib import Path

import httpx
import pytest

from syncnet import ASGIApp
from syncnet.server.tokens import new_token

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
