"""Clients of different nodes meet, and every node knows all that happens."""

import asyncio
import json
from concurrent.futures import Future

import httpx

from syncnet import AsyncClient, Sync
from tests.cluster.cluster import Cluster, code_of
from tests.end_to_end.running import curls, until


def results(*asked: Future[httpx.Response]) -> list[httpx.Response]:
    """Return the answers, which must be the same sync."""
    answers = [each.result() for each in asked]
    assert [each.status_code for each in answers] == [200] * len(answers), [each.text for each in answers]
    assert len({each.content for each in answers}) == 1
    return answers


def test_curl_at_one_node_meets_a_client_at_another(cluster: Cluster, namespace: str) -> None:
    async def customer() -> Sync:
        async with AsyncClient(cluster.urls[1]) as net:
            return await net.sync("coin", actor="CUST", timeout="20s", namespace=namespace)

    with curls(f"{cluster.urls[0]}/event?event=coin&actor=VM&payload=choc&timeout=20s&namespace={namespace}") as (
        curl,
    ):
        sync = asyncio.run(customer())
        document = json.loads(curl.communicate()[0])
    assert document["payloads"] == sync.payloads == {"VM": "choc", "CUST": ""}
    assert document["sync"] == sync.number == 1


def test_g7_all_members_get_the_same_bytes_and_their_ranks(cluster: Cluster, namespace: str) -> None:
    asked = []
    for number, actor in enumerate("ABC"):
        asked.append(cluster.ask(number, "three", actor, namespace, mates=2, timeout="20s"))
        cluster.until_pending((number + 1) % 3, namespace, 2)
    answers = results(*asked)
    assert [each.headers["syncnet-rank"] for each in answers] == ["0", "1", "2"]
    assert [member["id"] for member in answers[0].json()["members"]] == [each.headers["syncnet-id"] for each in answers]


def test_choices_rosters_and_selectors(cluster: Cluster, namespace: str) -> None:
    choice = cluster.ask(0, "coin", "A", f"{namespace}-1", timeout="20s")
    cluster.until_pending(1, f"{namespace}-1", 1)
    other = cluster.get(1, "/event", event=["note", "coin"], actor="B", namespace=f"{namespace}-1")
    assert choice.result().content == other.content
    assert other.json()["event"] == "coin"

    roster = [
        cluster.ask(number, "start", actor, f"{namespace}-2", expect="A,B,C", timeout="20s")
        for number, actor in enumerate("ABC")
    ]
    stranger = cluster.ask(0, "start", "D", f"{namespace}-2", timeout="500ms")
    results(*roster)
    assert code_of(stranger.result()) == "timed-out"

    red = cluster.ask(0, "x", "R", f"{namespace}-3", labels="colour=red", selector="colour=blue", timeout="20s")
    cluster.until_pending(1, f"{namespace}-3", 1)
    green = cluster.ask(1, "x", "G", f"{namespace}-3", labels="colour=green", timeout="500ms")
    assert code_of(green.result()) == "timed-out"
    results(red, cluster.ask(2, "x", "B", f"{namespace}-3", labels="colour=blue", timeout="20s"))


def test_g5_the_longest_waiting_offer_is_served_first(cluster: Cluster, namespace: str) -> None:
    waiting = []
    for number in range(6):
        waiting.append(cluster.ask(number % 3, "job", f"W{number}", namespace, timeout="20s", selector="role=boss"))
        cluster.until_pending(number + 1, namespace, 0)
    for number in range(6):
        boss = cluster.get((number + 1) % 3, "/event", event="job", actor="X", labels="role=boss", namespace=namespace)
        assert boss.json()["members"][0]["actor"] == f"W{number}"
        assert waiting[number].result().content == boss.content


def test_a_timeout_says_who_was_at_other_nodes(cluster: Cluster, namespace: str) -> None:
    gone = cluster.get(0, "/event", event="three", actor="GONE", mates=2, namespace=namespace, timeout="100ms")
    here = cluster.ask(1, "three", "HERE", namespace, mates=2, timeout="20s")
    cluster.until_pending(1, namespace, 2)
    late = cluster.get(2, "/event", event="three", actor="LATE", mates=2, namespace=namespace, timeout="100ms")
    assert (code_of(gone), code_of(late)) == ("timed-out", "timed-out")
    assert late.json()["present"] == ["HERE"]
    assert [each["actor"] for each in late.json()["gave_up"]] == ["GONE"]
    results(here, *(cluster.ask(0, "three", actor, namespace, mates=2) for actor in "AB"))


