"""`/event` over real HTTP: which offers sync, and what their responses contain."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import yaml

from tests.end_to_end.running import Server, curls, running

pytestmark = pytest.mark.anyio


async def ask(server: Server, **parameters: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        return await client.get("/event", params={"event": "coin", **parameters})


async def until_pending(server: Server, offers: int) -> None:
    await asyncio.to_thread(server.until_pending, offers)


async def together(server: Server, *offers: dict[str, Any]) -> list[httpx.Response]:
    """Make offers in this order, each when all before it are pending; return their responses."""
    tasks = []
    for number, parameters in enumerate(offers, 1):
        tasks.append(asyncio.create_task(ask(server, **parameters)))
        if number < len(offers):
            await until_pending(server, number)
    return await asyncio.gather(*tasks)


async def test_two_offers_sync_and_both_responses_have_both_payloads(server: Server) -> None:
    vm, cust = await together(server, {"actor": "VM", "payload": "here"}, {"actor": "CUST", "payload": "coin"})
    assert (vm.status_code, cust.status_code) == (200, 200)
    response = vm.json()
    assert response["payloads"] == {"VM": "here", "CUST": "coin"}
    assert [(member["actor"], member["payload"]) for member in response["members"]] == [
        ("VM", "here"),
        ("CUST", "coin"),
    ]
    assert list(response) == ["event", "sync", "payloads", "members"]


async def test_g7_every_member_gets_the_same_bytes_and_its_rank(server: Server) -> None:
    responses = await together(server, *({"actor": actor, "mates": 2} for actor in "ABC"))
    assert len({response.content for response in responses}) == 1
    assert [response.headers["syncnet-rank"] for response in responses] == ["0", "1", "2"]
    assert [response.headers["syncnet-id"] for response in responses] == [
        m["id"] for m in responses[0].json()["members"]
    ]
    assert responses[0].headers["content-type"] == "application/json"
    assert responses[0].headers["cache-control"] == "no-store"


async def test_each_member_gets_its_format(server: Server) -> None:
    as_yaml, as_json = await together(server, {"actor": "A", "output": "yaml"}, {"actor": "B"})
    assert as_yaml.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(as_yaml.text) == as_json.json()


async def test_the_accept_header_selects_the_format(server: Server) -> None:
    headers = {"accept": "application/yaml"}
    response = server.client.get("/event?event=e&actor=A&mates=0", headers=headers)
    assert response.headers["content-type"] == "application/yaml"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"event": "e", "actor": "A", "mates": 0, "payload": {"x": [1.50, "\xc3\xa4"]}}'),
        ("application/yaml", 'event: e\nactor: A\nmates: 0\npayload: {x: [1.50, "ä"]}\n'.encode()),
    ],
)
def test_post_with_values(server: Server, content_type: str, body: bytes) -> None:
    response = server.client.post("/event", content=body, headers={"content-type": content_type})
    assert response.status_code == 200
    assert response.json()["payloads"] == {"A": {"x": [1.5, "ä"]}}


def test_post_with_a_form_and_with_the_query(server: Server) -> None:
    form = server.client.post("/event", data={"event": "e", "actor": "A", "mates": "0", "payload": "ä b"})
    assert form.json()["payloads"] == {"A": "ä b"}
    query = server.client.post("/event?event=e&actor=A&mates=0&payload=x")
    assert query.json()["payloads"] == {"A": "x"}


def test_a_query_may_contain_any_unicode(server: Server) -> None:
    response = server.client.get(
        "/event", params={"event": "Kaffee ☕", "actor": "A", "mates": 0, "payload": "ß\u202e\n"}
    )
    assert (response.json()["event"], response.json()["payloads"]) == ("Kaffee ☕", {"A": "ß\u202e\n"})


async def test_a_large_payload_arrives_as_it_was_sent(server: Server) -> None:
    large = {"text": "ä\n" * 25_000, "numbers": list(range(5_000))}
    smaller = {"text": "ä\n" * 500, "numbers": list(range(1_000))}  # YAML has a limit of its own
    for content_type, payload, body in [
        ("application/json", large, json.dumps({"payload": large})),
        ("application/yaml", smaller, yaml.safe_dump({"payload": smaller})),
    ]:
        headers = {"content-type": content_type}
        response = server.client.post("/event?event=e&actor=A&mates=0", content=body.encode(), headers=headers)
        assert response.json()["payloads"]["A"] == payload


async def test_a_timeout_reports_who_was_present_and_who_was_missing(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", mates=2))
    await until_pending(server, 1)
    late = await ask(server, actor="CUST", mates=2, timeout="20ms")
    assert late.status_code == 410
    assert late.headers["content-type"] == "application/problem+json"
    problem = late.json()
    assert (problem["present"], problem["missing"]) == (["VM"], 1)
    assert problem["waited_s"] >= 0.02
    roster = await ask(server, actor="BOSS", expect="VM,X,Y", timeout="0")
    assert roster.json()["missing_actors"] == ["X", "Y"]
    await together_with(server, waiting, 2)


async def together_with(server: Server, waiting: "asyncio.Task[httpx.Response]", mates: int) -> None:
    """Complete a pending offer, so that the server has no pending offers after the test."""
    helpers = [ask(server, actor=f"HELPER{n}", mates=mates) for n in range(mates)]
    responses = await asyncio.gather(waiting, *helpers)
    assert [response.status_code for response in responses] == [200] * (mates + 1)


async def test_stats_list_the_pending_offers(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", labels="tier=gold", timeout="60s", payload="secret"))
    await until_pending(server, 1)
    response = server.client.get("/stats")
    ((id, entry),) = response.json()["coin"]["VM"].items()
    assert entry["params"] == {
        "event": ["coin"],
        "actor": "VM",
        "mates": 1,
        "selector": "actor!=VM",
        "labels": {"actor": "VM", "tier": "gold"},
        "payload_bytes": 8,
        "timeout": "60s",
    }
    assert entry["created_at"].endswith("Z")
    assert (response.headers["syncnet-pending"], response.headers["syncnet-misses"]) == ("1", "0")
    assert server.stats("other") == {}
    await together_with(server, waiting, 1)
    assert (await waiting).headers["syncnet-id"] == id


async def test_offers_of_different_namespaces_do_not_sync(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", namespace="east"))
    await asyncio.to_thread(server.until_pending, 1, "east")
    assert (await ask(server, actor="CUST", timeout="0")).status_code == 410
    assert (await ask(server, actor="CUST", namespace="east")).json()["sync"] == 1
    await waiting


def test_healthz(server: Server) -> None:
    assert server.client.get("/healthz").text == "ok\n"
    assert server.client.head("/healthz").status_code == 200


def test_g6_a_kept_connection_that_is_lost_in_a_later_request_withdraws_its_offer(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(3):
            assert client.get("/event?event=e&actor=A&timeout=1ms").status_code == 410
        with pytest.raises(httpx.ReadTimeout):
            client.get("/event?event=e&actor=A", timeout=0.05)
    server.until_pending(0)


def test_the_graph_log_is_that_of_the_contract() -> None:
    """With real curl, VM first, then CUST first; the log equals that of semantics.md."""
    with running() as server:
        for first, second in [("VM", "CUST"), ("CUST", "VM")]:
            with curls(f"{server.url}/event?event=coin&actor={first}") as (one,):
                server.until_pending(1)
                with curls(f"{server.url}/event?event=coin&actor={second}") as (other,):
                    responses = {one.communicate()[0], other.communicate()[0]}
            (response,) = responses
            assert json.loads(response)["payloads"] == {first: "", second: ""}
        server.until_stdout(
            "┌─ VM:coin\n│┌ CUST:coin\n└└ CUST:coin VM:coin\n\n┌─ CUST:coin\n│┌ VM:coin\n└└ VM:coin CUST:coin\n\n"
        )


def test_the_formats_json_and_none_of_the_log() -> None:
    with running("--log-format", "json") as server:
        server.client.get("/event?event=e&actor=A&mates=0")
        server.stop()
        assert [json.loads(line)["happening"] for line in server.stdout.splitlines()] == ["pending", "synced"]
    with running("--log-format", "none") as server:
        server.client.get("/event?event=e&actor=A&mates=0")
        server.stop()
        assert server.stdout == ""
