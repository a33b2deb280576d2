"""What is particular to offers inside a program: objects, waits that end, several who wait, timeouts, closing."""

import asyncio
import contextlib
import pickle
import signal
import threading
from typing import Any

import pytest
import trio

from syncnet import (
    AbortedError,
    ClosedError,
    Offer,
    ParameterError,
    RefusedError,
    Syncnet,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
)
from syncnet.core.limits import Limits
from tests.end_to_end.running import until
from tests.local.waiters import Wait

pytestmark = pytest.mark.anyio


async def test_payloads_are_the_very_objects() -> None:
    for mates in (1, 2):
        async with Syncnet() as net:
            given = [object(), {"a": [1]}, lambda: 1][: mates + 1]
            offers = [net.send("coin", actor=f"p{n}", mates=mates, payload=each) for n, each in enumerate(given)]
            for offer in offers:
                sync = await offer
                assert all(member.payload is each for member, each in zip(sync.members, given, strict=True))
                assert sync.payloads["p0"] is given[0]


async def test_an_offer_says_what_it_is() -> None:
    async with Syncnet() as net:
        offer = net.send("coin", "choc", actor="VM", payload=1, namespace="ci")
        assert (offer.events, offer.actor, offer.namespace, offer.payload) == (("coin", "choc"), "VM", "ci", 1)
        assert not offer.done()
        assert repr(offer) == "<Offer VM:coin|choc pending>"
        assert list((await net.stats("ci"))["coin"]["VM"]) == [offer.id]
        await net.sync("choc", actor="CUST", namespace="ci")
        assert offer.done()
        assert repr(offer) == "<Offer VM:coin|choc synced>"
        gone = net.send("coin", actor="VM")
        assert gone.withdraw()
        assert repr(gone) == "<Offer VM:coin Withdrawn>"


async def test_a_wait_that_ends_leaves_the_offer_pending() -> None:
    """As in `concurrent.futures`."""
    async with Syncnet() as net:
        offer = net.send("coin", actor="VM")
        for _ in range(2):
            with pytest.raises(TimeoutError, match="still pending") as caught:
                offer.result(timeout=0.001)
            assert not isinstance(caught.value, TimedOutError)
        net.send("coin", actor="CUST")
        assert offer.result(timeout=0).rank == 0
        assert (await offer).rank == 0


def test_many_wait_for_one_offer_each_in_its_way(ways: dict[str, Wait]) -> None:
    with Syncnet() as net:
        offer = net.send("coin", actor="VM")
        waiters = [wait(offer) for wait in ways.values() for _ in range(3)]
        with contextlib.suppress(TimeoutError):
            offer.result(0.001)
        sync = net.blocking.sync("coin", actor="CUST")
        for waiter in waiters:
            assert waiter.outcome().members == sync.members


@pytest.mark.parametrize("way", ["asyncio", "uvloop", "trio", "threads"])
def test_g6_cancelling_one_that_has_synced_undoes_nothing(way: str, ways: dict[str, Wait]) -> None:
    with Syncnet() as net:
        offer = net.send("coin", actor="VM")
        waiter = ways[way](offer)
        sync = net.blocking.sync("coin", actor="CUST")
        waiter.cancel()
        assert offer.result(0).members == sync.members
        assert not offer.withdraw()


async def test_g6_a_task_cancelled_in_the_turn_in_which_it_synced_takes_nothing_from_its_mate() -> None:
    async with Syncnet() as net:
        task = asyncio.create_task(net.sync("coin", actor="VM"))
        await asyncio.sleep(0)
        mate = net.send("coin", actor="CUST")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [member.actor for member in (await mate).members] == ["VM", "CUST"]


async def test_offers_with_and_without_options_meet() -> None:
    """G2, G3."""
    async with Syncnet() as net:
        plain = net.send("coin", actor="A")
        picky = net.send("coin", actor="B", selector="actor=A")
        assert (await plain).members == (await picky).members
        plain = net.send("coin", actor="A")
        assert await net.abort(actor="A", reason="enough") == 1
        with pytest.raises(AbortedError):
            await plain
        plain = net.send("coin", actor="A", timeout=0.01)
        other = net.send("choc", actor="A")
        with pytest.raises(TimedOutError):
            await plain
        assert not other.done()
        assert await net.withdraw(other.id)
        with pytest.raises(WithdrawnError):
            await other


async def test_a_timer_ends_with_its_offer() -> None:
    async with Syncnet() as net:
        for _ in range(3_000):
            one, other = (net.send("coin", actor=actor, timeout=3_600) for actor in ("A", "B"))
            assert (await one).number == (await other).number
        assert net.coordinator.fire_due_timers() == -1


