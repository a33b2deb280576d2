"""Clients ride through a server that is killed and started again, and through connections that are cut (G7, G1).

What is ridden through must not be noticed: no party sees an error, every party of an event is told the same sync, and
no event happens twice.

Without a journal a server that is killed forgets who waited, and whom it had told already. So it is killed only while
nobody is between the two: some parties of every event wait, the last one of each has not come yet. With a journal the
last ones come at the same time as the kill.
"""

import asyncio
import contextlib
import json
import os
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


class Told(NamedTuple):
    """What a party was told."""

    event: str
    number: int
    ids: tuple[str, ...]
    rank: int


def told(sync: Sync) -> Told:
    return Told(sync.event, sync.number, tuple(member.id for member in sync.members), sync.rank)


class Restarted:
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
def restarted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Restarted]:
    restarted = Restarted(request.param, tmp_path)
    try:
        yield restarted
    finally:
        restarted.server.close()


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


class Crowd:
    """Pairs of tasks, triples of threads and pairs of commands, all at the same server."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor) -> None:
        self._url, self._loop, self._pool = url, loop, pool
        self.tasks = AsyncClient(url)
        self.threads = Client(url)

    def groups(self, turn: int) -> list[tuple[str, list[Callable[[], "Future[Told]"]]]]:
        """Return the events of a turn, and for each of them how its parties begin."""
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
    def _beginning(begin: Any, event: str, actor: str, mates: int) -> Callable[[], "Future[Told]"]:
        return lambda: begin(event, actor, mates)

    def _task(self, event: str, actor: str, mates: int) -> "Future[Told]":
        async def party() -> Told:
            return told(await self.tasks.sync(event, actor=actor, mates=mates, timeout=PATIENCE_S))

        return asyncio.run_coroutine_threadsafe(party(), self._loop)

    def _thread(self, event: str, actor: str, mates: int) -> "Future[Told]":
        return self._pool.submit(lambda: told(self.threads.sync(event, actor=actor, mates=mates)))

    def _command(self, event: str, actor: str, mates: int) -> "Future[Told]":
        words = [event, "--actor", actor, "--mates", str(mates), "--url", self._url]

        def party() -> Told:
            command = [sys.executable, "-m", "syncnet", "event", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            said = json.loads(done.stdout)
            return Told(said["event"], said["sync"], tuple(member["id"] for member in said["members"]), said["rank"])

        return self._pool.submit(party)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.tasks.aclose(), self._loop).result(PATIENCE_S)
        self.threads.close()


def trace_events(server: Server) -> list[str]:
    return [sync["event"] for sync in server.client.get("/trace").json()["syncs"]]


def test_g1_g7_g9_a_server_that_is_killed_again_and_again_is_not_noticed(restarted: Restarted) -> None:
    happened: list[str] = []
    with loop_in_a_thread() as loop, ThreadPoolExecutor(64) as pool:
        crowd = Crowd(restarted.server.url, loop, pool)
        try:
            for turn in range(KILLS[restarted.log]):
                groups = crowd.groups(turn)
                waiting = {event: [begin() for begin in parties[:-1]] for event, parties in groups}
                restarted.server.until_pending(sum(map(len, waiting.values())))
                if restarted.is_durable:
                    late = {event: parties[-1]() for event, parties in groups}
                    restarted.kill()
                else:
                    restarted.kill()
                    late = {event: parties[-1]() for event, parties in groups}
                restarted.start()
                for event, parties in waiting.items():
                    seen = [future.result(PATIENCE_S) for future in (*parties, late[event])]
                    assert {each.event for each in seen} == {event}
                    assert len({(each.number, each.ids) for each in seen}) == 1
                    assert sorted(each.rank for each in seen) == list(range(len(seen)))
                happened += [event for event, _ in groups]
                expected = happened if restarted.is_durable else [event for event, _ in groups]
                assert sorted(trace_events(restarted.server)) == sorted(expected)
                restarted.server.until_pending(0)
        finally:
            crowd.close()


# --- cut connections ---------------------------------------------------------------------------------------


class Proxy:
    """Passes bytes on between clients and a server, and cuts connections when it is told."""

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
        """Cut every connection; return how many there were."""
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


def test_g7_cut_connections_are_not_noticed(server: Server, proxy: Proxy) -> None:
    """Both a task and a thread wait, their connections are cut six times, and each time they ask again by their ids."""
    namespace = "cut"
    url = f"http://127.0.0.1:{proxy.port}"
    with Client(url) as net, Client(server.url) as uncut:
        offers = [net.send("start", actor=f"A{number}", mates=3, namespace=namespace) for number in range(3)]
        server.until_pending(3, namespace)
        for _ in range(6):
            before = proxy.connections_total
            proxy.cut()
            until(lambda at=before: proxy.connections_total >= at + 3, lambda: "nobody came back")
        server.until_pending(3, namespace)
        sync = uncut.sync("start", actor="LAST", mates=3, namespace=namespace)
        assert [offer.result(PATIENCE_S).number for offer in offers] == [sync.number] * 3
        assert sorted(member.id for member in sync.members[:3]) == sorted(offer.id for offer in offers)
        assert len(server.client.get("/trace", params={"namespace": namespace}).json()["syncs"]) == 1


def test_g7_an_answer_that_was_lost_is_told_again(server: Server) -> None:
    """The proxy swallows the answer to a sync: the client asks again, and is told the sync that happened."""
    listener = socket.create_server(("127.0.0.1", 0))

    def swallow_one_then_pass_on() -> None:
        for turn in range(2):
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
                onward.sendall(client.recv(65_536))
                answer = onward.recv(65_536)
                if turn == 1:
                    client.sendall(answer)

    swallower = threading.Thread(target=swallow_one_then_pass_on)
    swallower.start()
    with listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}") as net:
        sync = net.sync("alone", actor="A", mates=0, namespace="swallowed")
        swallower.join(PATIENCE_S)
    assert sync.number == 1
    assert len(server.client.get("/trace", params={"namespace": "swallowed"}).json()["syncs"]) == 1


def test_an_abort_whose_answer_was_lost_is_not_done_again(server: Server) -> None:
    """Those who came after it would be ended too."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended: list[str] = []

    def swallow_all_answers() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", server.port)) as onward:
                    onward.sendall(client.recv(65_536))
                    ended.append(onward.recv(65_536).decode().rpartition("\r\n\r\n")[2])

    swallower = threading.Thread(target=swallow_all_answers)
    swallower.start()
    with Client(server.url) as there:
        waiting = there.send("e", actor="A", namespace="swallowed-abort")
        server.until_pending(1, "swallowed-abort")
        with listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}", reconnect_s=1) as net:
            with pytest.raises(UnavailableError) as raised:
                net.abort(event="e", reason="over", namespace="swallowed-abort")
            with pytest.raises(AbortedError):
                waiting.result(PATIENCE_S)
            assert (ended, raised.value.retry_safe) == (['{"aborted":1}\n'], False)
            with pytest.raises(UnavailableError):
                net.abort(id="none", reason="over", namespace="swallowed-abort")
            assert len(ended) > 2, "by its id one can be ended once only"
            listener.shutdown(socket.SHUT_RDWR)
        swallower.join(PATIENCE_S)


