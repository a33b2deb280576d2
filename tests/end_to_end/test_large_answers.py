"""G8: the large answer of a sync is kept once, however many members read it slowly."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.end_to_end.running import Server, running, until

MEMBERS = 16
PAYLOAD_BYTES = 120_000
ANSWER_BYTES_MIN = 2 * MEMBERS * PAYLOAD_BYTES  # every payload is in it twice
BUFFER_BYTES = 4_096


@pytest.fixture
def server() -> Iterator[Server]:
    with running("--log-format", "none") as server:
        yield server


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+([0-9]+) kB", status)
    assert match is not None
    return int(match[1]) * 1_024


def offer(server: Server, stack: ExitStack, actor: str, event: str = "large") -> socket.socket:
    """Make an offer on a connection with small buffers, and read nothing."""
    body = json.dumps({"event": event, "actor": actor, "mates": MEMBERS - 1, "payload": actor * PAYLOAD_BYTES}).encode()
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    head = f"POST /event HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    connection.sendall(head.encode() + b"\r\n\r\n" + body)
    return connection


def answer_of(connection: socket.socket) -> tuple[dict[str, str], bytes]:
    with connection.makefile("rb") as file:
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        headers = {}
        while (line := file.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        return headers, file.read(int(headers["content-length"]))


def test_g8_members_that_read_slowly_share_one_answer(server: Server) -> None:
    actors = "ABCDEFGHIJKLMNOP"
    with ExitStack() as stack:
        connections = [offer(server, stack, actor) for actor in actors[:-1]]
        server.until_pending(MEMBERS - 1)
        before = resident_bytes(server)
        connections.append(offer(server, stack, actors[-1]))
        server.until_pending(0)
        for connection in connections:
            assert connection.recv(1, socket.MSG_PEEK) == b"H", "all answers have begun"
        assert resident_bytes(server) - before < 4 * ANSWER_BYTES_MIN, "not one copy for each member"
        bodies = set()
        for rank, connection in enumerate(connections):
            headers, body = answer_of(connection)
            assert headers["content-type"] == "application/json"
            assert headers["syncnet-rank"] == str(rank)
            assert json.loads(body)["members"][rank]["id"] == headers["syncnet-id"]
            bodies.add(body)
        assert len(bodies) == 1
        (body,) = bodies
        assert len(body) > ANSWER_BYTES_MIN
        assert list(json.loads(body)["payloads"].values()) == [actor * PAYLOAD_BYTES for actor in actors]


def test_the_connection_goes_on_after_a_large_answer(server: Server) -> None:
    with ExitStack() as stack:
        connections = [offer(server, stack, actor) for actor in "ABCDEFGHIJKLMNOP"]
        for connection in connections:
            answer_of(connection)
            connection.sendall(b"GET /event?event=solo&actor=A&mates=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert json.loads(answer_of(connection)[1])["event"] == "solo"


def test_the_files_of_large_answers_are_closed(server: Server) -> None:
    descriptors = Path(f"/proc/{server.process.pid}/fd")

    def files() -> int:
        total = 0
        for each in descriptors.iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                total += "memfd" in str(each.readlink())
        return total

    with ExitStack() as stack:
        connections = [offer(server, stack, actor) for actor in "ABCDEFGHIJKLMNOP"]
        for connection in connections:
            answer_of(connection)
        assert files() > 0
    until(lambda: files() == 0, lambda: f"{files()} files are open")