async def test_closing_ends_all_waits_and_a_closed_runtime_refuses() -> None:
    threads_before = set(threading.enumerate())
    async with Syncnet() as net:
        offers = [net.send("coin", actor="VM"), net.send("choc", actor="VM", mates=2, timeout=60)]
    for offer in offers:
        with pytest.raises(UnavailableError, match="closed") as caught:
            await offer
        assert caught.value.code == "draining"
    for _ in range(2):
        with pytest.raises(ClosedError):
            await net.sync("coin", actor="VM")
        with pytest.raises(ClosedError):
            net.send("coin", "choc", actor="VM", mates=2)
        with pytest.raises(ClosedError):
            net.blocking.sync("coin", actor="VM")
        with pytest.raises(ClosedError):
            await net.withdraw(offers[0].id)
        with pytest.raises(ClosedError):
            await net.abort(actor="VM", reason="enough")
        with pytest.raises(ClosedError):
            net.blocking.stats()
        assert not offers[0].withdraw(), "it has ended"
        net.close()
    assert set(threading.enumerate()) <= threads_before


async def test_a_full_runtime_refuses() -> None:
    async with Syncnet(Limits(pending_offers_max=2)) as net:
        await asyncio.gather(net.sync("a", actor="A"), net.sync("a", actor="B"))
        pending = [net.send("a", actor="A"), net.send("b", actor="A")]
        with pytest.raises(UnavailableError) as caught:
            await net.sync("c", actor="A")
        assert caught.value.code == "full"
        await net.sync("a", actor="B")
        assert (await pending[0]).number == 2
        pending[1].withdraw()


async def test_asking_again_by_id_takes_the_place_of_the_one_before() -> None:
    """G7."""
    async with Syncnet() as net:
        first = net.send("coin", actor="VM", id="vm-1", payload=[1])
        again = net.send("coin", actor="VM", id="vm-1", payload=[1])
        with pytest.raises(RefusedError) as caught:
            await first
        assert caught.value.code == "replaced"
        assert (await net.sync("coin", actor="CUST")).members == (await again).members


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mates": "two"}, 'mates: expected a whole number from 0 to 9999, got "two"'),
        ({"mates": -1}, "mates: expected a whole number from 0 to 9999, got -1"),
        ({"labels": ["a"]}, "labels: expected a map of texts"),
        ({"labels": "a"}, "labels: expected"),
        ({"timeout": "soon"}, "timeout: expected a duration"),
    ],
)
async def test_a_bad_parameter_is_named(more: dict[str, Any], message: str) -> None:
    async with Syncnet() as net:
        for _ in range(2):
            with pytest.raises(ParameterError, match=message):
                await net.sync("coin", actor="VM", **more)
        with pytest.raises(TypeError, match="no option 'mate'"):
            net.send("coin", actor="VM", mate=1)  # type: ignore[call-arg]


async def test_handles_fill_in_the_actor() -> None:
    async with Syncnet() as net:
        vm = net.actor("VM")
        waiting = vm.send("coin", payload=1)
        threads = net.blocking.actor("CUST")
        assert threads.choose("coin", "note").payloads == {"VM": 1, "CUST": ""}
        assert waiting.done()
        assert (await vm.sync("solo", mates=0)).leader
        assert (await vm.choose("solo", "duo", mates=0)).event == "solo"
        assert threads.sync("solo", mates=0).payloads == {"CUST": ""}
        assert isinstance(threads.send("coin"), Offer)


@pytest.mark.parametrize("options", [{}, {"timeout": 3_600}], ids=["plain", "with a timeout"])
def test_g6_an_interrupt_withdraws_what_a_thread_waits_for(options: Any) -> None:
    with Syncnet() as net:
        waiting = threading.main_thread().ident
        assert waiting == threading.get_ident(), "only the main thread is interrupted"

        def interrupt() -> None:
            until(lambda: net.blocking.stats(), lambda: "VM does not wait")
            signal.pthread_kill(waiting, signal.SIGINT)

        for _ in range(2):
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                net.blocking.sync("coin", actor="VM", **options)
            thread.join(30)
            assert net.blocking.stats() == {}


def test_a_sync_can_be_compared_printed_and_pickled() -> None:
    with Syncnet() as net:
        waiting = net.send("coin", actor="VM", payload=[1])
        sync = net.blocking.sync("coin", actor="CUST")
        first = waiting.result()
        assert pickle.loads(pickle.dumps(sync)) == sync != first
        assert first.members is sync.members
        assert repr(first).startswith(
            "Sync(event='coin', number=1, payloads={'VM': [1], 'CUST': ''}, members=(Member(id="
        )
        assert repr(first).endswith("rank=0)")
        assert sync != 1