def test_a_server_that_is_not_there_yet() -> None:
    """Who comes before the server waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    tried = threading.Event()
    away: list[UnavailableError | None] = []

    def note(error: UnavailableError | None) -> None:
        away.append(error)
        tried.set()

    with Client(f"http://127.0.0.1:{port}", on_away=note) as net:
        offer = net.send("coin", actor="VM", mates=0)
        assert tried.wait(PATIENCE_S)
        with running("--log-format", "none", address=f"127.0.0.1:{port}"):
            assert offer.result(PATIENCE_S).number == 1
    assert isinstance(away[0], UnavailableError)
    assert away[-1] is None


def test_a_server_that_drains_sends_its_clients_to_the_next_one(restarted: Restarted) -> None:
    """SIGTERM: those who wait get 503, and ask again."""
    with Client(restarted.server.url) as net:
        offer = net.send("coin", actor="VM")
        restarted.server.until_pending(1)
        restarted.server.stop(signal.SIGTERM)
        restarted.start()
        assert net.sync("coin", actor="CUST").payloads == {"VM": "", "CUST": ""}
        assert offer.result(PATIENCE_S).rank in (0, 1)


def test_for_how_long_a_server_may_be_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with Client(url, reconnect_s=0.05) as net:
        with pytest.raises(UnavailableError, match=r"no answer from http://127.0.0.1") as caught:
            net.sync("coin", actor="VM")
        assert caught.value.retry_safe
        with pytest.raises(UnavailableError):
            net.stats()
    with Client(url) as net, pytest.raises(UnavailableError):
        net.sync("coin", actor="VM", timeout=0.05)  # its own time is shorter than that for which a server may be away
    with Client(url) as net, pytest.raises(UnavailableError):
        net.sync("coin", actor="VM", timeout=0)


def test_g6_a_timeout_that_passes_while_the_world_is_another_one(restarted: Restarted) -> None:
    """A server may not have heard of the time that the offer waited before: then the client withdraws it."""
    with Client(restarted.server.url) as net:
        offer = net.send("start", actor="ANNA", expect=["BEN", "CLARA"], timeout=1.5)
        restarted.server.until_pending(1)
        restarted.kill()
        restarted.start()
        with pytest.raises(TimedOutError) as caught:
            offer.result(PATIENCE_S)
        assert caught.value.missing_actors == ("BEN", "CLARA")
        restarted.server.until_pending(0)


def test_one_can_take_back_what_waits_for_a_server(restarted: Restarted) -> None:
    with Client(restarted.server.url) as net:
        offer = net.send("coin", actor="VM")
        restarted.server.until_pending(1)
        restarted.kill()
        withdrawing = threading.Thread(target=offer.withdraw)
        withdrawing.start()
        restarted.start()
        with pytest.raises(WithdrawnError):
            offer.result(PATIENCE_S)
        withdrawing.join(PATIENCE_S)
        restarted.server.until_pending(0)


def test_who_closes_without_a_server_does_not_wait_for_it_once_for_each_offer() -> None:
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


def test_a_command_that_is_killed_leaves_its_offer_for_its_linger_only(server: Server) -> None:
    """G6."""
    command = [sys.executable, "-m", "syncnet", "event", "coin", "--actor", "VM", "--linger", "0", "--namespace", "k9"]
    with subprocess.Popen(command, env={**os.environ, "SYNCNET_URL": server.url}) as process:
        server.until_pending(1, "k9")
        process.kill()
    server.until_pending(0, "k9")
