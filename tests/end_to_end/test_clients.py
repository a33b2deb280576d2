"""The clients with a real server: cancellation, connection pools, threads, and what a closed client refuses."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

import syncnet
from syncnet import (
    AsyncClient,
    Client,
    ClosedError,
    ParameterError,
    RefusedError,
    Syncnet,
    UnavailableError,
    WithdrawnError,
)
from tests.end_to_end.running import Server, until

PATIENCE_S = 60


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


async def until_pending(net: AsyncClient, offers: int, namespace: str) -> None:
    def pending(stats: dict[str, Any]) -> int:
        return sum(len(ids) for actors in stats.values() for ids in actors.values())

    with anyio.fail_after(PATIENCE_S):
        while pending(await net.stats(namespace)) != offers:
            await anyio.sleep(0.005)


@pytest.mark.anyio
async def test_g6_cancelled_tasks_withdraw_their_offers(server: Server) -> None:
    async with AsyncClient(server.url) as net, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(partial(net.sync, "start", actor=f"A{number}", mates=200, namespace="cancel"))
        await until_pending(net, 100, "cancel")
        group.cancel_scope.cancel()
    assert server.pending("cancel") == 0  # at once, not after the linger


@pytest.mark.anyio
async def test_g6_cancelling_the_wait_for_an_offer_withdraws_it(server: Server) -> None:
    async with AsyncClient(server.url) as net:
        offer = net.actor("VM").send("coin", namespace="cancel")
        await until_pending(net, 1, "cancel")
        with pytest.raises(TimeoutError, match="is still pending"):
            await offer.result(timeout=0.01)
        assert not offer.done()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await offer
        assert server.pending("cancel") == 0
        with pytest.raises(WithdrawnError):
            await offer


@pytest.mark.anyio
async def test_withdraw_works_without_being_awaited(server: Server) -> None:
    """As with `Syncnet`, where `withdraw` is an ordinary function."""
    async with AsyncClient(server.url) as net:
        offer = net.send("coin", actor="VM", namespace="background")
        await until_pending(net, 1, "background")
        offer.withdraw()
        with pytest.raises(WithdrawnError):
            await offer
        assert not await offer.withdraw()


@pytest.mark.anyio
async def test_closing_a_client_withdraws_its_pending_offers(server: Server) -> None:
    async with AsyncClient(server.url) as net:
        offers = [net.send("coin", actor="VM", namespace="closed") for _ in range(3)]
        await until_pending(net, 3, "closed")
    assert server.pending("closed") == 0
    for offer in offers:
        with pytest.raises(WithdrawnError):
            await offer


@pytest.mark.anyio
async def test_g1_one_client_has_hundreds_of_pending_offers(server: Server) -> None:
    """G1; and the client keeps no more than `connections_kept` idle connections afterwards."""
    async with AsyncClient(server.url, connections_kept=10) as net:
        offers = [net.send("start", actor=f"A{number}", mates=300, namespace="many") for number in range(300)]
        await until_pending(net, 300, "many")
        sync = await net.sync("start", actor="LAST", mates=300, namespace="many")
        ranks = [(await offer).rank for offer in offers]
        assert len(net._callers.here()._servers.used._idle) <= 10
    assert sync.rank == 300
    assert sorted(ranks) == list(range(300))


@pytest.mark.anyio
async def test_stats_reads_all_pages(server: Server) -> None:
    async with AsyncClient(server.url) as net:
        for number in range(1_020):
            net.send(f"e{number}", actor="A", namespace="pages")
        with anyio.fail_after(PATIENCE_S):
            while server.pending("pages") < 1_020:
                await anyio.sleep(0.05)
        pending = await net.stats("pages")
        assert set(pending) == {f"e{number}" for number in range(1_020)}


def test_threads_that_share_a_client_sync(server: Server) -> None:
    ranks: list[int] = []
    with Client(server.url) as net:
        handles = [net.actor(f"A{number}") for number in range(20)]
        threads = [
            threading.Thread(
                target=lambda handle=handle: ranks.append(handle.sync("start", mates=19, namespace="th").rank)
            )
            for handle in handles
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert sorted(ranks) == list(range(20))


def test_a_closed_client_leaves_no_thread_file_or_task(server: Server) -> None:
    async def meet() -> int:
        async with AsyncClient(server.url) as net:
            one = net.send("coin", actor="A", namespace="left")
            await net.sync("coin", actor="B", namespace="left")
            await one
            return len(asyncio.all_tasks())

    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Client(server.url) as net:
        net.stats()
    threads_before, files_before = set(threading.enumerate()), files()
    for _ in range(3):
        assert asyncio.run(meet()) <= 2  # this task, and perhaps that of the offer, in its last step
        with Client(server.url) as net:
            offer = net.send("coin", actor="A", namespace="left")
            net.sync("coin", actor="B", namespace="left")
            offer.result(PATIENCE_S)
    until(
        lambda: set(threading.enumerate()) <= threads_before and files() == files_before,
        lambda: f"{threading.enumerate()}, {files()} files",
    )


def test_connect_returns_syncnet_or_a_client(server: Server) -> None:
    async def meet(url: str | None) -> tuple[type, dict[str, Any]]:
        async with syncnet.connect(url) as net:
            vm = net.send("coin", actor="VM", payload={"price": 1})
            sync = await net.sync("coin", actor="CUST")
            assert (await vm).number == sync.number
            return type(net), dict(sync.payloads)

    payloads = {"VM": {"price": 1}, "CUST": ""}
    assert asyncio.run(meet(None)) == (Syncnet, payloads)
    assert asyncio.run(meet(server.url)) == (AsyncClient, payloads)


def test_a_payload_that_is_too_large_is_refused(server: Server) -> None:
    with Client(server.url) as net:
        for characters, error in ((300_000, "payload: expected at most"), (2_000_000, "expected a body of at most")):
            with pytest.raises(syncnet.UsageError, match=error) as caught:
                net.sync("coin", actor="VM", payload="x" * characters)
            assert caught.value.code == "too-large"


def test_g7_a_second_request_with_the_same_id_replaces_the_first(server: Server) -> None:
    with Client(server.url) as net:
        first = net.send("coin", actor="VM", id="vm-1", namespace="over")
        server.until_pending(1, "over")
        second = net.send("coin", actor="VM", id="vm-1", namespace="over")
        with pytest.raises(RefusedError) as caught:
            first.result(PATIENCE_S)
        assert caught.value.code == "replaced"
        assert net.sync("coin", actor="CUST", namespace="over").number == second.result(PATIENCE_S).number


def test_a_server_that_does_not_speak_http() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def answer_as_ssh() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-nonsense\r\n\r\n")

        thread = threading.Thread(target=answer_as_ssh)
        thread.start()
        with Client(url, reconnect_s=0) as net, pytest.raises(UnavailableError, match="expected HTTP, but"):
            net.stats()
        thread.join(PATIENCE_S)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # a shield of trio cannot be cancelled
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_g6_a_task_that_is_cancelled_twice_withdraws_its_offer(server: Server, steps: int) -> None:
    """The second cancellation happens while the offer is being withdrawn."""
    async with AsyncClient(server.url) as net:
        waiting = asyncio.create_task(net.sync("never", actor="A", linger=0))
        await asyncio.to_thread(server.until_pending, 1)
        for _ in range(2):
            waiting.cancel()
            for _ in range(steps):
                await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(server.until_pending, 0)


# --- calls that the client itself refuses ------------------------------------------------------------------


def test_a_closed_client_refuses_every_call(server: Server) -> None:
    net = Client(server.url)
    net.close()
    net.close()
    calls: list[Callable[[], Any]] = [
        lambda: net.send("coin", actor="VM"),
        lambda: net.sync("coin", actor="VM"),
        lambda: net.choose("coin", "tea", actor="VM"),
        lambda: net.actor("VM").sync("coin"),
        lambda: net.withdraw("vm-1"),
        lambda: net.abort(event="coin", reason="over"),
        net.stats,
        net.__enter__,
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="expected an open client, got one that is closed") as caught:
            call()
        assert not caught.value.retry_safe


@pytest.mark.anyio
async def test_a_closed_client_for_tasks_refuses_every_call(server: Server) -> None:
    async with AsyncClient(server.url) as net:
        pass
    await net.aclose()
    with pytest.raises(ClosedError):
        net.send("coin", actor="VM")
    for call in (partial(net.sync, "coin"), partial(net.choose, "coin", "tea")):
        with pytest.raises(ClosedError):
            await call(actor="VM")
    with pytest.raises(ClosedError):
        await net.withdraw("vm-1")
    with pytest.raises(ClosedError):
        await net.abort(event="coin", reason="over")
    with pytest.raises(ClosedError):
        await net.stats()
    with pytest.raises(ClosedError):
        await net.__aenter__()


@pytest.mark.anyio
async def test_an_offer_that_was_sent_just_before_closing_is_not_made(server: Server) -> None:
    net = AsyncClient(server.url)
    offer = net.send("coin", actor="VM", namespace="closing")
    await net.aclose()
    with pytest.raises(WithdrawnError):
        await offer
    assert server.pending("closing") == 0


def test_send_outside_an_event_loop_is_refused() -> None:
    """And leaves no coroutine that was never awaited: warnings are errors in these tests."""
    net = AsyncClient("http://localhost")
    with pytest.raises(RuntimeError, match="expected a running event loop of asyncio or trio, got none"):
        net.send("coin", actor="VM")
    gc.collect()


@pytest.mark.parametrize("labels", ["tier", "k=v,k=w", "k=no blanks"])
def test_labels_as_a_text_have_the_errors_of_a_url(server: Server, labels: str) -> None:
    answer = server.client.get("/event", params={"event": "coin", "actor": "VM", "labels": labels})
    with Client(server.url) as net, pytest.raises(ParameterError) as caught:
        net.sync("coin", actor="VM", labels=labels)
    assert str(caught.value) == answer.json()["detail"]
