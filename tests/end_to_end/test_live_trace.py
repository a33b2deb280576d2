"""`GET /trace` live, on real servers: a reader gets what happens at once, and a gap where it missed something."""

import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncnet.server.channel import KEPT_MAX
from tests.end_to_end.live import SSE, Reader
from tests.end_to_end.running import ANY_WORK, Server, curls, running, until
from tests.end_to_end.test_asgi import uvicorn
from tests.end_to_end.test_security import bearer, make_token

VENDING = [
    "pending coin VM",
    "pending coin CUST",
    "synced coin VM CUST",
    "pending choc VM",
    "pending choc CUST",
    "synced choc VM CUST",
]


@pytest.fixture
def quiet_server() -> Iterator[Server]:
    with running("--log-format", "none", *ANY_WORK) as server:
        yield server
        assert "Traceback" not in server.stderr


def meet(server: Server, *events: str, namespace: str = "default") -> None:
    """The vending machine and its customer, in this order."""
    for event in events:
        with curls(f"{server.url}/event?event={event}&actor=VM&namespace={namespace}") as (machine,):
            server.until_pending(1, namespace)
            query = {"event": event, "actor": "CUST", "namespace": namespace, "payload": "secret"}
            assert server.client.get("/event", params=query).status_code == 200
            machine.wait()


def alone(server: Server, *actors: str, **more: str) -> None:
    """Offers that sync at once: each makes two happenings."""
    for actor in actors:
        query = {"event": "solo", "actor": actor, "mates": "0", **more}
        assert server.client.get("/event", params=query).status_code == 200


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def resident_bytes(server: Server) -> int:
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+([0-9]+) kB", text)
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.parametrize(
    ("headers", "query"),
    [(SSE, {}), ({"accept": "application/jsonl"}, {}), ({}, {"output": "jsonl"}), ({}, {"output": "sse"})],
)
def test_the_vending_machine_appears_as_it_happens(quiet_server: Server, headers: dict[str, str], query: Any) -> None:
    with Reader(quiet_server.port, headers, **query) as reader:
        assert reader.status == 200
        if reader.is_sse:
            assert reader.block() == {"retry": "2000"}
        assert reader.words(1) == ["open 0"]
        numbers = []
        for event in ("coin", "choc"):
            meet(quiet_server, event)
            for _ in range(3):
                described = reader.next()
                assert "secret" not in str(described)
                numbers.append(int(reader.position.rpartition(".")[2]))
        assert numbers == [1, 2, 3, 4, 5, 6]
    with Reader(quiet_server.port, headers, after=reader.position.partition(".")[0] + ".0", **query) as again:
        assert again.words(6) == VENDING


def test_other_ends_of_offers_are_told_too(quiet_server: Server) -> None:
    server = quiet_server
    with Reader(server.port, output="jsonl") as reader:
        reader.next()
        assert server.client.get("/event?event=e&actor=A&timeout=10ms").status_code == 410
        assert reader.words(2) == ["pending e A", "timed-out e A"]
        with curls(f"{server.url}/event?event=e&actor=A&id=x"):
            assert reader.words(1) == ["pending e A"]
            server.client.delete("/event?id=x")
            assert reader.words(1) == ["withdrawn e A"]
        with curls(f"{server.url}/event?event=e&event=f&actor=A"):
            assert reader.words(1) == ["pending e|f A"]
            server.client.post("/abort", json={"actor": "A", "reason": "why not"})
            described = reader.next()
            assert (described["happening"], described["reason"]) == ("aborted", "why not")
        with curls(f"{server.url}/event?event=e&actor=A") as (curl,):
            assert reader.words(1) == ["pending e A"]
            curl.kill()
            assert reader.words(1) == ["disconnected e A"]