def test_a_loop_that_was_closed_over_a_waiting_task_harms_nobody() -> None:
    with Syncnet() as net:
        offer = net.send("coin", actor="VM")
        loop = asyncio.new_event_loop()
        waiting = offer.__await__()

        async def begin() -> None:
            next(waiting)

        loop.run_until_complete(begin())
        loop.close()
        assert net.blocking.sync("coin", actor="CUST").rank == 1
        waiting.close()
        assert offer.done()


def test_a_cancelled_task_of_trio_makes_no_offer() -> None:
    with Syncnet() as net:

        async def main() -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await net.sync("coin", actor="VM", mates=0)
            assert scope.cancelled_caught

        trio.run(main)
        assert net.coordinator.machine.totals("default")[1] == 0


def test_a_task_of_trio_that_is_a_guest_on_a_loop_of_asyncio() -> None:
    """It waits in the manner of trio, and is woken though its loop is asyncio's; the host's tasks meet it."""
    ended: list[int] = []

    async def guest(net: Syncnet) -> None:
        for _ in range(3):
            ended.append((await net.sync("coin", actor="guest")).number)  # noqa: PERF401 - seen one by one
        with trio.move_on_after(0.001) as scope:
            await net.sync("coin", actor="guest")
        assert scope.cancelled_caught

    async def host() -> None:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        async with Syncnet() as net:
            trio.lowlevel.start_guest_run(
                guest,
                net,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=lambda outcome: over.set_result(outcome.unwrap()),
            )
            for number in (1, 2, 3):
                assert (await net.sync("coin", actor="host")).number == number
            await over
            assert await net.stats() == {}

    asyncio.run(host())
    assert ended == [1, 2, 3]


def test_neither_a_loop_nor_trio_is_said_plainly() -> None:
    with Syncnet() as net:
        waiting = net.sync("coin", actor="VM")
        with pytest.raises(RuntimeError, match="no running event loop"):
            waiting.send(None)
        assert net.blocking.stats() == {}


def test_asking_again_with_a_payload_that_cannot_be_compared_needs_the_very_object() -> None:
    class Broken:
        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = None  # type: ignore[assignment]

    with Syncnet() as net:
        payload = Broken()
        first = net.send("coin", actor="VM", id="v", payload=payload)
        with pytest.raises(RefusedError) as caught:
            net.send("coin", actor="VM", id="v", payload=Broken()).result(0)
        assert caught.value.code == "id-reused"
        assert not first.done()
        again = net.send("coin", actor="VM", id="v", payload=payload)
        net.send("coin", actor="CUST")
        assert again.result(0).members[0].payload is payload


async def test_labels_are_given_as_a_map_or_as_a_text_as_in_a_url() -> None:
    async with Syncnet() as net:
        for labels in ({"tier": "gold", "zone": "a"}, "tier=gold,zone=a"):
            waiting = net.send("coin", actor="VM", labels=labels)
            sync = await net.sync("coin", actor="CUST", selector="tier=gold,zone in (a,b)")
            assert sync.members[0].labels == {"actor": "VM", "tier": "gold", "zone": "a"}
            assert (await waiting).number == sync.number


def test_a_runtime_can_be_used_by_threads_alone() -> None:
    with Syncnet() as net, net.blocking as blocking:
        waiting = threading.Thread(target=lambda: blocking.sync("coin", actor="VM"))
        waiting.start()
        until(lambda: blocking.stats(), lambda: "VM does not wait")
        assert blocking.sync("coin", actor="CUST").number == 1
        waiting.join(30)


async def test_explain_says_why_offers_are_pending() -> None:
    async with Syncnet() as net:
        net.send("start", actor="db", expect="app,worker")
        net.send("start", actor="app", expect="db,worker")
        net.send("other", actor="x")
        explained = await net.explain(actor="db")
        assert explained == net.blocking.explain(actor="db") | {"offers": explained["offers"]}
        (offer,) = explained["offers"]
        assert (offer["present"], offer["never_came"]) == (("app",), ("worker",))
        assert len((await net.explain(event="start"))["offers"]) == 2


async def test_explain_names_the_circles_of_the_offers_that_it_explains() -> None:
    async with Syncnet() as net:
        net.send("coin", actor="VM", expect="CUST")
        net.send("choc", actor="CUST", expect="VM")
        net.send("tea", actor="X")
        (circle,) = (await net.explain())["circles"]
        assert circle["summary"] == "stuck together: VM waits for CUST on coin, CUST waits for VM on choc"
        assert (await net.explain(actor="CUST"))["circles"] == [circle]
        assert (await net.explain(actor="X"))["circles"] == []
