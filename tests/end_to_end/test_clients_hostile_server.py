"""Clients behind a proxy, or with a server, that mixes up answers or sends what is not one.

The client must never take the answer to another request for its own, and never raise anything but a `SyncnetError`.
"""

import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from syncnet import AsyncClient, Client, Sync, TimedOutError, UnavailableError, WithdrawnError
from tests.end_to_end.running import Server, in_threads, until

PATIENCE_S = 60
STALE = b'{"stale": {}}'

Script = Callable[[int, bytes], bytes]
"""Returns the answer to a request, given its number (0, 1, 2 …) and its bytes; an empty one closes the connection."""


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class FakeServer:
    """Answers requests by a script. `requests` are the numbers of requests on its connections, in order."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self.requests: list[int] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                self.requests.append(0)
                self._threads.append(threading.Thread(target=self._serve, args=(len(self.requests) - 1,)))
                self._threads[-1].start()

    def _serve(self, at: int) -> None:
        connection = self.connections[at]
        with connection, connection.makefile("rb") as file, contextlib.suppress(OSError):
            while head := file.readline():
                length = 0
                while (line := file.readline()) not in (b"\r\n", b""):
                    head += line
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                request = head + b"\r\n" + file.read(length)
                number = sum(self.requests)
                self.requests[at] += 1
                reply = self._script(number, request)
                if not reply:
                    return
                connection.sendall(reply)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(PATIENCE_S)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)


@contextlib.contextmanager
def fake_server(script: Script) -> Iterator[FakeServer]:
    server = FakeServer(script)
    try:
        yield server
    finally:
        server.close()


def sent_on(server: Server, request: bytes) -> bytes:
    """Send a request on to a real server; return its answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length:" in line)
        while len(body) < length:
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body


def sync_with_threads(url: str, **options: Any) -> Sync:
    with Client(url) as net:
        return net.sync("alone", actor="MINE", mates=0, **options)


def sync_with_tasks(url: str, **options: Any) -> Sync:
    async def sync() -> Sync:
        async with AsyncClient(url) as net:
            return await net.sync("alone", actor="MINE", mates=0, **options)

    return asyncio.run(sync())


BOTH = pytest.mark.parametrize("sync", [sync_with_threads, sync_with_tasks])

OTHERS = {
    "synced": "/event?event=alone&actor=OTHER&mates=0&id=other",
    "timed-out": "/event?event=alone&actor=OTHER&timeout=0&id=other-timeout",
    "id-reused": "/event?event=alone&actor=OTHER&mates=0&timeout=1&id=other",
}


