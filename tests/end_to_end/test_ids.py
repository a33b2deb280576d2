"""Ids, lingers, withdrawals, aborts, the trace and graceful shutdown, over HTTP."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from syncnet import AbortedError, Client, WithdrawnError
from syncnet.cli.exit_statuses import ExitStatus
from tests.end_to_end.running import Server, curls, running, until


@pytest.fixture
def own() -> Iterator[Server]:
    """A new server for this test."""
    with running() as server:
        yield server


def request(server: Server, target: str, pending: int = 1) -> socket.socket:
    """Send a request and wait until `pending` offers are pending; return the connection of the request."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    server.until_pending(pending)
    return connection


def response(connection: socket.socket) -> tuple[int, bytes]:
    """Read a response to the end; return its status and body."""
    with connection, connection.makefile("rb") as file:
        whole = file.read()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_g7_a_repeated_request_with_the_same_id_gets_the_same_outcome(own: Server) -> None:
    vm = "/event?event=coin&actor=VM&id=vm/1"
    first = request(own, vm)
    second = request(own, vm)
    status, body = response(first)
    assert status == 409
    assert b"urn:syncnet:problem:replaced" in body
    assert own.pending() == 1
    cust = own.client.get("/event?event=coin&actor=CUST&id=cust/1")
    assert response(second) == (200, cust.content)
    repeated = own.client.get(vm)
    assert repeated.content == cust.content
    assert (repeated.headers["syncnet-id"], repeated.headers["syncnet-rank"]) == ("vm/1", "0")
    post = own.client.post("/event", json={"event": "coin", "actor": "VM", "id": "vm/1"})
    assert post.content == cust.content
    other = own.client.get(f"{vm}&mates=2")
    assert other.status_code == 409
    assert other.json()["type"] == "urn:syncnet:problem:id-reused"
    assert own.client.get(f"{vm}&namespace=other&timeout=0").status_code == 410


def test_every_outcome_names_its_offer(own: Server) -> None:
    """So that a client can check that an answer is that to its own request."""
    for number, (status, target) in enumerate(
        (
            (200, "/event?event=coin&actor=VM&mates=0&id=known"),
            (409, "/event?event=coin&actor=VM&mates=1&id=known"),
            (410, "/event?event=coin&actor=VM&timeout=0&id=other"),
            (410, "/event?event=coin&actor=VM&timeout=0"),
        )
    ):
        answer = own.client.get(target)
        assert answer.status_code == status
        assert answer.headers["syncnet-id"] == ("known", "known", "other", answer.headers["syncnet-id"])[number]
    assert "syncnet-id" not in own.client.get("/event?event=coin&actor=-&id=known").headers
    with Client(own.url) as net:
        ended = [net.send("tea", actor="A", id=f"a-{number}") for number in range(2)]
        own.until_pending(2)
        assert own.client.delete("/event?id=a-0").status_code == 204
        assert own.client.post("/abort", json={"event": "tea", "reason": "over"}).json() == {"aborted": 1}
        for offer, error in zip(ended, (WithdrawnError, AbortedError), strict=True):
            with pytest.raises(error):  # the client checks the header
                offer.result(60)


def test_g7_a_repeated_request_gets_the_same_timeout_again(own: Server) -> None:
    vm = "/event?event=coin&actor=VM&id=vm&timeout=0"
    first = own.client.get(vm)
    assert first.status_code == 410
    assert own.client.get(vm).content == first.content
    assert own.client.get("/event?event=coin&actor=CUST&timeout=0").json()["present"] == []


def test_an_offer_stays_pending_for_its_linger_after_its_connection_is_lost(own: Server) -> None:
    """A client with an id can resume its offer; an offer with a linger of 0 is withdrawn at once (G6)."""
    request(own, "/event?event=coin&actor=VM&id=vm").close()
    request(own, "/event?event=tea&actor=T&id=t&linger=0", pending=2).close()
    own.until_pending(1)
    assert list(own.stats()) == ["coin"]
    resumed = request(own, "/event?event=coin&actor=VM&id=vm")
    assert own.client.get("/event?event=coin&actor=CUST").status_code == 200
    assert response(resumed)[0] == 200
    request(own, "/event?event=late&actor=L&id=l&linger=50ms").close()
    own.until_pending(0)


def test_a_delete_withdraws_the_offer(own: Server) -> None:
    vm = request(own, "/event?event=coin&actor=VM&id=vm")
    deleted = own.client.delete("/event?id=vm")
    assert (deleted.status_code, deleted.content) == (204, b"")
    status, body = response(vm)
    assert status == 410
    assert b"the offer was withdrawn" in body
    assert own.client.delete("/event?id=vm").status_code == 204
    late = own.client.get("/event?event=coin&actor=VM&id=vm")
    assert (late.status_code, late.json()["type"]) == (410, "urn:syncnet:problem:withdrawn")
    unknown = own.client.delete("/event?id=nobody")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:syncnet:problem:unknown-id")
    assert own.client.get("/event?event=solo&actor=S&mates=0&id=s").status_code == 200
    over = own.client.delete("/event?id=s")
    assert (over.status_code, over.json()["type"]) == (409, "urn:syncnet:problem:already-over")
    missing = own.client.delete("/event")
    assert (missing.status_code, missing.json()["parameter"]) == (400, "id")
    assert own.client.delete("/event?id=x&actor=Y").json()["parameter"] == "actor"