def test_a_new_reader_first_gets_what_is_pending(quiet_server: Server) -> None:
    server = quiet_server
    with curls(f"{server.url}/event?event=coin&actor=VM", f"{server.url}/event?event=x&actor=A&namespace=other"):
        server.until_pending(1)
        server.until_pending(1, "other")
        with Reader(server.port, SSE) as reader, Reader(server.port, SSE, namespace="*") as everything:
            assert reader.words(2) == ["open 1", "pending coin VM"]
            first, *others = everything.words(3)
            assert first == "open 2"
            assert sorted(others) == ["pending coin VM", "pending x A"]
            assert server.client.get("/event?event=coin&actor=CUST").status_code == 200
            assert reader.words(2) == ["pending coin CUST", "synced coin VM CUST"]
            assert everything.words(2) == ["pending coin CUST", "synced coin VM CUST"]


def test_a_cut_connection_loses_nothing(quiet_server: Server) -> None:
    with Reader(quiet_server.port, SSE) as reader:
        reader.next()
        meet(quiet_server, "coin")
        assert reader.words(2) == VENDING[:2]
    meet(quiet_server, "choc")
    with Reader(quiet_server.port, SSE | {"last-event-id": reader.position}) as reader:
        assert reader.words(4) == VENDING[2:]
        alone(quiet_server, "A")
        assert reader.words(2) == ["pending solo A", "synced solo A"]


def test_last_event_id_is_newer_than_the_url(quiet_server: Server) -> None:
    """A browser repeats the URL as it was, and says in the header what it got."""
    with Reader(quiet_server.port, SSE) as reader:
        reader.next()
        meet(quiet_server, "coin")
        start = reader.position
        reader.take(2)
    with Reader(quiet_server.port, SSE | {"last-event-id": reader.position}, after=start) as reader:
        assert reader.words(1) == [VENDING[2]]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("has_journal", [False, True])
def test_after_a_restart_the_gap_is_unknown_and_the_stream_goes_on(
    tmp_path: Path, signum: int, has_journal: bool
) -> None:
    options = ("--log-format", "none", *(("--journal", str(tmp_path / "journal")) if has_journal else ()))
    with running(*options) as server, Reader(server.port, SSE) as reader:
        reader.next()
        offer = f"{server.url}/event?event=coin&actor=VM&id=vm&linger=5m"
        with curls(offer):
            assert reader.words(1) == ["pending coin VM"]
            server.stop(signum)
        if signum == signal.SIGTERM:
            assert reader.body() == b""  # a whole end, nothing half
    with (
        running(*options, address=f"127.0.0.1:{server.port}") as server,
        Reader(server.port, SSE | {"last-event-id": reader.position}) as reader,
    ):
        if has_journal:
            assert reader.words(3) == ["gap None", "open 1", "pending coin VM"]
            assert server.client.get("/event?event=coin&actor=CUST").status_code == 200
            assert reader.words(2) == VENDING[1:3]
        else:
            assert reader.words(2) == ["gap None", "open 0"]
            meet(server, "coin")
            assert reader.words(3) == VENDING[:3]


def test_a_token_shows_the_namespaces_that_it_is_for(tmp_path: Path) -> None:
    one, entry = make_token("one", "--role", "observe", "--namespace", "ci-1")
    everything, entry_of_everything = make_token("everything", "--role", "observe")
    root, entry_of_root = make_token("root", "--role", "admin", "--namespace", "ci-*", "--namespace", "default")
    maker, entry_of_maker = make_token("maker")
    file = tmp_path / "tokens.yaml"
    file.write_text(entry + entry_of_everything + entry_of_root + entry_of_maker)
    options = ("--log-format", "none", "--token-file", str(file))
    with running(*options, client={"headers": bearer(maker)}) as server:
        for secret, namespace, status in (
            ("", "ci-1", 401),
            ("wrong", "ci-1", 401),
            (maker, "ci-1", 403),
            (one, "default", 403),
            (one, "ci-2", 403),
            (one, "*", 403),
            (root, "*", 403),
        ):
            headers = SSE | (bearer(secret) if secret else {})
            with Reader(server.port, headers, namespace=namespace) as refused:
                assert refused.status == status, (secret, namespace)
        with (
            Reader(server.port, SSE | bearer(one), namespace="ci-1") as reader,
            Reader(server.port, SSE | bearer(everything), namespace="*") as all_reader,
        ):
            assert reader.words(1) == all_reader.words(1) == ["open 0"]
            for number, namespace in enumerate(("ci-2", "ci-1", "default", "ci-1")):
                alone(server, f"A{number}", namespace=namespace)
            assert reader.words(4) == ["pending solo A1", "synced solo A1", "pending solo A3", "synced solo A3"]
            assert [each["namespace"] for each in all_reader.take(8)][::2] == ["ci-2", "ci-1", "default", "ci-1"]


