"""The hub: commands in, outcomes out, on the memory log and on one that delivers late."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from syncnet.core.terms import Seen

from syncnet.coordinator.coordinator import Coordinator, Told
from syncnet.core.commands import Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Aborted, Effect, Pending, Refused, SearchExhausted, Synced, TimedOut, Withdrawn
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.validation import make_abort
from syncnet.errors import DrainingError, JournalError, ReplacedError, RetryableError
from syncnet.log import LogConsumer
from tests.core.offers import offer

pytestmark = pytest.mark.anyio

LIVE_NS = 10**18 + 10**17 * 8
"""Later than any clock: an offer made then is not overdue."""


class Waiter:
    """One who made an offer, and what it was told."""

    def __init__(self, hub: Coordinator, made: Offer) -> None:
        self.hub, self.offer = hub, made
        self.told: list[Told] = []
        self.ended = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        hub.offer(made, self.tell)

    def tell(self, told: Told) -> None:
        self.told.append(told)
        self.loop.call_soon_threadsafe(self.ended.set)

    def leave(self) -> None:
        self.hub.leave(self.offer, self.tell)

    async def outcome(self) -> Told:
        async with asyncio.timeout(10):
            await self.ended.wait()
        (told,) = self.told
        return told


@pytest.fixture
def hub() -> Iterator[Coordinator]:
    hub = Coordinator()
    yield hub
    hub._timers.close()  # and not the hub: those who still wait do so on a loop that has ended


def named(actor: str, *events: str, linger_s: float | None = None, timeout_s: float | None = None) -> Offer:
    return offer(actor, *events, id=f"id-{actor}", named=True, linger_s=linger_s, timeout_s=timeout_s, at_ns=LIVE_NS)


async def test_members_of_a_sync_get_the_same_outcome(hub: Coordinator) -> None:
    vm, cust = Waiter(hub, offer("VM")), Waiter(hub, offer("CUST"))
    assert isinstance(await vm.outcome(), Synced)
    assert await vm.outcome() is await cust.outcome()


async def test_an_offer_expires_when_its_timeout_has_passed(hub: Coordinator) -> None:
    outcome = await Waiter(hub, offer("VM", timeout_s=0.001, at_ns=hub.now_ns())).outcome()
    assert isinstance(outcome, TimedOut)
    assert outcome.at_ns - outcome.offer.at_ns >= 1_000_000
    assert not Waiter(hub, offer("CUST")).told


async def test_g6_a_timeout_of_zero_means_now_or_never(hub: Coordinator) -> None:
    assert isinstance(await Waiter(hub, offer("VM", timeout_s=0)).outcome(), TimedOut)
    waiting = Waiter(hub, offer("VM"))
    assert isinstance(await Waiter(hub, offer("CUST", timeout_s=0)).outcome(), Synced)
    assert isinstance(await waiting.outcome(), Synced)


async def test_withdrawing_ends_the_wait_and_tells_who_withdrew(hub: Coordinator) -> None:
    vm = Waiter(hub, offer("VM"))
    done: list[object] = []
    hub.withdraw("default", "VM", done.append)
    assert isinstance(await vm.outcome(), Withdrawn)
    hub.withdraw("default", "VM", done.append)
    assert [len(effects) if isinstance(effects, tuple) else effects for effects in done] == [1, 0]
    assert not Waiter(hub, offer("CUST")).told


async def test_an_abort_ends_all_waits_at_once(hub: Coordinator) -> None:
    waiters = [Waiter(hub, offer(actor, "coin", "tea", mates=5)) for actor in "ABC"]
    other = Waiter(hub, offer("D", "coin", mates=5))
    done: list[object] = []
    hub.abort(make_abort(at_ns=1, by="ops", reason="no more tea", event="tea"), done.append)
    for waiter in waiters:
        outcome = await waiter.outcome()
        assert isinstance(outcome, Aborted)
        assert (outcome.by, outcome.reason) == ("ops", "no more tea")
    assert not other.told
    assert isinstance(done[0], tuple)
    assert len(done[0]) == 3


async def test_g6_who_leaves_is_gone_unless_the_sync_came_first(hub: Coordinator) -> None:
    vm = Waiter(hub, offer("VM"))
    vm.leave()
    cust = Waiter(hub, offer("CUST"))
    assert vm.told[0].cause == Cause.DISCONNECTED if vm.told and isinstance(vm.told[0], Withdrawn) else not vm.told
    assert not cust.told
    other = Waiter(hub, offer("VM", id="VM-2"))
    other.leave()
    cust.leave()
    assert hub.machine.totals("default") == (0, 1, 0)


async def test_an_offer_of_any_other_id_is_untouched_by_leaving_twice(hub: Coordinator) -> None:
    first = Waiter(hub, offer("VM"))
    first.leave()
    again = Waiter(hub, offer("VM"))
    first.leave()
    assert not again.told
    assert hub.machine.pending_total == 1


async def test_g7_who_asks_again_takes_the_place_and_the_one_before_is_told(hub: Coordinator) -> None:
    first = Waiter(hub, named("VM"))
    second = Waiter(hub, named("VM"))
    assert isinstance(await first.outcome(), ReplacedError)
    first.leave()
    assert hub.machine.pending_total == 1
    Waiter(hub, offer("CUST"))
    assert isinstance(await second.outcome(), Synced)


async def test_g7_who_asks_again_when_it_is_over_is_told_the_same(hub: Coordinator) -> None:
    first, _ = Waiter(hub, named("VM")), Waiter(hub, offer("CUST", at_ns=LIVE_NS))
    again = Waiter(hub, named("VM"))
    assert await again.outcome() is await first.outcome()
    assert isinstance(await Waiter(hub, named("VM", "tea")).outcome(), Refused)


async def test_a_lingering_offer_waits_for_its_client_and_then_is_gone(hub: Coordinator) -> None:
    vm = Waiter(hub, named("VM", linger_s=3600))
    vm.leave()
    assert hub.machine.pending_total == 1
    back = Waiter(hub, named("VM", linger_s=3600))
    short = Waiter(hub, named("SHORT", "tea", linger_s=0.001))
    short.leave()
    while hub.machine.pending_total > 1:
        await asyncio.sleep(0)
    Waiter(hub, offer("CUST"))
    assert isinstance(await back.outcome(), Synced)
    assert vm.told == []
    assert short.told == []


async def test_a_timeout_goes_on_while_nobody_waits(hub: Coordinator) -> None:
    Waiter(hub, offer("VM", id="v", named=True, linger_s=3600, timeout_s=0.001, at_ns=hub.now_ns())).leave()
    while hub.machine.pending_total:
        await asyncio.sleep(0)


async def test_a_full_machine_refuses() -> None:
    hub = Coordinator(machine=Machine(Limits(pending_offers_max=1)))
    Waiter(hub, offer("VM"))
    assert isinstance(await Waiter(hub, offer("OTHER", "tea")).outcome(), Refused)


def test_ids_are_not_repeated(hub: Coordinator) -> None:
    ids = [hub.new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(len(id) == 16 for id in ids)


async def test_draining_refuses_the_new_and_then_sends_the_waiting_away(hub: Coordinator) -> None:
    waiting = Waiter(hub, offer("VM", timeout_s=3600))
    hub.drain()
    with pytest.raises(DrainingError):
        Waiter(hub, offer("CUST"))
    assert not waiting.told
    assert hub.shut_down() == 1
    assert isinstance(await waiting.outcome(), DrainingError)
    assert hub.shut_down() == 0
    waiting.leave()
    assert hub.machine.pending_total == 1


async def test_observers_see_every_effect_in_order() -> None:
    seen: list[Seen] = []
    hub = Coordinator(machine=Machine(Limits(search_steps_max=1)), observers=[seen.append])
    waiters = [Waiter(hub, offer(actor, mates=2)) for actor in ("A", "B", "C")]
    waiters[0].leave()
    assert [type(effect) for effect in seen] == [Pending, Pending, Pending, SearchExhausted, Withdrawn]


async def test_threads_and_a_loop_share_one_hub() -> None:
    """G1, G7: offers from many threads at once; all are told, in pairs, of the same sync."""
    hub = Coordinator(call_later=lambda _, __: pytest.fail("nobody has a timeout"))
    told: dict[str, Told] = {}

    def teller(name: str) -> Callable[[Told], None]:
        return lambda outcome: told.update({name: outcome})

    def work(number: int) -> None:
        for turn in range(50):
            name = f"{number}-{turn}"
            hub.offer(offer(f"A{number}", f"event-{number // 2}-{turn}", id=name), teller(name))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(told) == 400
    for number in range(0, 8, 2):
        for turn in range(50):
            assert told[f"{number}-{turn}"] is told[f"{number + 1}-{turn}"]
    assert hub.machine.totals("default") == (0, 200, 0)


# --- a log that delivers later, as a journal does ----------------------------------------------------------


class LaterLog:
    """Delivers when it is told to."""

    def open(self, keeper: LogConsumer) -> None:
        self.keeper = keeper
        self.appended: list[Command] = []

    def append(self, command: Command) -> None:
        self.appended.append(command)

    def flush(self, deliver: Callable[[Command], object] | None = None) -> list[type[Command]]:
        commands, self.appended = self.appended, []
        for command in commands:
            (deliver or self.keeper.deliver)(command)
        return [type(command) for command in commands]

    def close(self) -> None:
        pass


async def test_g6_the_log_decides_whether_the_sync_or_the_withdrawal_came_first() -> None:
    log = LaterLog()
    hub = Coordinator(log)
    vm, cust = Waiter(hub, offer("VM", timeout_s=0)), Waiter(hub, offer("CUST"))
    assert vm.told == cust.told == []
    cust.leave()  # before the log has either
    assert log.flush() == [Offer, Offer]
    assert isinstance(await vm.outcome(), Synced)
    assert cust.told == []
    assert log.flush() == []
    assert hub.machine.totals("default") == (0, 1, 0)


async def test_who_left_before_the_log_had_the_offer_is_withdrawn() -> None:
    log = LaterLog()
    hub = Coordinator(log)
    Waiter(hub, offer("VM")).leave()
    assert log.flush() == [Offer]
    assert log.flush() == [Withdraw]
    assert hub.machine.pending_total == 0


async def test_g7_asking_again_while_the_first_is_on_its_way() -> None:
    log = LaterLog()
    hub = Coordinator(log)
    first, second = Waiter(hub, named("VM")), Waiter(hub, named("VM"))
    log.flush()
    assert isinstance(await first.outcome(), ReplacedError)
    assert not second.told
    assert hub.machine.pending_total == 1


async def test_a_refused_offer_is_told_and_a_refused_withdrawal_is_tried_again() -> None:
    log = LaterLog()
    waited: list[float] = []

    def at_once(delay_s: float, call: Callable[[], None]) -> asyncio.Handle:
        waited.append(delay_s)
        return asyncio.get_running_loop().call_soon(call)

    hub = Coordinator(log, call_later=at_once)

    def refuse(command: Command) -> None:
        hub.refuse(command, JournalError("the disk is full"))

    refused = Waiter(hub, offer("VM"))
    log.flush(refuse)
    assert isinstance(await refused.outcome(), JournalError)

    vm = Waiter(hub, offer("VM"))
    log.flush()
    vm.leave()
    assert log.flush(refuse) == [Withdraw]
    await asyncio.sleep(0)
    assert log.flush() == [Withdraw]
    assert hub.machine.pending_total == 0

    Waiter(hub, offer("LATE", timeout_s=1, at_ns=0))
    log.flush()
    await asyncio.sleep(0)
    assert log.flush(refuse) == [Expire]
    await asyncio.sleep(0)
    assert log.flush() == [Expire]
    assert waited == [0.5, 0, 0.5]

    done: list[tuple[Effect, ...] | RetryableError] = []
    hub.withdraw("default", "VM", done.append)
    log.flush(refuse)
    assert isinstance(done[0], JournalError)


async def test_offers_of_before_are_taken_over() -> None:
    """Those with an id and a linger stay for it, all others are withdrawn: their clients are gone (G6)."""
    before = Machine()
    before.apply(named("KEPT", "a", linger_s=3600))
    before.apply(offer("GONE", "b"))
    before.apply(named("GONE-TOO", "c", linger_s=0))
    before.apply(named("LATE", "d", linger_s=3600, timeout_s=0))

    class Restored(LaterLog):
        def open(self, keeper: LogConsumer) -> None:
            super().open(keeper)
            keeper.restore(before.snapshot())

    log = Restored()
    seen: list[Seen] = []
    hub = Coordinator(log, observers=[seen.append])
    assert [effect.offer.actor for effect in seen if isinstance(effect, Pending)] == [
        "KEPT",
        "GONE",
        "GONE-TOO",
        "LATE",
    ]
    log.flush()
    assert [each.actor for each in hub.machine.pending("default")] == ["KEPT", "LATE"]
    back = Waiter(hub, named("KEPT", "a", linger_s=3600))
    log.flush()
    Waiter(hub, offer("MATE", "a"))
    log.flush()
    assert isinstance(await back.outcome(), Synced)


async def test_a_linger_that_ends_while_its_client_is_asking_again_is_no_end() -> None:
    """The request that asks again is in the log before the withdrawal would be."""
    log = LaterLog()
    ends: list[Callable[[], None]] = []

    def by_hand(_: float, call: Callable[[], None]) -> asyncio.Handle:
        ends.append(call)
        return asyncio.get_running_loop().call_soon(lambda: None)

    hub = Coordinator(log, call_later=by_hand)
    first = Waiter(hub, named("VM", linger_s=10))
    log.flush()
    first.leave()
    back = Waiter(hub, named("VM", linger_s=10))
    ends[-1]()
    assert log.flush() == [Offer]
    assert not back.told

    back.leave()
    left_again = Waiter(hub, named("VM", linger_s=10))
    left_again.leave()
    ends[-1]()
    assert log.flush() == [Offer]
    assert len(ends) == 3  # the linger of the one that left again
    Waiter(hub, named("VM", "tea", linger_s=10))  # another offer by this id: it will be refused
    ends[-1]()
    assert log.flush() == [Offer]
    assert log.flush() == [Withdraw]
    assert hub.machine.pending_total == 0


async def test_who_asks_again_before_the_first_has_gone_keeps_an_offer_without_linger() -> None:
    log = LaterLog()
    hub = Coordinator(log)
    first, second = Waiter(hub, named("VM", linger_s=0)), Waiter(hub, named("VM", linger_s=0))
    first.leave()
    assert log.flush() == [Offer, Offer]
    assert log.flush() == []
    assert not second.told
    second.leave()
    assert log.flush() == [Withdraw]


async def test_g6_a_hub_is_quiet_when_nothing_that_was_asked_for_may_still_happen() -> None:
    log = LaterLog()
    hub = Coordinator(log)

    def is_idle() -> bool:
        return hub.is_idle

    assert is_idle()
    vm = Waiter(hub, offer("VM"))
    assert not is_idle()
    log.flush()
    assert is_idle()
    hub.withdraw("default", "nobody", lambda _: None)
    assert not is_idle()
    log.flush()
    cust = Waiter(hub, offer("CUST"))
    cust.leave()
    hub.drain()
    assert not is_idle()  # who left may be in a sync, too
    log.flush()
    assert is_idle()
    assert isinstance(await vm.outcome(), Synced)
    assert hub.shut_down() == 0


async def test_time_does_not_go_back_when_a_clock_did() -> None:
    before = Machine()
    before.apply(named("A", "coin"))
    before.apply(offer("B", "coin", at_ns=LIVE_NS + 5))
    before.apply(named("C", "tea"))

    class Restored(LaterLog):
        def open(self, keeper: LogConsumer) -> None:
            super().open(keeper)
            keeper.restore(before.snapshot())

    assert Coordinator(Restored()).now_ns() == LIVE_NS + 5


async def test_g6_an_expiry_or_withdrawal_on_its_way_is_not_for_the_next_offer_of_that_id() -> None:
    """All in one commit: the linger ends, the client makes the offer anew, and the old timeout passes."""
    log = LaterLog()
    hub = Coordinator(log, call_later=lambda _, __: asyncio.get_running_loop().call_later(3600, print))
    first = Waiter(hub, offer("VM", id="v", named=True, linger_s=1, timeout_s=5, at_ns=1))
    log.flush()
    first.leave()
    (place,) = hub._places.values()
    hub._let_go(place)
    second = Waiter(hub, offer("VM", id="v", named=True, linger_s=1, timeout_s=5, at_ns=2))
    hub._expire(place)
    assert log.flush() == [Withdraw, Offer, Expire]
    assert not second.told
    assert hub.machine.pending_total == 1
    done: list[tuple[Effect, ...] | RetryableError] = []
    hub.withdraw("default", "v", done.append, owner="somebody else")
    hub.withdraw("default", "v", done.append, owner="")
    log.flush()
    assert [len(effects) for effects in done if isinstance(effects, tuple)] == [0, 1]


async def test_a_timer_that_is_early_by_a_little_waits_and_a_clock_that_was_set_back_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Callable[[], None]] = []

    def note(_: float, call: Callable[[], None]) -> asyncio.Handle:
        calls.append(call)
        return asyncio.get_running_loop().call_soon(lambda: None)

    hub = Coordinator(call_later=note)
    monkeypatch.setattr(hub, "now_ns", lambda: 1_000_000_000)
    early = Waiter(hub, offer("A", "a", timeout_s=0.003, at_ns=1_000_000_000))
    calls.pop()()
    assert not early.told
    assert len(calls) == 1, "it is called again"
    set_back = Waiter(hub, offer("B", "b", timeout_s=1, at_ns=3_600_000_000_000))
    calls.pop()()
    assert isinstance(await set_back.outcome(), TimedOut)
