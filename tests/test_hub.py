"""The hub: commands in, futures out, on the memory log."""

import asyncio
from collections.abc import Callable

import pytest

from syncnet.core.commands import Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Effect, Missed, Pending, Refused, Synced, TimedOut, Withdrawn
from syncnet.core.machine import Machine
from syncnet.errors import DrainingError, ParameterError
from syncnet.hub import Hub
from syncnet.log import Deliver
from tests.core.offers import offer

pytestmark = pytest.mark.anyio


@pytest.fixture
def hub() -> Hub:
    return Hub()


async def test_members_of_a_sync_get_the_same_outcome(hub: Hub) -> None:
    vm, cust = hub.offer(offer("VM")), hub.offer(offer("CUST"))
    assert isinstance(await vm, Synced)
    assert await vm is await cust


async def test_an_offer_expires_when_its_timeout_has_passed(hub: Hub) -> None:
    outcome = await hub.offer(offer("VM", timeout_s=0.001, at_ns=hub.now_ns()))
    assert isinstance(outcome, TimedOut)
    assert outcome.at_ns - outcome.offer.at_ns >= 1_000_000
    assert not hub.offer(offer("CUST")).done()


async def test_g6_a_timeout_of_zero_means_now_or_never(hub: Hub) -> None:
    assert isinstance(await hub.offer(offer("VM", timeout_s=0)), TimedOut)
    waiting = hub.offer(offer("VM"))
    assert isinstance(await hub.offer(offer("CUST", timeout_s=0)), Synced)
    assert isinstance(await waiting, Synced)


async def test_g6_the_log_decides_whether_the_sync_or_the_expiry_came_first() -> None:
    """An expiry that was on its way when the sync came has no effect; both are asked to happen in one turn."""
    hub = Hub()
    vm = hub.offer(offer("VM", timeout_s=3600))
    hub.withdraw(offer("VM"), Cause.DISCONNECTED)
    cust = hub.offer(offer("CUST"))
    assert isinstance(await vm, Withdrawn)
    assert not cust.done()


async def test_withdrawing_what_is_over_does_nothing(hub: Hub) -> None:
    vm, cust = offer("VM"), offer("CUST")
    hub.offer(vm)
    hub.offer(cust)
    hub.withdraw(vm, Cause.DISCONNECTED)
    hub.withdraw(offer("STRANGER"), Cause.WITHDRAWN)
    assert hub.machine.totals("default") == (0, 1, 0)


async def test_g8_a_cancelled_future_delays_nobody(hub: Hub) -> None:
    waiting = hub.offer(offer("VM"))
    waiting.cancel()
    assert isinstance(await hub.offer(offer("CUST")), Synced)


async def test_an_id_that_is_pending_is_not_taken_twice(hub: Hub) -> None:
    first = hub.offer(offer("VM"))
    with pytest.raises(ParameterError, match="id: expected one that is not pending"):
        hub.offer(offer("VM", "other"))
    await hub.offer(offer("CUST"))
    assert isinstance(await first, Synced)


async def test_a_full_machine_refuses() -> None:
    hub = Hub(machine=Machine(pending_offers_max=1))
    hub.offer(offer("VM"))
    assert isinstance(await hub.offer(offer("OTHER", "tea")), Refused)


async def test_ids_are_new_and_alike(hub: Hub) -> None:
    ids = [hub.new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(len(id) == 16 and int(id, 16) >= 0 for id in ids)


async def test_draining_ends_every_wait_and_takes_no_more(hub: Hub) -> None:
    waiting = hub.offer(offer("VM", timeout_s=3600))
    assert hub.drain() == 1
    with pytest.raises(DrainingError):
        await waiting
    with pytest.raises(DrainingError):
        hub.offer(offer("CUST"))
    assert hub.drain() == 0


async def test_observers_see_every_effect_in_order() -> None:
    seen: list[Effect] = []
    hub = Hub(machine=Machine(search_steps_max=1), observers=[seen.append])
    for actor in ("A", "B", "C"):
        hub.offer(offer(actor, mates=2))
    hub.withdraw(offer("A"), Cause.DISCONNECTED)
    assert [type(effect) for effect in seen] == [Pending, Pending, Pending, Missed, Withdrawn]


class LaterLog:
    """A log that delivers when it is told to, as one across a network would."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def open(self, deliver: Deliver) -> None:
        self.deliver: Callable[[Command], None] = deliver

    def append(self, command: Command) -> None:
        self.commands.append(command)

    def deliver_all(self) -> None:
        commands, self.commands = self.commands, []
        for command in commands:
            self.deliver(command)


async def test_a_log_may_deliver_later() -> None:
    log = LaterLog()
    hub = Hub(log)
    vm = hub.offer(offer("VM", timeout_s=0))
    cust = hub.offer(offer("CUST"))
    while len(log.commands) < 3:
        await asyncio.sleep(0)
    assert [type(command) for command in log.commands] == [Offer, Offer, Expire]
    hub.withdraw(offer("CUST"), Cause.DISCONNECTED)
    assert isinstance(log.commands[-1], Withdraw)
    log.deliver_all()
    assert await vm is await cust
    assert hub.machine.totals("default") == (0, 1, 0)