def test_fifty_readers_see_the_same(quiet_server: Server) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(Reader(quiet_server.port, SSE)) for _ in range(50)]
        opened = [reader.words(1) for reader in readers]
        assert opened == [["open 0"]] * 50
        meet(quiet_server, "coin", "choc")
        assert [reader.words(6) for reader in readers] == [VENDING] * 50
        assert len({reader.position for reader in readers}) == 1


def test_head_and_plain_pages(quiet_server: Server) -> None:
    meet(quiet_server, "coin")
    client = quiet_server.client
    head = client.head("/trace", headers=SSE)
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream")
    for accept in ("*/*", "application/json", "text/event-stream;q=0.5, application/json"):
        page = client.get("/trace", headers={"accept": accept})
        assert [sync["sync"] for sync in page.json()["syncs"]] == [1], accept
    assert client.get("/trace?output=json", headers=SSE).json()["namespace"] == "default"


@pytest.mark.parametrize(
    ("headers", "query", "parameter", "detail"),
    [
        ({"last-event-id": "17"}, "", "Last-Event-ID", 'expected a position such as 3f9a0c12.1042, got "17"'),
        (
            {"last-event-id": "nonsense.1"},
            "",
            "Last-Event-ID",
            'expected a position such as 3f9a0c12.1042, got "nonsense.1"',
        ),
        ({}, "after=17", "after", 'expected a position such as 3f9a0c12.1042, got "17"'),
        ({}, "limit=5", "limit", "expected none with a stream, got one"),
        ({}, "output=yaml", "output", 'expected json or sse or jsonl, got "yaml"'),
        ({}, "output=sse&output=sse", "output", "expected once, got it 2 times"),
        ({}, "namespace=a&namespace=b", "namespace", "expected once, got it 2 times"),
        ({}, "nmespace=a", "nmespace", 'unknown parameter; did you mean "namespace"?'),
        ({}, "namespace=a*", "namespace", "expected"),
    ],
)
def test_bad_requests_are_told_why(
    server: Server, headers: dict[str, str], query: str, parameter: str, detail: str
) -> None:
    problem = server.client.get(f"/trace?{query}", headers=SSE | headers)
    assert problem.status_code == 400
    assert problem.json()["parameter"] == parameter
    assert problem.json()["detail"].startswith(f"{parameter}: {detail}")


def test_a_reader_that_disconnects_is_freed(quiet_server: Server) -> None:
    with Reader(quiet_server.port, SSE) as reader:  # it opens what the server keeps, such as its threads
        reader.next()
    alone(quiet_server, "A")
    before = descriptors(quiet_server)
    readers = [Reader(quiet_server.port, SSE) for _ in range(30)]
    for reader in readers:
        reader.next()
    assert descriptors(quiet_server) >= before + 60  # a connection, and the duplicate that shows its send queue
    for reader in readers:
        reader.close()
    until(
        lambda: descriptors(quiet_server) <= before + 1, lambda: f"{descriptors(quiet_server)} files, before {before}"
    )