def mixing_up(server: Server, target: str, turns: int = 2) -> Script:
    """Return a script that gives the answer of another offer to the first requests."""
    other = sent_on(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return lambda number, request: other if number < turns else sent_on(server, request)


@BOTH
@pytest.mark.parametrize("other", OTHERS)
def test_the_answer_to_another_offer_is_not_believed(server: Server, other: str, sync: Callable[[str], Sync]) -> None:
    """The client ends the connection and asks again, until it gets the answer to its own offer."""
    sent_on(server, f"GET {OTHERS['synced']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with fake_server(mixing_up(server, OTHERS[other])) as proxy:
        assert [member.actor for member in sync(proxy.url).members] == ["MINE"]
        assert proxy.requests == [1, 1, 1], "each answer of another offer ends the connection"


def test_the_command_does_not_believe_the_answer_to_another_offer(server: Server) -> None:
    with fake_server(mixing_up(server, OTHERS["synced"])) as proxy:
        command = [sys.executable, "-m", "syncnet", "event", "alone", "--actor", "MINE", "--mates", "0"]
        done = subprocess.run([*command, "--url", proxy.url], capture_output=True, timeout=PATIENCE_S, check=True)
    assert [member["actor"] for member in json.loads(done.stdout)["members"]] == ["MINE"]


def test_a_client_that_only_gets_answers_to_another_offer_gives_up(server: Server) -> None:
    with (
        fake_server(mixing_up(server, OTHERS["synced"], turns=10**6)) as proxy,
        Client(proxy.url, reconnect_s=0.05) as net,
        pytest.raises(UnavailableError, match="expected an answer with the Syncnet-Id mine, got 'other', that of") as e,
    ):
        net.sync("alone", actor="MINE", mates=0, id="mine")
    assert e.value.retry_safe


def test_an_outcome_without_the_id_of_the_offer_is_not_believed(server: Server) -> None:
    def without_id(_: int, request: bytes) -> bytes:
        reply = sent_on(server, request)
        return b"\r\n".join(line for line in reply.split(b"\r\n") if not line.startswith(b"syncnet-id"))

    with fake_server(without_id) as proxy, Client(proxy.url) as net:
        for mates in (0, 1):
            with pytest.raises(UnavailableError, match=r"with the Syncnet-Id mine-., got .* without one") as caught:
                net.sync("alone", actor="MINE", id=f"mine-{mates}", mates=mates, timeout=0)
            assert not caught.value.retry_safe


def test_a_command_does_not_believe_the_answer_to_an_offer(server: Server) -> None:
    script = mixing_up(server, OTHERS["timed-out"], turns=1)
    with fake_server(script) as proxy, Client(proxy.url) as net:
        assert net.stats("empty") == {}
        assert proxy.requests == [1, 1]


# --- unread answers ----------------------------------------------------------------------------------------


def test_an_answer_that_came_with_the_one_before_it_is_not_used() -> None:
    script: Script = lambda number, _: answer(b"{}") + (answer(STALE) if number == 0 else b"")  # noqa: E731
    with fake_server(script) as fake, Client(fake.url) as net:
        assert [net.stats(), net.stats(), net.stats()] == [{}, {}, {}]
        assert fake.requests == [1, 2]


@pytest.mark.parametrize("late", [answer(STALE), answer(b"", status="408 Request Timeout"), b""])
def test_what_comes_on_an_idle_connection_is_not_used(late: bytes) -> None:
    """Also if it is the end of the connection: then the request is not sent in vain."""
    with fake_server(lambda *_: answer(b"{}")) as fake, Client(fake.url) as net:
        assert net.stats() == {}
        (kept,) = net._callers.here()._servers.used._idle
        if late:
            fake.connections[0].sendall(late)
        else:
            fake.connections[0].shutdown(socket.SHUT_RDWR)
        until(lambda: not kept.is_usable(), lambda: "the client has received nothing")
        assert net.stats() == {}
        assert fake.requests == [1, 1]


def test_what_comes_on_an_idle_connection_of_a_task_is_not_used() -> None:
    async def main() -> None:
        async with AsyncClient(fake.url) as net:
            assert await net.stats() == {}
            (kept,) = net._callers.here()._servers.used._idle
            fake.connections[0].sendall(answer(STALE))
            with anyio.fail_after(PATIENCE_S):
                while kept.is_usable():
                    await asyncio.sleep(0)
            assert await net.stats() == {}

    with fake_server(lambda *_: answer(b"{}")) as fake:
        asyncio.run(main())
        assert fake.requests == [1, 1]


def test_a_content_length_that_is_too_short_ends_the_connection() -> None:
    script: Script = lambda number, _: answer(b'{}{"a":{}}', length=2) if number == 0 else answer(b"{}")  # noqa: E731
    with fake_server(script) as fake, Client(fake.url) as net:
        assert [net.stats(), net.stats()] == [{}, {}]
        assert fake.requests == [1, 1]


def test_a_content_length_that_is_too_long_is_a_lost_answer(server: Server) -> None:
    def cut(number: int, request: bytes) -> bytes:
        if number == 0:
            fake.connections[0].sendall(sent_on(server, request)[:-1])
            return b""
        return sent_on(server, request)

    with fake_server(cut) as fake:
        assert sync_with_threads(fake.url).members[0].actor == "MINE"
        assert fake.requests == [1, 1]


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"", *(f"x-{number}: {'y' * 100}" for number in range(5_000))),
        answer(b"", f"x: {'y' * 100_000}"),
        answer(b"", "transfer-encoding: chunked") + b"1" * 100_000,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["many-headers", "long-header", "bad-chunk", "switching"],
)
def test_an_answer_beyond_the_bounds_is_not_http(reply: bytes) -> None:
    with (
        fake_server(lambda *_: reply) as fake,
        Client(fake.url, reconnect_s=0) as net,
        pytest.raises(UnavailableError, match="expected HTTP, but"),
    ):
        net.stats()