def test_withdraw_and_abort_at_another_node(cluster: Cluster, namespace: str) -> None:
    withdrawn = cluster.ask(0, "x", "A", namespace, id="mine")
    cluster.until_pending(1, namespace, 1)
    response = cluster.http.delete(f"{cluster.urls[1]}/event", params={"id": "mine", "namespace": namespace})
    assert response.status_code == 204, response.text
    assert code_of(withdrawn.result()) == "withdrawn"
    assert (
        cluster.http.delete(f"{cluster.urls[2]}/event", params={"id": "no", "namespace": namespace}).status_code == 404
    )

    aborted = [cluster.ask(number, "y", "A", namespace) for number in range(2)]
    cluster.until_pending(2, namespace, 2)
    body = {"event": "y", "reason": "enough", "by": "boss", "namespace": namespace}
    assert cluster.http.post(f"{cluster.urls[2]}/abort", json=body).json() == {"aborted": 2}
    for each in aborted:
        assert (code_of(each.result()), each.result().json()["by"]) == ("aborted", "boss")


def test_g7_asking_again_at_another_node(cluster: Cluster, namespace: str) -> None:
    first = cluster.ask(0, "x", "A", namespace, id="mine")
    cluster.until_pending(1, namespace, 1)
    second = cluster.ask(1, "x", "A", namespace, id="mine")
    assert (first.result().status_code, code_of(first.result())) == (409, "replaced")
    mate = cluster.get(2, "/event", event="x", actor="B", namespace=namespace)
    assert second.result().content == mate.content
    for number in range(3):
        again = cluster.get(number, "/event", event="x", actor="A", namespace=namespace, id="mine")
        assert (again.content, again.headers["syncnet-rank"]) == (mate.content, "0")
    other = cluster.get(0, "/event", event="y", actor="A", namespace=namespace, id="mine")
    assert (other.status_code, code_of(other)) == (409, "id-reused")

    timed_out = cluster.get(0, "/event", event="x", actor="T", namespace=namespace, id="t", timeout="50ms")
    again = cluster.get(1, "/event", event="x", actor="T", namespace=namespace, id="t", timeout="50ms")
    assert (code_of(timed_out), again.content) == ("timed-out", timed_out.content)


def test_a_timeout_continues_at_the_node_where_the_client_asks_again(cluster: Cluster, namespace: str) -> None:
    cluster.ask(0, "x", "A", namespace, id="mine", timeout="1s")
    cluster.until_pending(1, namespace, 1)
    second = cluster.get(1, "/event", event="x", actor="A", namespace=namespace, id="mine", timeout="1s")
    assert code_of(second) == "timed-out"
    cluster.until_pending(0, namespace)


def test_every_node_reports_all_that_is_pending_and_has_happened(cluster: Cluster, namespace: str) -> None:
    cluster.pair(namespace)
    lonely = cluster.ask(2, "lonely", "L", namespace, timeout="20s")
    cluster.until_pending(1, namespace)
    for number in range(3):
        assert list(cluster.get(number, "/stats", namespace=namespace).json()) == ["lonely"]
        assert [sync["sync"] for sync in cluster.get(number, "/trace", namespace=namespace).json()["syncs"]] == [1]
        assert "L" in cluster.get(number, "/explain", namespace=namespace).text
    results(lonely, cluster.ask(0, "lonely", "M", namespace))
    assert "syncnet_offers_pending " in cluster.get(0, "/metrics").text


def test_the_live_trace_of_a_node_shows_what_happens_at_others(cluster: Cluster, namespace: str) -> None:
    seen: list[str] = []
    url = f"{cluster.urls[2]}/trace?output=jsonl&namespace={namespace}"
    with httpx.stream("GET", url, timeout=60) as stream:
        lines = stream.iter_lines()
        seen.append(next(lines))
        cluster.pair(namespace)
        while "synced" not in seen[-1]:
            seen.append(next(lines))
    happenings = [json.loads(line)["happening"] for line in seen]
    assert happenings == ["open", "pending", "pending", "synced"]


def test_a_namespace_is_given_up_and_taken_up_again(cluster: Cluster, namespace: str) -> None:
    """The other nodes did not take part while this one synced twice."""
    cluster.pair(namespace, 0, 0)
    cluster.pair(namespace, 0, 0)
    until(lambda: cluster.pending(1, namespace) == 0, lambda: "node 1 does not load the namespace")
    assert [sync["sync"] for sync in cluster.get(1, "/trace", namespace=namespace).json()["syncs"]] == [1, 2]