def test_the_server_ends_at_once_with_a_reader_and_its_stream_ends_whole() -> None:
    with running("--log-format", "none") as server, Reader(server.port, SSE) as reader:
        reader.next()
        meet(server, "coin")
        ended: list[bytes] = []
        reading = threading.Thread(target=lambda: ended.append(reader.body()))
        reading.start()
        assert server.client.get("/readyz").status_code == 200
        assert server.stop() == 0
        reading.join()
        assert ended[0].count(b"\n\n") == 3
        assert ended[0].endswith(b"}\n\n")
        assert server.stderr.count("\n") == 1  # that it serves; no client waited


def solo_requests(requests: int, labels: str) -> bytes:
    head = "Host: localhost\r\n\r\n"
    return b"".join(
        f"GET /event?event=solo&actor=A{number}&mates=0&labels={labels} HTTP/1.1\r\n{head}".encode()
        for number in range(requests)
    )


def flood(server: Server, requests: int, labels: str) -> None:
    """Make that many offers which sync at once, on one connection, without waiting for each answer."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        sending = threading.Thread(target=connection.sendall, args=(solo_requests(requests, labels),))
        sending.start()
        answers, seen = 0, b""
        while answers < requests:
            seen = seen[-20:] + connection.recv(1 << 20)
            answers += seen.count(b"HTTP/1.1 200 OK")
            seen = seen.rpartition(b"HTTP/1.1 200 OK")[2]
        sending.join()


def test_g8_a_reader_that_never_reads_costs_little_and_is_told_what_it_missed() -> None:
    labels = ",".join(f"k{number}={'v' * 60}" for number in range(30))
    requests = 2 * KEPT_MAX
    with (
        running("--log-format", "none", "--trace-keep", "1", *ANY_WORK) as server,
        Reader(server.port, SSE, receive_bytes=4_096) as lazy,
        Reader(server.port, SSE, receive_bytes=4_096) as lines,
    ):
        assert lazy.words(1) == ["open 0"]
        flood(server, 1_000, labels)
        before = resident_bytes(server)
        flood(server, requests, labels)
        told_bytes = requests * 2_000
        assert resident_bytes(server) - before < told_bytes / 4, "the server keeps what was not read"

        happenings = 2 * (requests + 1_000)
        received = missed = 0
        gaps = 0
        while received + missed < happenings:
            described = lazy.next()
            if described["happening"] == "gap":
                gaps += 1
                missed += described["missed"]
            else:
                received += 1
            assert int(lazy.position.rpartition(".")[2]) == received + missed
        assert gaps >= 1
        assert missed > happenings / 2
        lines.close()
        alone(server, "B")
        assert lazy.words(2) == ["pending solo B", "synced solo B"]


def test_a_reader_of_a_flood_gets_each_number_once() -> None:
    requests = KEPT_MAX
    with (
        running("--log-format", "none", "--trace-keep", "1", *ANY_WORK) as server,
        Reader(server.port, SSE) as reader,
    ):
        assert reader.words(1) == ["open 0"]
        flooding = threading.Thread(target=flood, args=(server, requests, ""))
        flooding.start()
        number = 0
        while number < 2 * requests:
            number += reader.next().get("missed", 1)
            assert int(reader.position.rpartition(".")[2]) == number
        flooding.join()
        alone(server, "B")
        assert reader.words(2) == ["pending solo B", "synced solo B"]


# --- ASGI ------------------------------------------------------------------------------------------------------


def test_the_same_over_asgi() -> None:
    with uvicorn("app") as client:
        port = client.base_url.port
        assert port is not None
        with Reader(port, SSE, "/sync/trace") as reader:
            assert reader.words(1) == ["open 0"]
            solo(client, "A")
            assert reader.words(2) == ["pending solo A", "synced solo A"]
        solo(client, "B")
        with Reader(port, SSE | {"last-event-id": reader.position}, "/sync/trace") as reader:
            assert reader.words(2) == ["pending solo B", "synced solo B"]
        assert client.head("/sync/trace", headers=SSE).headers["content-type"] == "text/event-stream"


def solo(client: httpx.Client, actor: str) -> Any:
    return client.get(f"/sync/event?event=solo&actor={actor}&mates=0").raise_for_status()
