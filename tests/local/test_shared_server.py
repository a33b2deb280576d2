"""A thread, a task of asyncio, one of trio and a real curl in one sync, through a server that shares their runtime."""

import asyncio
import json
import os
import signal
import socket
import threading
from typing import Any

import pytest
import trio
import uvicorn
import uvloop

from syncnet import ASGIApp, Sync, Syncnet
from syncnet.server.address import listen, parse_address
from syncnet.server.serve import serve
from tests.end_to_end.running import curls, until
from tests.local.waiters import Wait

PATIENCE_S = 30


class Unheard:
    """An object for which JSON has no form."""

    def __repr__(self) -> str:
        return "<unheard of>"


def until_pending(net: Syncnet, offers: int) -> None:
    def pending() -> int:
        return net.coordinator.machine.totals("default")[0]

    until(lambda: pending() == offers, lambda: f"{pending()} offers are pending, not {offers}")


def meet_all(net: Syncnet, url: str, ways: dict[str, Wait]) -> None:
    """Four parties of four kinds, in every order of kinds of which the curl is first, in between, or last."""
    for turn, first in enumerate((["threads", "asyncio", "trio"], ["trio"], [])):
        event = f"start-{turn}"
        others = [each for each in ("threads", "asyncio", "trio") if each not in first]
        payload = Unheard()
        offers = {each: net.send(event, actor=each, mates=3, payload=payload) for each in first}
        with curls(f"{url}/event?event={event}&actor=curl&mates=3&payload=hello") as (curl,):
            if others:
                until_pending(net, len(first) + 1)
            offers |= {each: net.send(event, actor=each, mates=3, payload=payload) for each in others}
            waiters = {each: ways[each](offer) for each, offer in offers.items()}
            syncs = {each: waiter.outcome() for each, waiter in waiters.items()}
            answer = json.loads(curl.communicate()[0])
        check(syncs, answer, payload, [*first, "curl", *others])


def check(syncs: dict[str, Sync], answer: Any, payload: object, order: list[str]) -> None:
    """G7: all get the same; inside the program the payload is the very object, to curl it is what `repr` says."""
    assert {sync.number for sync in syncs.values()} == {answer["sync"]}
    for name, sync in syncs.items():
        assert [member.actor for member in sync.members] == order
        assert order[sync.rank] == name
        assert sync.payloads["curl"] == "hello"
        assert sync.payloads[name] is payload
        assert [member.id for member in sync.members] == [member["id"] for member in answer["members"]]
    assert answer["payloads"] == {**dict.fromkeys(order, "<unheard of>"), "curl": "hello"}


def test_four_kinds_meet_through_uvicorn(ways: dict[str, Wait]) -> None:
    with Syncnet() as net, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(ASGIApp(net), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            meet_all(net, f"http://127.0.0.1:{listener.getsockname()[1]}", ways)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
        # The runtime of the program continues when the server has ended.
        assert net.blocking.sync("coin", actor="VM", mates=0).number == 4


def test_four_kinds_meet_through_granian(ways: dict[str, Wait]) -> None:
    """The server of the command line, on the main thread, because it listens to signals."""
    with Syncnet() as net:
        listener = listen(parse_address("127.0.0.1:0"))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        failed: list[BaseException] = []

        def meet() -> None:
            try:
                meet_all(net, url, ways)
            except BaseException as error:
                failed.append(error)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=meet)
        assert uvloop.run(serve(net.coordinator, listener, thread.start)) == 0
        thread.join(PATIENCE_S)
        assert failed == []


def test_curl_gets_the_abort_of_a_thread_and_sees_what_is_pending_in_the_program() -> None:
    with Syncnet() as net, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(ASGIApp(net), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with curls(f"{url}/event?event=coin&actor=VM") as (curl,):
                until_pending(net, 1)
                assert net.blocking.abort(actor="VM", reason="closed", by="MINT") == 1
                assert json.loads(curl.communicate()[0])["reason"] == "closed"
            waiting = net.send("coin", actor="VM", payload=object())
            with curls(f"{url}/stats", f"{url}/trace") as (stats, trace):
                assert list(json.loads(stats.communicate()[0])["coin"]["VM"]) == [waiting.id]
                assert json.loads(trace.communicate()[0])["syncs"] == []
            waiting.withdraw()
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_two_loops_a_run_of_trio_and_a_thread_in_pairs(run: Any) -> None:
    """Tasks of the loop here meet tasks of trio in another thread, again and again (G1)."""
    with Syncnet() as net:
        seen: list[int] = []

        async def in_trio() -> None:
            seen.extend([(await net.sync("coin", actor="trio")).number for _ in range(200)])

        async def here() -> list[int]:
            return [(await net.sync("coin", actor="task")).number for _ in range(200)]

        thread = threading.Thread(target=trio.run, args=(in_trio,))
        thread.start()
        assert run(here()) == list(range(1, 201))
        thread.join(PATIENCE_S)
        assert seen == list(range(1, 201))