def test_a_body_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncnet.client.threads.http._ANSWER_BYTES_MAX", 1 << 20)
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (4 << 20)
    with (
        fake_server(lambda *_: endless) as fake,
        Client(fake.url, reconnect_s=0) as net,
        pytest.raises(UnavailableError, match="expected an answer of at most 1048576 bytes, got more"),
    ):
        net.stats()


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_a_server_that_is_silent_instead_of_answering_is_an_error(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    """A command waits for no other actor. An answer to an offer that has begun must go on, too."""
    monkeypatch.setattr("syncnet.client.threads.http._SILENCE_S_MAX", 0.05)
    end = threading.Event()

    def be_silent(*_: object) -> bytes:
        fake.connections[-1].sendall(beginning)
        assert end.wait(PATIENCE_S)
        return b""

    try:
        with fake_server(be_silent) as fake, Client(fake.url, reconnect_s=0) as net:
            calls: list[Callable[[], Any]] = [net.stats, lambda: net.abort(id="x", reason="over")]
            if beginning.endswith(b"{"):
                calls.append(lambda: net.sync("coin", actor="VM"))
            for call in calls:
                with pytest.raises(UnavailableError, match="no answer in time"):
                    call()
            end.set()
    finally:
        end.set()


@BOTH
def test_a_deeply_nested_answer_is_an_error_of_syncnet(sync: Callable[..., Sync]) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (deep, b'{"event":"alone","sync":1,"payloads":{"MINE":' + deep + b'},"members":[],"aborted":"1"}'):
        reply = answer(body, "syncnet-id: mine", "syncnet-rank: 0")
        with (
            fake_server(lambda *_, reply=reply: reply) as fake,
            pytest.raises(UnavailableError, match="expected an answer of syncnet, got"),
        ):
            sync(fake.url, id="mine")
        with fake_server(lambda *_, body=body: answer(body)) as fake, Client(fake.url) as net:
            for call in (net.stats, lambda net=net: net.abort(event="e", reason="over")):
                with pytest.raises(UnavailableError, match="expected an answer of syncnet, got"):
                    call()


# --- requests that are given up ----------------------------------------------------------------------------


def test_a_late_answer_to_a_cancelled_request_is_not_used(server: Server) -> None:
    """The answers to the cancelled requests come when the later requests run."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    async def check(net: AsyncClient, number: int) -> None:
        sync = await net.sync("alone", actor=f"A{number}", payload=number, mates=0)
        assert [(member.actor, member.payload) for member in sync.members] == [(f"A{number}", number)]

    async def main() -> None:
        async with AsyncClient(server.url) as net:
            for turn in range(20):
                tasks = [asyncio.create_task(check(net, 10 * turn + number)) for number in range(10)]
                for task in rng.sample(tasks, 5):
                    for _ in range(rng.randrange(8)):
                        await asyncio.sleep(0)
                    task.cancel()
                for task in tasks:
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see below
def test_a_late_answer_to_an_interrupted_request_is_not_used(server: Server) -> None:
    """A signal interrupts the main thread at random moments.

    If that is between two steps of `connect` or of closing, the socket is left to the garbage collector, which warns.
    """
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        with Client(server.url) as net:
            for number in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.004))
                    sync = net.sync("alone", actor="A", payload=number, mates=0)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    assert sync.members[0].payload == number
                except KeyboardInterrupt:
                    interrupted += 1
                assert net.stats("empty") == {}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted


@pytest.mark.parametrize("steps", range(12))
def test_g6_an_offer_whose_client_is_closed_while_it_connects_is_not_made(server: Server, steps: int) -> None:
    async def main() -> None:
        net = AsyncClient(server.url)
        offer = net.send("coin", actor="VM", namespace="connecting", linger=60)
        for _ in range(steps):
            await asyncio.sleep(0)
        await net.aclose()
        with anyio.fail_after(PATIENCE_S), pytest.raises(WithdrawnError):
            await offer

    asyncio.run(main())
    assert server.pending("connecting") == 0


@pytest.mark.parametrize("is_closed", [True, False])
def test_g6_an_offer_that_ends_while_a_thread_connects_is_not_made(server: Server, is_closed: bool) -> None:
    """Because its client is closed, or because it is withdrawn."""
    for _ in range(50):
        with Client(server.url) as net:
            offer = net.send("coin", actor="VM", namespace="connecting", linger=60)
            if is_closed:
                net.close()
            else:
                offer.withdraw()
            with pytest.raises(WithdrawnError):
                offer.result(PATIENCE_S)
    assert server.pending("connecting") == 0


def test_threads_that_close_each_others_offers_do_not_disturb_other_requests(server: Server) -> None:
    """An offer is withdrawn while its answer comes, so its connection is closed and kept at the same time."""

    def run(actor: str) -> None:
        for number in range(100):
            offer = net.send("alone", actor=actor, payload=number, mates=0)
            offer.withdraw()
            with contextlib.suppress(WithdrawnError, TimedOutError):
                assert offer.result(PATIENCE_S).members[0].payload == number
            sync = net.sync("alone", actor=actor, payload=-number, mates=0)
            assert (sync.members[0].actor, sync.members[0].payload) == (actor, -number)

    with Client(server.url) as net:
        in_threads(run, [f"A{number}" for number in range(4)])
