"""Clients continue through killed servers and lost connections (G7, G1).

No party may notice: none gets an error, all parties of an event get the same sync, and no event happens twice.

A server without a journal forgets its offers and their outcomes when it is killed. So these tests kill it only while
some parties of every event wait and the last one has not arrived. With a journal, the last ones arrive at the same
time as the kill.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from syncnet import AbortedError, AsyncClient, Client, Sync, TimedOutError, UnavailableError, WithdrawnError
from tests.end_to_end.running import Server, running, until

KILLS = {"memory": 4, "journal": 20}
PATIENCE_S = 60


class Outcome(NamedTuple):
    """The sync that a party got."""

    event: str
    number: int
    ids: tuple[str, ...]
    rank: int


def outcome_of(sync: Sync) -> Outcome:
    return Outcome(sync.event, sync.number, tuple(member.id for member in sync.members), sync.rank)


class RestartableServer:
    """A server that can be killed and started again on the same port."""

    def __init__(self, log: str, folder: Path) -> None:
        self.log = log
        self.is_durable = log == "journal"
        self._options = (f"--journal={folder / 'journal'}",) if self.is_durable else ()
        self.server = Server("--log-format", "none", *self._options)

    def kill(self) -> None:
        self.server.stop(signal.SIGKILL)

    def start(self) -> None:
        port = self.server.port
        self.server.close()
        self.server = Server("--log-format", "none", *self._options, address=f"127.0.0.1:{port}")


@pytest.fixture(params=["memory", "journal"])
def restartable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RestartableServer]:
    restartable = RestartableServer(request.param, tmp_path)
    try:
        yield restartable
    finally:
        restartable.server.close()


@contextlib.contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


class Parties:
    """Pairs of tasks, triples of threads and pairs of commands, all with the same server."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor) -> None:
        self._url, self._loop, self._pool = url, loop, pool
        self.tasks = AsyncClient(url)
        self.threads = Client(url)

    def groups(self, turn: int) -> list[tuple[str, list[Callable[[], "Future[Outcome]"]]]]:
        """Return the events of a turn, each with functions that start its parties."""
        kinds = [("pair", self._task, 2), ("triple", self._thread, 3), ("command", self._command, 2)]
        return [
            (
                event := f"{kind}-{number}-turn-{turn}",
                [self._beginning(begin, event, f"P{party}", parties - 1) for party in range(parties)],
            )
            for kind, begin, parties in kinds
            for number in range(turn % 4 == 0 if kind == "command" else 4)
        ]

    @staticmethod
    def _beginning(begin: Any, event: str, actor: str, mates: int) -> Callable[[], "Future[Outcome]"]:
        return lambda: begin(event, actor, mates)

    def _task(self, event: str, actor: str, mates: int) -> "Future[Outcome]":
        async def party() -> Outcome:
            return outcome_of(await self.tasks.sync(event, actor=actor, mates=mates, timeout=PATIENCE_S))

        return asyncio.run_coroutine_threadsafe(party(), self._loop)

    def _thread(self, event: str, actor: str, mates: int) -> "Future[Outcome]":
        return self._pool.submit(lambda: outcome_of(self.threads.sync(event, actor=actor, mates=mates)))

    def _command(self, event: str, actor: str, mates: int) -> "Future[Outcome]":
        words = [event, "--actor", actor, "--mates", str(mates), "--url", self._url]

        def party() -> Outcome:
            command = [sys.executable, "-m", "syncnet", "event", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            document = json.loads(done.stdout)
            return Outcome(
                document["event"],
                document["sync"],
                tuple(member["id"] for member in document["members"]),
                document["rank"],
            )

        return self._pool.submit(party)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.tasks.aclose(), self._loop).result(PATIENCE_S)
        self.threads.close()


def trace_events(server: Server) -> list[str]:
    return [sync["event"] for sync in server.client.get("/trace").json()["syncs"]]


def test_g1_g7_g9_clients_continue_when_their_server_is_killed_repeatedly(restartable: RestartableServer) -> None:
    happened: list[str] = []
    with loop_in_a_thread() as loop, ThreadPoolExecutor(64) as pool:
        all_parties = Parties(restartable.server.url, loop, pool)
        try:
            for turn in range(KILLS[restartable.log]):
                groups = all_parties.groups(turn)
                waiting = {event: [begin() for begin in parties[:-1]] for event, parties in groups}
                restartable.server.until_pending(sum(map(len, waiting.values())))
                if restartable.is_durable:
                    late = {event: parties[-1]() for event, parties in groups}
                    restartable.kill()
                else:
                    restartable.kill()
                    late = {event: parties[-1]() for event, parties in groups}
                restartable.start()
                for event, parties in waiting.items():
                    seen = [future.result(PATIENCE_S) for future in (*parties, late[event])]
                    assert {each.event for each in seen} == {event}
                    assert len({(each.number, each.ids) for each in seen}) == 1
                    assert sorted(each.rank for each in seen) == list(range(len(seen)))
                happened += [event for event, _ in groups]
                expected = happened if restartable.is_durable else [event for event, _ in groups]
                assert sorted(trace_events(restartable.server)) == sorted(expected)
                restartable.server.until_pending(0)
        finally:
            all_parties.close()


