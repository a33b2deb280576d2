"""Ten thousand tasks and a thousand threads in barriers, cancelled at random: nothing is left behind (G1, G6)."""

import asyncio
import gc
import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
import trio
import trio.testing

from syncnet import Offer, Sync, Syncnet, WithdrawnError

SEED = int(os.environ.get("SYNCNET_SEED", "20261123"))
PARTIES = 10


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def check(syncs: list[Sync | None], net: Syncnet) -> None:
    """G1: each sync has ten members, and all ten get it; nothing is pending."""
    received = Counter(sync.number for sync in syncs if sync is not None)
    assert received
    assert set(received.values()) == {PARTIES}
    assert net.coordinator.machine.pending_total == 0
    assert net.blocking.stats() == {}


@pytest.mark.anyio
async def test_ten_thousand_tasks_cancelled_at_random() -> None:
    chance = random.Random(SEED)
    files, tasks_before = open_files(), len(asyncio.all_tasks())
    async with Syncnet() as net:

        async def party(number: int) -> Sync:
            return await net.sync(f"start-{number % 50}", actor=f"p{number}", mates=PARTIES - 1)

        tasks: list[asyncio.Task[Sync]] = []
        for number in range(10_000):
            tasks.append(asyncio.create_task(party(number)))
            if number % 7 == 0:
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
        await asyncio.sleep(0)
        for offer in net.coordinator.machine.pending("default"):  # those whose barrier did not fill up
            tasks[int(offer.actor[1:])].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        # A task may be cancelled in the turn in which it synced: its sync stands, and it alone does not hear of it.
        assert all(isinstance(each, Sync | asyncio.CancelledError) for each in ended)
        heard = Counter(each.number for each in ended if isinstance(each, Sync))
        assert heard
        assert max(heard.values()) == PARTIES
        assert net.coordinator.machine.pending_total == 0
        members = [each.members for each in ended if isinstance(each, Sync)]
        assert all(len(each) == PARTIES for each in members)
        assert not {task for task in tasks if not task.done()}
        assert len(asyncio.all_tasks()) == tasks_before
    assert open_files() == files


def test_a_thousand_threads_withdrawn_at_random() -> None:
    chance = random.Random(SEED)
    threads_before, files = set(threading.enumerate()), open_files()
    syncs: list[Sync | None] = [None] * 1_000
    with Syncnet() as net:
        offers: list[Offer] = []
        threads: list[threading.Thread] = []

        def wait(number: int) -> None:
            try:
                syncs[number] = offers[number].result()
            except WithdrawnError:
                syncs[number] = None

        for number in range(1_000):
            offers.append(net.send(f"start-{number % 7}", actor=f"p{number}", mates=PARTIES - 1, timeout=600))
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            if chance.random() < 0.3:
                chance.choice(offers).withdraw()
        for offer in offers:
            offer.withdraw()
        for thread in threads:
            thread.join(60)
        check(syncs, net)
    assert set(threading.enumerate()) <= threads_before
    assert open_files() == files


def test_threads_that_race_for_each_other() -> None:
    """G1: of five hundred pairs of one event none is lost and no offer syncs twice."""
    with Syncnet() as net:
        syncs: dict[str, list[Sync]] = {}

        def party(name: str) -> None:
            one = net.blocking.actor(name)
            syncs[name] = [one.sync("coin") for _ in range(500)]

        threads = [threading.Thread(target=party, args=(name,)) for name in ("A", "B")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [sync.number for sync in syncs["A"]] == [sync.number for sync in syncs["B"]] == list(range(1, 501))
        for one, other in zip(syncs["A"], syncs["B"], strict=True):
            assert one.members == other.members
            assert {one.rank, other.rank} == {0, 1}
        assert len(net.coordinator.machine.trace("default", 0, 1_000)) == 500


def test_trio_tasks_cancelled_at_random() -> None:
    chance = random.Random(SEED)
    ended: list[str] = []

    async def main() -> None:
        async with Syncnet() as net, trio.open_nursery() as nursery:

            async def party(number: int, scope: trio.CancelScope) -> None:
                with scope:
                    await net.sync(f"start-{number % 20}", actor=f"p{number}", mates=PARTIES - 1)
                ended.append("cancelled" if scope.cancelled_caught else "synced")

            scopes = [trio.CancelScope() for _ in range(1_000)]
            for number, scope in enumerate(scopes):
                nursery.start_soon(party, number, scope)
                if number % 7 == 0:
                    await trio.lowlevel.checkpoint()
                if chance.random() < 0.3:
                    chance.choice(scopes[: number + 1]).cancel()
            await trio.testing.wait_all_tasks_blocked()
            for scope in scopes:
                scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert net.coordinator.machine.pending_total == 0

    trio.run(main)
    assert len(ended) == 1_000
    assert set(ended) == {"cancelled", "synced"}


def test_what_has_ended_is_not_kept_alive() -> None:
    """A payload is freed when the members of its sync have dropped the sync."""

    class Payload:
        alive = 0

        def __init__(self) -> None:
            Payload.alive += 1

        def __del__(self) -> None:
            Payload.alive -= 1

    with Syncnet() as net:
        for _ in range(20):
            for mates in (1, 2):
                for actor in ("A", "B", "C")[: mates + 1]:
                    net.send("coin", actor=actor, mates=mates, payload=Payload())
            net.send("coin", actor="A", payload=Payload()).withdraw()
        net.send("coin", actor="A", mates=0)
        gc.collect()
        assert Payload.alive == 0