def test_an_abort_ends_all_offers_of_an_event_with_its_reason(own: Server) -> None:
    target = "/event?event=coin&mates=5&actor="
    with curls(*(f"{own.url}{target}{actor}" for actor in "ABC")) as processes:
        own.until_pending(3)
        refused = own.client.post("/abort", data={"event": "coin"})
        assert (refused.status_code, refused.json()["parameter"]) == (400, "reason")
        both = own.client.post("/abort", json={"event": "coin", "actor": "A", "reason": "x"})
        assert (both.status_code, both.json()["parameter"]) == (400, "actor")
        ended = own.client.post("/abort?by=ops", json={"event": "coin", "reason": "the machine is broken"})
        assert (ended.status_code, ended.json()) == (200, {"aborted": 3})
        for process in processes:
            problem = httpx.Response(410, content=process.communicate()[0]).json()
            assert problem["detail"] == "the offer was aborted by ops: the machine is broken"
            assert (problem["by"], problem["reason"], problem["status"]) == ("ops", "the machine is broken", 410)
    until(lambda: own.stdout.count("aborted by ops: the machine is broken") == 3, lambda: own.stdout)
    assert own.client.post("/abort", json={"actor": "A", "reason": "x"}).json() == {"aborted": 0}


def test_the_trace_lists_the_syncs(own: Server) -> None:
    for number in range(3):
        own.client.get(f"/event?event=e{number}&actor=A&mates=0&payload=secret")
    trace = own.client.get("/trace").json()
    assert [(each["sync"], each["event"]) for each in trace["syncs"]] == [(1, "e0"), (2, "e1"), (3, "e2")]
    (member,) = trace["syncs"][0]["members"]
    assert (member["actor"], member["labels"], member["payload_bytes"]) == ("A", {"actor": "A"}, 8)
    assert [each["sync"] for each in own.client.get("/trace?after=1&limit=1").json()["syncs"]] == [2]
    assert own.client.get("/trace?namespace=other").json() == {"namespace": "other", "syncs": []}
    assert own.client.get("/trace?limit=0").json()["parameter"] == "limit"


def test_during_the_drain_readyz_is_503_and_pending_offers_stay() -> None:
    with running("--drain", "600s") as server:
        assert server.client.get("/readyz").status_code == 200
        vm = request(server, "/event?event=coin&actor=VM")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.client.get("/readyz").status_code == 503, lambda: "still ready")
        assert server.client.get("/healthz").status_code == 200
        new = server.client.get("/event?event=coin&actor=CUST")
        assert (new.status_code, new.headers["retry-after"]) == (503, "1")
        assert server.client.post("/abort", json={"event": "coin", "reason": "x"}).status_code == 503
        assert server.pending() == 1
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == -signal.SIGTERM
        vm.close()


def test_g6_an_offer_withdrawn_during_the_drain_stays_withdrawn_after_a_restart(tmp_path: Path) -> None:
    journal = f"--journal={tmp_path}"
    with running("--drain", "600s", journal) as server:
        vm = request(server, "/event?event=coin&actor=VM&id=vm")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.client.get("/readyz").status_code == 503, lambda: "still ready")
        assert server.client.delete("/event?id=vm").status_code == 204
        assert response(vm)[0] == 410
        server.process.send_signal(signal.SIGTERM)
    with running(journal) as server:
        assert server.client.get("/event?event=coin&actor=CUST&timeout=0").status_code == 410


def test_after_the_drain_pending_requests_get_503() -> None:
    with running("--drain", "50ms") as server:
        vm = request(server, "/event?event=coin&actor=VM")
        assert server.stop() == 0
        status, body = response(vm)
        assert status == 503
        assert b"the server is shutting down" in body


def test_g9_a_journal_keeps_offers_with_ids_when_the_server_is_killed(tmp_path: object) -> None:
    options = ("--journal", f"{tmp_path}/journal")
    with running(*options) as server:
        done = server.client.get("/event?event=solo&actor=S&mates=0&id=s").content
        kept = request(server, "/event?event=coin&actor=VM&id=vm")
        lost = request(server, "/event?event=tea&actor=X", pending=2)
        server.process.kill()
        server.process.wait()
        kept.close()
        lost.close()
    with running(*options) as server:
        server.until_pending(1)
        assert server.client.get("/event?event=solo&actor=S&mates=0&id=s").content == done
        cust = server.client.get("/event?event=coin&actor=CUST").json()
        assert cust["sync"] == 2
        assert [member["actor"] for member in cust["members"]] == ["VM", "CUST"]
        assert server.client.get("/event?event=coin&actor=VM&id=vm").json() == cust
        assert [each["sync"] for each in server.client.get("/trace").json()["syncs"]] == [1, 2]


def test_g9_a_server_does_not_start_without_syncs_that_clients_know_of(tmp_path: Path) -> None:
    """The write-ahead log is lost after a kill; with the note deleted the server starts without these syncs."""
    folder = tmp_path / "journal"
    with running("--journal", str(folder)) as server:
        vm = request(server, "/event?event=coin&actor=VM&id=vm")
        assert server.client.get("/event?event=coin&actor=CUST&id=cust").json()["sync"] == 1
        assert response(vm)[0] == 200
        server.process.kill()
        server.process.wait()
    (folder / "journal.sqlite-wal").unlink()
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--journal", str(folder)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == ExitStatus.FAILED
    assert f"the journal {folder}/journal.sqlite does not have the commits that" in refused.stderr
    assert "expected the commands up to 2, got those up to 0" in refused.stderr
    (folder / "journal.last-commit").unlink()
    with running("--journal", str(folder)) as server:
        assert "it is unknown whether the journal has lost commits" in server.stderr
        assert server.client.get("/trace").json()["syncs"] == []