# --- cut connections ---------------------------------------------------------------------------------------


class Proxy:
    """Passes bytes on between clients and a server; `cut` ends all connections."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.connections_total = 0
        self._connections_now = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    self._pairs.append((client, server))
                    self.connections_total += 1
                    self._connections_now += 1
                threading.Thread(target=self._pass_both_ways, args=(client, server), daemon=True).start()

    def _pass_both_ways(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
        with client, server:
            back.start()
            self._pass_on(client, server)
            back.join(PATIENCE_S)
        with self._lock:
            self._pairs = [pair for pair in self._pairs if pair[0] is not client]
            self._connections_now -= 1

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> int:
        """End every connection; return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        until(lambda: self._connections_now == 0, lambda: f"{self._connections_now} connections are left")


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


def test_g7_clients_continue_when_their_connections_are_cut(server: Server, proxy: Proxy) -> None:
    """Three offers wait, their connections are cut six times, and each time they are sent again with their ids."""
    namespace = "cut"
    url = f"http://127.0.0.1:{proxy.port}"
    with Client(url) as net, Client(server.url) as uncut:
        offers = [net.send("start", actor=f"A{number}", mates=3, namespace=namespace) for number in range(3)]
        server.until_pending(3, namespace)
        for _ in range(6):
            before = proxy.connections_total
            proxy.cut()
            until(lambda at=before: proxy.connections_total >= at + 3, lambda: "the clients did not connect again")
        server.until_pending(3, namespace)
        sync = uncut.sync("start", actor="LAST", mates=3, namespace=namespace)
        assert [offer.result(PATIENCE_S).number for offer in offers] == [sync.number] * 3
        assert sorted(member.id for member in sync.members[:3]) == sorted(offer.id for offer in offers)
        assert len(server.client.get("/trace", params={"namespace": namespace}).json()["syncs"]) == 1


def test_g7_a_lost_answer_is_sent_again(server: Server) -> None:
    """The proxy drops the answer to a sync: the client sends its request again and gets the sync that happened."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drop_one_answer_then_pass_on() -> None:
        for turn in range(2):
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
                onward.sendall(client.recv(65_536))
                answer = onward.recv(65_536)
                if turn == 1:
                    client.sendall(answer)

    dropper = threading.Thread(target=drop_one_answer_then_pass_on)
    dropper.start()
    with listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as net:
        sync = net.sync("alone", actor="A", mates=0, namespace="dropped")
        dropper.join(PATIENCE_S)
    assert sync.number == 1
    assert len(server.client.get("/trace", params={"namespace": "dropped"}).json()["syncs"]) == 1


def test_an_abort_whose_answer_was_lost_is_not_repeated(server: Server) -> None:
    """A second abort would also end the offers that were made after the first."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended: list[str] = []

    def drop_all_answers() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
                    onward.sendall(client.recv(65_536))
                    ended.append(onward.recv(65_536).decode().rpartition("\r\n\r\n")[2])

    dropper = threading.Thread(target=drop_all_answers)
    dropper.start()
    with Client(server.url) as there:
        waiting = there.send("e", actor="A", namespace="dropped-abort")
        server.until_pending(1, "dropped-abort")
        with listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}", reconnect_s=1) as net:
            with pytest.raises(UnavailableError) as raised:
                net.abort(event="e", reason="over", namespace="dropped-abort")
            with pytest.raises(AbortedError):
                waiting.result(PATIENCE_S)
            assert (ended, raised.value.retry_safe) == (['{"aborted":1}\n'], False)
            with pytest.raises(UnavailableError):
                net.abort(id="none", reason="over", namespace="dropped-abort")
            assert len(ended) > 2, "an abort by id can be repeated, because it ends one offer only"
            listener.shutdown(socket.SHUT_RDWR)
        dropper.join(PATIENCE_S)


def test_a_client_waits_for_a_server_that_starts_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tried = threading.Event()
    reported: list[UnavailableError | None] = []

    def note(error: UnavailableError | None) -> None:
        reported.append(error)
        tried.set()

    with Client(f"http://127.0.0.1:{port}", on_retry=note) as net:
        offer = net.send("coin", actor="VM", mates=0)
        assert tried.wait(PATIENCE_S)
        with running("--log-format", "none", address=f"127.0.0.1:{port}"):
            assert offer.result(PATIENCE_S).number == 1
    assert isinstance(reported[0], UnavailableError)
    assert reported[-1] is None


