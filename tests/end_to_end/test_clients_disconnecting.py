"""G6 and G8 with real connections: clients that die, that do not read, that are slow, and thousands of clients."""

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tests.end_to_end.running import Server, curls, running

pytestmark = pytest.mark.anyio


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def test_g6_the_offer_of_a_killed_client_ends() -> None:
    with running() as server:
        with curls(f"{server.url}/event?event=coin&actor=VM") as (curl,):
            server.until_pending(1)
            curl.send_signal(signal.SIGKILL)
            server.until_pending(0)
        assert server.client.get("/event?event=coin&actor=CUST&timeout=0").status_code == 410
        server.until_stdout_matches(
            "┌─ VM:coin\n┴  VM:coin disconnected\n\n┌─ CUST:coin\n"
            r"┴  CUST:coin timed out after 0 s; gave up: VM \(disconnected [0-9.]+ s ago\)(; missing: 1)?\n\n"
        )


def test_g6_a_reset_connection_ends_its_offer(server: Server) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(get("/event?event=coin&actor=VM"))
    server.until_pending(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
    server.until_pending(0)


def test_g6_a_client_that_shuts_down_its_writing_side_has_disconnected(server: Server) -> None:
    """As `nc -N` does (docs/http.md). It looks the same as a client that ended, until something is sent to it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(get("/event?event=coin&actor=VM"))
        server.until_pending(1)
        connection.shutdown(socket.SHUT_WR)
        server.until_pending(0)
        assert connection.recv(100) == b"", "the connection is closed without an answer"


@pytest.mark.parametrize("more", [get("/healthz"), b"\r\n", b"x"], ids=["another-request", "line-end", "one-byte"])
@pytest.mark.parametrize("how", ["finished", "reset"])
def test_g6_a_lost_client_behind_unread_bytes_is_noticed(server: Server, more: bytes, how: str) -> None:
    """Granian does not notice these. The server finds them in the kernel's table of connections, some seconds later."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(get("/event?event=coin&actor=VM") + more)
    with socket.create_connection(("127.0.0.1", server.port)) as connected:
        connected.sendall(get("/event?event=tea&actor=T") + more)
        server.until_pending(2)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
        server.until_pending(1)
        assert list(server.stats()) == ["tea"], "the offer of a connected client stays pending"
        assert server.client.get("/event?event=tea&actor=U").status_code == 200


def test_g8_a_client_that_does_not_read_delays_no_other(server: Server) -> None:
    """The answers are larger than the socket buffers, and their clients read nothing; other pairs sync."""
    stuck = []
    payload = "x" * 250_000
    for number in range(8):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(get(f"/event?event=stuck-{number}&actor=SLOW"))
        stuck.append(connection)
    server.until_pending(8)
    for number in range(8):
        body = {"event": f"stuck-{number}", "actor": "FAST", "payload": payload}
        assert server.client.post("/event", json=body).json()["payloads"]["FAST"] == payload
    for number in range(50):
        assert server.client.get(f"/event?event=after-{number}&actor=A&mates=0").status_code == 200
    for connection in stuck:
        connection.close()


def test_g8_slow_and_unfinished_requests_delay_no_other(server: Server) -> None:
    unfinished = []
    for sent in (b"GET /event?ev", b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nevent=", b""):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(sent)
        unfinished.append(connection)
    for number in range(50):
        assert server.client.get(f"/event?event=after-{number}&actor=A&mates=0").status_code == 200
    for connection in unfinished:
        connection.close()


class RawRequest:
    """One request on a connection of its own, and the status line and body of its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def send(cls, server: Server, path: str) -> "RawRequest":
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get(path))
        return cls(reader, writer)

    async def answer(self) -> tuple[bytes, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self.reader.readexactly(int(length.split(b":")[1]))
        self.writer.close()
        return head.split(b"\r\n")[0], body


async def test_five_thousand_pending_requests_do_not_block_their_mates() -> None:
    """The limits of the server do not deadlock requests that wait for each other."""
    pairs = 5_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * pairs + 200
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"this test needs {needed} open files, the limit is {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
    with running("--log-format", "none") as server:

        async def send_all(actor: str) -> list[RawRequest]:
            opening = asyncio.Semaphore(200)  # bounds the connections that are being opened

            async def one(number: int) -> RawRequest:
                async with opening:
                    return await RawRequest.send(server, f"/event?event=pair-{number}&actor={actor}")

            return list(await asyncio.gather(*map(one, range(pairs))))

        waiting = await send_all("VM")
        await asyncio.to_thread(server.until_pending, pairs)
        mates = await send_all("CUST")
        answers = await asyncio.gather(*(each.answer() for each in (*waiting, *mates)))
        assert {status for status, _ in answers} == {b"HTTP/1.1 200 OK"}
        assert [body for _, body in answers[:pairs]] == [body for _, body in answers[pairs:]]
        assert len({body for _, body in answers}) == pairs
        assert server.pending() == 0


def test_a_full_server_refuses_offers_but_accepts_mates() -> None:
    with (
        running("--limit", "pending-offers-max=1") as server,
        curls(f"{server.url}/event?event=coin&actor=VM") as (curl,),
    ):
        server.until_pending(1)
        full = server.client.get("/event?event=tea&actor=X")
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert full.json()["detail"] == "1 offers are pending, which is the limit"
        assert server.client.get("/event?event=coin&actor=CUST").status_code == 200
        assert curl.communicate()[0]


def test_the_limit_on_open_files_bounds_the_pending_offers() -> None:
    def lower_limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))

    with running("--log-format", "none", preexec=lower_limit) as server:
        assert "the limit on open files (300) allows 44 pending offers, not 100000" in server.stderr
        urls = [f"{server.url}/event?event=wait-{number}&actor=A" for number in range(44)]
        with curls(*urls):
            server.until_pending(44)
            assert server.client.get("/event?event=wait-44&actor=A").status_code == 503
            for number in range(44):
                assert server.client.get(f"/event?event=wait-{number}&actor=B").status_code == 200


def test_a_low_soft_limit_is_raised_silently() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def lower_soft_limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

    with running("--limit", "pending-offers-max=1000", preexec=lower_soft_limit) as server:
        assert "open files" not in server.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_pending_requests_get_503(signum: int) -> None:
    """The exit status is 0, the terminal is left clean, and an unfinished request does not delay the end."""
    with running() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as waiting:
            waiting.sendall(get("/event?event=coin&actor=VM"))
            server.until_pending(1)
            with socket.create_connection(("127.0.0.1", server.port)) as unfinished:
                unfinished.sendall(b"GET /ev")
                assert server.stop(signum) == 0
            answer = waiting.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b'"detail":"the server is shutting down"' in answer
        assert server.stdout == "┌─ VM:coin\n"
        *_, last = server.stderr.splitlines()
        assert re.search(r"\b1\b.*\b503$", last), "it says how many requests got 503"


def test_an_unread_terminal_does_not_block_the_server() -> None:
    """Standard output is first a full pipe, then a closed one."""
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-m", "syncnet", "127.0.0.1:0"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        url = next(line for line in lines if b"serves on" in line).split()[-1].decode()
        with httpx.Client(base_url=url, timeout=30) as client:
            for number in range(2_000):  # two lines each of about 250 characters, far more than a pipe holds
                event = f"{'x' * 240}{number}"
                assert client.get("/event", params={"event": event, "actor": "A", "mates": 0}).status_code == 200
            os.close(reading)
            assert client.get("/event?event=e&actor=A&mates=0").status_code == 200
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
