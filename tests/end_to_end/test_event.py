"""`/event` over real HTTP: who meets whom, and what each is told."""

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


async def together(server: Server, *askings: dict[str, Any]) -> list[httpx.Response]:
    """Ask in this order: each next one when all before it wait."""
    tasks = []
    for number, asking in enumerate(askings, 1):
        tasks.append(asyncio.create_task(ask(server, **asking)))
        if number < len(askings):
            await until_pending(server, number)
    return await asyncio.gather(*tasks)


async def test_two_meet_and_each_is_told_both_payloads(server: Server) -> None:
    vm, cust = await together(server, {"actor": "VM", "payload": "here"}, {"actor": "CUST", "payload": "coin"})
    assert (vm.status_code, cust.status_code) == (200, 200)
    answer = vm.json()
    assert answer["payloads"] == {"VM": "here", "CUST": "coin"}
    assert [(member["actor"], member["payload"]) for member in answer["members"]] == [("VM", "here"), ("CUST", "coin")]
    assert list(answer) == ["event", "sync", "payloads", "members"]


async def test_g7_every_member_gets_the_same_bytes_and_learns_its_rank(server: Server) -> None:
    answers = await together(server, *({"actor": actor, "mates": 2} for actor in "ABC"))
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers["syncnet-rank"] for answer in answers] == ["0", "1", "2"]
    assert [answer.headers["syncnet-id"] for answer in answers] == [m["id"] for m in answers[0].json()["members"]]
    assert answers[0].headers["content-type"] == "application/json"
    assert answers[0].headers["cache-control"] == "no-store"


async def test_each_member_gets_its_format(server: Server) -> None:
    as_yaml, as_json = await together(server, {"actor": "A", "output": "yaml"}, {"actor": "B"})
    assert as_yaml.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(as_yaml.text) == as_json.json()


async def test_the_accept_header_is_heard(server: Server) -> None:
    headers = {"accept": "application/yaml"}
    answer = server.client.get("/event?event=e&actor=A&mates=0", headers=headers)
    assert answer.headers["content-type"] == "application/yaml"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"event": "e", "actor": "A", "mates": 0, "payload": {"x": [1.50, "\xc3\xa4"]}}'),
        ("application/yaml", 'event: e\nactor: A\nmates: 0\npayload: {x: [1.50, "ä"]}\n'.encode()),
    ],
)
def test_post_with_values(server: Server, content_type: str, body: bytes) -> None:
    answer = server.client.post("/event", content=body, headers={"content-type": content_type})
    assert answer.status_code == 200
    assert answer.json()["payloads"] == {"A": {"x": [1.5, "ä"]}}


def test_post_with_a_form_and_with_the_query(server: Server) -> None:
    form = server.client.post("/event", data={"event": "e", "actor": "A", "mates": "0", "payload": "ä b"})
    assert form.json()["payloads"] == {"A": "ä b"}
    query = server.client.post("/event?event=e&actor=A&mates=0&payload=x")
    assert query.json()["payloads"] == {"A": "x"}


def test_texts_in_the_query_may_be_any_unicode(server: Server) -> None:
    answer = server.client.get(
        "/event", params={"event": "Kaffee ☕", "actor": "A", "mates": 0, "payload": "ß\u202e\n"}
    )
    assert (answer.json()["event"], answer.json()["payloads"]) == ("Kaffee ☕", {"A": "ß\u202e\n"})


async def test_a_large_payload_arrives_as_it_was_sent(server: Server) -> None:
    payload = {"text": "ä\n" * 25_000, "numbers": list(range(5_000))}
    fields = {"payload": payload}
    for content_type, body in [
        ("application/json", json.dumps(fields)),
        ("application/yaml", yaml.safe_dump(fields)),
    ]:
        headers = {"content-type": content_type}
        answer = server.client.post("/event?event=e&actor=A&mates=0", content=body.encode(), headers=headers)
        assert answer.json()["payloads"]["A"] == payload


async def test_timed_out_is_told_who_was_there(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", mates=2))
    await until_pending(server, 1)
    late = await ask(server, actor="CUST", mates=2, timeout="20ms")
    assert late.status_code == 408
    assert late.headers["content-type"] == "application/problem+json"
    problem = late.json()
    assert (problem["present"], problem["missing"]) == (["VM"], 1)
    assert problem["waited_s"] >= 0.02
    roster = await ask(server, actor="BOSS", expect="VM,X,Y", timeout="0")
    assert roster.json()["missing_actors"] == ["X", "Y"]
    await together_with(server, waiting, 2)


async def together_with(server: Server, waiting: "asyncio.Task[httpx.Response]", mates: int) -> None:
    """Let a waiting offer go, so that the server is left as it was found."""
    helpers = [ask(server, actor=f"HELPER{n}", mates=mates) for n in range(mates)]
    answers = await asyncio.gather(waiting, *helpers)
    assert [answer.status_code for answer in answers] == [200] * (mates + 1)


async def test_stats_say_who_waits_for_what(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", labels="tier=gold", timeout="60s", payload="secret"))
    await until_pending(server, 1)
    answer = server.client.get("/stats")
    ((id, entry),) = answer.json()["coin"]["VM"].items()
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
    assert (answer.headers["syncnet-pending"], answer.headers["syncnet-misses"]) == ("1", "0")
    assert server.stats("other") == {}
    await together_with(server, waiting, 1)
    assert (await waiting).headers["syncnet-id"] == id


async def test_namespaces_do_not_meet(server: Server) -> None:
    waiting = asyncio.create_task(ask(server, actor="VM", namespace="east"))
    await asyncio.to_thread(server.until_pending, 1, "east")
    assert (await ask(server, actor="CUST", timeout="0")).status_code == 408
    assert (await ask(server, actor="CUST", namespace="east")).json()["sync"] == 1
    await waiting


def test_healthz(server: Server) -> None:
    assert server.client.get("/healthz").text == "ok\n"
    assert server.client.head("/healthz").status_code == 200


def test_one_connection_may_ask_again_and_again(server: Server) -> None:
    """Keep-alive: a connection that waited once and is cut while it waits again leaves no ghost."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(3):
            assert client.get("/event?event=e&actor=A&timeout=1ms").status_code == 408
        with pytest.raises(httpx.ReadTimeout):
            client.get("/event?event=e&actor=A", timeout=0.05)
    server.until_pending(0)


def test_the_terminal_shows_the_block_of_the_contract() -> None:
    """VM first, then CUST first, with real curl; character for character."""
    with running() as server:
        for first, second in [("VM", "CUST"), ("CUST", "VM")]:
            with curls(f"{server.url}/event?event=coin&actor={first}") as (one,):
                server.until_pending(1)
                with curls(f"{server.url}/event?event=coin&actor={second}") as (other,):
                    answers = {one.communicate()[0], other.communicate()[0]}
            (answer,) = answers
            assert json.loads(answer)["payloads"] == {first: "", second: ""}
        server.until_stdout(
            "┌─ VM:coin\n│┌ CUST:coin\n└└ CUST:coin VM:coin\n\n┌─ CUST:coin\n│┌ VM:coin\n└└ VM:coin CUST:coin\n\n"
        )


def test_the_json_log_and_no_log() -> None:
    with running("--log-format", "json") as server:
        server.client.get("/event?event=e&actor=A&mates=0")
        server.stop()
        assert [json.loads(line)["happening"] for line in server.stdout.splitlines()] == ["pending", "synced"]
    with running("--log-format", "none") as server:
        server.client.get("/event?event=e&actor=A&mates=0")
        server.stop()
        assert server.stdout == ""