def test_retries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    tried = threading.Event()
    with caplog.at_level(logging.INFO, "syncnet.client"), Client(url, on_retry=lambda _: tried.set()) as net:
        offer = net.send("coin", actor="VM", mates=0, id="vm-1")
        assert tried.wait(PATIENCE_S)
        with running("--log-format", "none", address=url.partition("//")[2]):
            assert offer.result(PATIENCE_S).number == 1
    first, *_, last = [record for record in caplog.records if record.name == "syncnet.client"]
    expected = rf"offer vm-1 of VM:coin failed \(attempt 1\): no answer from {url}: .*; next attempt in 0\.0\d* s"
    assert re.fullmatch(expected, first.getMessage())
    assert first.levelno == logging.WARNING
    assert re.fullmatch(r"offer vm-1 of VM:coin was sent again after \d+ failed attempts", last.getMessage())
    assert last.levelno == logging.INFO


def test_a_program_without_logging_prints_no_retries() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    code = f"""
import contextlib, syncnet
with contextlib.suppress(syncnet.UnavailableError):
    syncnet.Client({url!r}, reconnect_s=0.05).stats()
"""
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout + completed.stderr == ""


def test_a_request_that_a_proxy_answers_with_408_is_sent_again(server: Server) -> None:
    """Proxies close an idle connection with 408. The request was not processed, so even an abort is repeated."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_408_then_pass_on() -> None:
        for turn in range(2):
            client, _ = listener.accept()
            with client:
                request = client.recv(65_536)
                if turn == 0:
                    client.sendall(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    continue
                with socket.create_connection(("127.0.0.1", server.port)) as onward:
                    onward.sendall(request)
                    client.sendall(onward.recv(65_536))

    proxy = threading.Thread(target=answer_408_then_pass_on)
    proxy.start()
    with listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as net:
        assert net.abort(event="e", reason="over", namespace="proxied") == 0
        proxy.join(PATIENCE_S)


def test_offers_of_a_draining_server_are_made_again_at_the_next_one(restartable: RestartableServer) -> None:
    """After SIGTERM pending requests get 503, and the clients send them again."""
    with Client(restartable.server.url) as net:
        offer = net.send("coin", actor="VM")
        restartable.server.until_pending(1)
        restartable.server.stop(signal.SIGTERM)
        restartable.start()
        assert net.sync("coin", actor="CUST").payloads == {"VM": "", "CUST": ""}
        assert offer.result(PATIENCE_S).rank in (0, 1)


def test_a_client_gives_up_after_reconnect_s_or_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Client(url, reconnect_s=0.05) as net:
        with pytest.raises(UnavailableError, match=r"no answer from http://127.0.0.1") as caught:
            net.sync("coin", actor="VM")
        assert caught.value.retry_safe
        with pytest.raises(UnavailableError):
            net.stats()
    with Client(url) as net, pytest.raises(UnavailableError):
        net.sync("coin", actor="VM", timeout=0.05)  # the timeout is shorter than reconnect_s
    with Client(url) as net, pytest.raises(UnavailableError):
        net.sync("coin", actor="VM", timeout=0)


def test_g6_a_timeout_holds_across_a_restart_of_the_server(restartable: RestartableServer) -> None:
    """A restarted server may count the timeout from the restart. Then the client withdraws the offer itself."""
    with Client(restartable.server.url) as net:
        offer = net.send("start", actor="ANNA", expect=["BEN", "CLARA"], timeout=1.5)
        restartable.server.until_pending(1)
        restartable.kill()
        restartable.start()
        with pytest.raises(TimedOutError) as caught:
            offer.result(PATIENCE_S)
        assert caught.value.missing_actors == ("BEN", "CLARA")
        restartable.server.until_pending(0)


def test_an_offer_can_be_withdrawn_while_its_server_is_restarted(restartable: RestartableServer) -> None:
    with Client(restartable.server.url) as net:
        offer = net.send("coin", actor="VM")
        restartable.server.until_pending(1)
        restartable.kill()
        withdrawing = threading.Thread(target=offer.withdraw)
        withdrawing.start()
        restartable.start()
        with pytest.raises(WithdrawnError):
            offer.result(PATIENCE_S)
        withdrawing.join(PATIENCE_S)
        restartable.server.until_pending(0)


def test_closing_without_a_server_waits_once_and_not_for_each_offer() -> None:
    with running("--log-format", "none") as server:
        net = Client(server.url)
        offers = [net.send("coin", actor="VM") for _ in range(40)]
        server.until_pending(40)
        server.stop(signal.SIGKILL)
    closing = threading.Thread(target=net.close)
    closing.start()
    closing.join(PATIENCE_S / 2)
    assert not closing.is_alive()
    for offer in offers:
        with pytest.raises(WithdrawnError):
            offer.result(PATIENCE_S)


def test_g6_the_offer_of_a_killed_command_ends_after_its_linger(server: Server) -> None:
    command = [sys.executable, "-m", "syncnet", "event", "coin", "--actor", "VM", "--linger", "0", "--namespace", "k9"]
    with subprocess.Popen(command, env={**os.environ, "SYNCNET_URL": server.url}) as process:
        server.until_pending(1, "k9")
        process.kill()
    server.until_pending(0, "k9")
