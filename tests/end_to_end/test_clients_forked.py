"""A client in forked processes and in several event loops: nobody gets the answer to another's request.

A forked child has copies of the connections of its parent. If both used them, each could read the answer to a request
of the other.
"""

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import uvloop

from syncnet import AsyncClient, AsyncOffer, Client, ClosedError, Sync, WithdrawnError
from tests.end_to_end.running import Server, in_threads, running, until
from tests.end_to_end.test_tls import Files

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CHILDREN = 6
SYNCS = 30
PATIENCE_S = 60


def check_own(sync: Sync, actor: str, number: int) -> None:
    assert [(member.actor, member.payload) for member in sync.members] == [(actor, number)], sync


def in_child(run: Callable[[], None]) -> int:
    """Run a function in a forked child; return the number of the process. It fails with a status other than 0."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        run()
        status = 0
    except BaseException as error:
        os.write(2, f"in the child: {error!r}\n".encode())
    finally:
        os._exit(status)


def check_ended(*children: int) -> None:
    for child in children:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def sync_alone(net: Client, actor: str) -> None:
    for number in range(SYNCS):
        check_own(net.sync("alone", actor=actor, payload=number, mates=0), actor, number)


def sync_in_threads(net: Client, actor: str) -> None:
    """Make many syncs at the same time, in four threads."""
    in_threads(partial(sync_alone, net), [f"{actor}-{number}" for number in range(4)])


def connection_of(net: Client) -> object:
    """Return the connection that an idle client keeps."""
    (connection,) = net._callers.here()._servers.used._idle
    return connection


def test_forked_processes_get_their_own_answers(server: Server) -> None:
    """And the connection that the parent keeps still works."""
    with Client(server.url) as net:
        sync_alone(net, "PARENT")
        kept = connection_of(net)
        children = [in_child(partial(sync_in_threads, net, f"CHILD-{n}")) for n in range(CHILDREN)]
        for _ in range(3):
            sync_alone(net, "PARENT")
        check_ended(*children)
        sync_alone(net, "PARENT")
        assert connection_of(net) is kept


def test_children_of_multiprocessing_get_their_own_answers(server: Server) -> None:
    context = multiprocessing.get_context("fork")
    with Client(server.url) as net:
        net.stats()
        processes = [context.Process(target=sync_alone, args=(net, f"CHILD-{n}")) for n in range(CHILDREN)]
        for process in processes:
            process.start()
        sync_alone(net, "PARENT")
        for process in processes:
            process.join(PATIENCE_S)
        assert [process.exitcode for process in processes] == [0] * CHILDREN


async def sync_alone_in_tasks(net: AsyncClient, actor: str) -> None:
    async def run(name: str) -> None:
        for number in range(SYNCS):
            check_own(await net.sync("alone", actor=name, payload=number, mates=0), name, number)

    await asyncio.gather(*(run(f"{actor}-{number}") for number in range(4)))


def test_children_of_a_process_with_an_event_loop_get_their_own_answers(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as net:

            def run(actor: str) -> None:
                asyncio.run(sync_alone_in_tasks(net, actor))

            await sync_alone_in_tasks(net, "PARENT")
            children = [in_child(partial(run, f"CHILD-{n}")) for n in range(CHILDREN)]
            await sync_alone_in_tasks(net, "PARENT")
            await asyncio.to_thread(check_ended, *children)
            await sync_alone_in_tasks(net, "PARENT")

    asyncio.run(main())


def test_a_child_does_not_end_the_offers_of_its_parent(server: Server) -> None:
    namespace = "of-the-parent"
    with Client(server.url) as net:
        offer = net.send("coin", actor="VM", namespace=namespace, linger=0)
        server.until_pending(1, namespace)

        def run() -> None:
            for call in (offer.result, offer.withdraw):
                with pytest.raises(ClosedError, match="expected a call where the offer was made"):
                    call()
            net.close()
            with pytest.raises(ClosedError):
                net.stats()

        check_ended(in_child(run))
        assert server.pending(namespace) == 1
        assert net.sync("coin", actor="CUST", namespace=namespace).number == offer.result(PATIENCE_S).number


def test_a_child_leaves_the_tls_connection_of_its_parent_alone(tmp_path: Path) -> None:
    files = Files(tmp_path)
    options = ("--log-format", "none", "--tls-cert", files.cert, "--tls-key", files.key)
    with running(*options, client=files.of_client()) as server, Client(server.url, ca=files.ca) as net:
        sync_alone(net, "PARENT")
        kept = connection_of(net)

        def run() -> None:
            sync_alone(net, "CHILD")
            net.close()

        check_ended(in_child(run))
        assert connection_of(net) is kept
        sync_alone(net, "PARENT")
        assert connection_of(net) is kept


def test_g6_the_offer_of_a_killed_parent_ends_although_its_child_lives(server: Server) -> None:
    """The child has a copy of the parent's socket. If it stayed open, the server could not see the parent's end."""
    code = f"""
import os, sys, syncnet
net = syncnet.Client({server.url!r})
net.send("coin", actor="VM", linger=0, namespace="killed")
while not net.stats("killed"):
    pass
if not os.fork():
    print("child", flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"child\n"
        assert server.pending("killed") == 1
        parent.send_signal(signal.SIGKILL)
        server.until_pending(0, "killed")
        assert parent.stdin is not None
        parent.stdin.close()  # ends the child
        assert parent.stdout.read() == b""


# --- several event loops -----------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run, trio.run])
def test_a_client_is_used_in_several_event_loops(server: Server, run: Callable[..., object]) -> None:
    """It leaves no open connection and no warning, although it is not closed between the loops."""
    net = AsyncClient(server.url)
    ended: list[int] = []

    async def main(number: int) -> None:
        one = net.send("coin", actor="A", payload=number, namespace="loops")
        sync = await net.sync("coin", actor="B", namespace="loops")
        assert sync.payloads["A"] == number
        assert (await one).number == sync.number
        ended.append(sync.number)

    run(main, 0) if run is trio.run else run(main(0))
    gc.collect()
    before = open_files()
    for number in range(1, 4):
        run(main, number) if run is trio.run else run(main(number))
        gc.collect()
        until(lambda: open_files() == before, lambda: f"{open_files()} files, not {before}")
    assert len(ended) == 4
    assert net._callers._by_owner == {}, "an event loop that has ended is not kept"


def test_a_client_is_used_in_two_event_loops_at_the_same_time(server: Server) -> None:
    net = AsyncClient(server.url)
    barrier = threading.Barrier(2)

    async def main(actor: str) -> None:
        await asyncio.to_thread(barrier.wait)
        await sync_alone_in_tasks(net, actor)

    in_threads(lambda actor: asyncio.run(main(actor)), ["A", "B"])


def test_an_offer_of_an_event_loop_that_has_ended_is_withdrawn(server: Server) -> None:
    net = AsyncClient(server.url)

    async def send() -> AsyncOffer:
        offer = net.send("coin", actor="VM", namespace="ended")
        await asyncio.to_thread(server.until_pending, 1, "ended")
        return offer

    offer = asyncio.run(send())
    assert server.pending("ended") == 0

    async def wait() -> None:
        with pytest.raises(WithdrawnError, match="because its client ended"):
            await offer
        await net.aclose()

    asyncio.run(wait())
