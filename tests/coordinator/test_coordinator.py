"""The coordinator: offers in, results out, and the shutdown; on the memory log and on one that delivers late."""

import threading

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.coordinator.ids import random_ids
from syncnet.coordinator.waiters import Result
from syncnet.core.commands import Cause, Offer
from syncnet.core.effects import Aborted, Effect, Pending, Refused, SearchExhausted, Synced, TimedOut, Withdrawn
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.validation import make_abort
from syncnet.errors import DrainingError, JournalError
from tests.coordinator.fakes import LIVE_NS, SECOND_NS, LateLog, Outcomes, Server, named
from tests.core.offers import offer


@pytest.fixture
def server() -> Server:
    return Server()


def test_g7_members_of_a_sync_get_the_same_outcome_and_their_ranks(server: Server) -> None:
    vm, cust = server.offer(offer("VM")), server.offer(offer("CUST"))
    assert isinstance(vm.result, Synced)
    assert vm.result is cust.result
    assert (vm.rank, cust.rank) == (0, 1)


def test_an_offer_ends_when_its_timeout_has_passed(server: Server) -> None:
    vm = server.offer(offer("VM", timeout_s=1, at_ns=LIVE_NS))
    server.wait(0.9)
    assert not vm.results
    server.wait(0.2)
    assert isinstance(vm.result, TimedOut)
    assert vm.result.at_ns - vm.offer.at_ns >= SECOND_NS
    assert not server.offer(offer("CUST")).results


def test_g6_a_timeout_of_zero_means_now_or_never(server: Server) -> None:
    never = server.offer(offer("VM", timeout_s=0, at_ns=LIVE_NS))
    server.wait(0)
    assert isinstance(never.result, TimedOut)
    waiting = server.offer(offer("VM", at_ns=LIVE_NS))
    assert isinstance(server.offer(offer("CUST", timeout_s=0, at_ns=LIVE_NS)).result, Synced)
    assert isinstance(waiting.result, Synced)


def test_a_withdrawal_ends_the_wait_and_its_callback_gets_the_outcome(server: Server) -> None:
    vm = server.offer(offer("VM"))
    done = Outcomes()
    server.coordinator.withdraw("default", "VM", done)
    assert isinstance(vm.result, Withdrawn)
    assert vm.result.cause == Cause.WITHDRAWN
    server.coordinator.withdraw("default", "VM", done)
    assert done.called == [[vm.result], []]
    assert not server.offer(offer("CUST")).results


def test_an_abort_ends_all_waits_at_once(server: Server) -> None:
    clients = [server.offer(offer(actor, "coin", "tea", mates=5)) for actor in "ABC"]
    other = server.offer(offer("D", "coin", mates=5))
    done = Outcomes()
    server.coordinator.abort(make_abort(at_ns=1, by="ops", reason="no more tea", event="tea"), done)
    for client in clients:
        assert isinstance(client.result, Aborted)
        assert (client.result.by, client.result.reason) == ("ops", "no more tea")
    assert not other.results
    assert done.called == [[client.result for client in clients]]


def test_a_full_machine_refuses() -> None:
    server = Server(machine=Machine(Limits(pending_offers_max=1)))
    server.offer(offer("VM"))
    refused = server.offer(offer("OTHER", "tea")).result
    assert isinstance(refused, Refused)
    assert refused.code == "full"


def test_ids_are_not_repeated(server: Server) -> None:
    ids = [server.coordinator.new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(len(id) == 16 for id in ids)
    assert len(set(random_ids() + random_ids())) == 2 * len(random_ids())


def test_ids_come_from_the_function_that_was_given_which_is_called_when_they_are_used_up() -> None:
    numbers = iter(range(4))
    coordinator = Coordinator(timer_thread=False, new_ids=lambda: [f"id-{next(numbers)}", f"id-{next(numbers)}"])
    assert [coordinator.new_id() for _ in range(4)] == ["id-1", "id-0", "id-3", "id-2"]


def test_observers_get_every_effect_in_order() -> None:
    seen: list[Effect] = []
    server = Server(machine=Machine(Limits(search_steps_max=1)), observers=(seen.append,))
    clients = [server.offer(offer(actor, mates=2)) for actor in ("A", "B", "C")]
    clients[0].disconnect()
    assert [type(effect) for effect in seen] == [Pending, Pending, Pending, SearchExhausted, Withdrawn]


class Noted:
    """Notes its result under a name."""

    def __init__(self, results: dict[str, Synced | Result], name: str) -> None:
        self.results, self.name, self.charged = results, name, 0

    def charge(self, steps: int) -> None:
        self.charged += steps

    def synced(self, synced: Synced, rank: int) -> None:
        self.results[self.name] = synced

    def ended(self, result: Result) -> None:
        self.results[self.name] = result


def test_g1_g7_threads_that_share_a_coordinator_sync_in_pairs() -> None:
    coordinator = Coordinator(timer_thread=False)
    results: dict[str, Synced | Result] = {}

    def work(number: int) -> None:
        for turn in range(50):
            name = f"{number}-{turn}"
            made = offer(f"A{number}", f"event-{number // 2}-{turn}", id=name)
            made.waiter = Noted(results, name)
            coordinator.offer(made)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 400
    for number in range(0, 8, 2):
        for turn in range(50):
            assert isinstance(results[f"{number}-{turn}"], Synced)
            assert results[f"{number}-{turn}"] is results[f"{number + 1}-{turn}"]
    assert coordinator.machine.totals("default") == (0, 200, 0)


# --- shutdown ----------------------------------------------------------------------------------------------


def test_a_draining_coordinator_refuses_offers_and_shutting_down_ends_all_waits(server: Server) -> None:
    waiting = server.offer(offer("VM", timeout_s=3600))
    server.coordinator.drain()
    with pytest.raises(DrainingError):
        server.offer(offer("CUST"))
    assert not waiting.results
    assert server.coordinator.shut_down() == 1
    assert isinstance(waiting.result, DrainingError)
    assert server.coordinator.shut_down() == 0
    waiting.disconnect()
    assert server.machine.pending_total == 1
    assert server.wait(3600) == -1
    assert server.machine.pending_total == 1, "the timers were removed: a durable log keeps the offer"


def test_a_client_that_had_disconnected_does_not_count_as_waiting_when_the_server_shuts_down(server: Server) -> None:
    server.offer(named("VM", linger_s=10)).disconnect()
    assert server.coordinator.shut_down() == 0
    assert server.machine.pending_total == 1


def test_shutting_down_ends_the_waits_for_what_the_log_has_not_delivered() -> None:
    log = LateLog()
    server = Server(log)
    vm = server.offer(offer("VM"))
    withdrawn, aborted = Outcomes(), Outcomes()
    server.coordinator.withdraw("default", "VM", withdrawn)
    server.coordinator.abort(make_abort(at_ns=1, by="ops", reason="tea", event="tea"), aborted)
    assert server.coordinator.shut_down() == 1
    assert isinstance(vm.result, DrainingError)
    assert [type(each) for each in withdrawn.called + aborted.called] == [DrainingError, DrainingError]
    log.flush()
    assert len(vm.results) == len(withdrawn.called) == len(aborted.called) == 1


def test_g6_a_coordinator_is_idle_when_nothing_that_was_asked_for_may_still_happen() -> None:
    log = LateLog()
    server = Server(log)

    def is_idle() -> bool:
        return server.coordinator.is_idle

    assert is_idle()
    vm = server.offer(offer("VM"))
    assert not is_idle()
    log.flush()
    assert is_idle()
    server.coordinator.withdraw("default", "no-such-id", lambda _: None)
    assert not is_idle()
    log.flush()
    cust = server.offer(offer("CUST"))
    cust.disconnect()
    server.coordinator.drain()
    assert not is_idle(), "a client that disconnected may be a member of a sync, too"
    log.flush()
    assert is_idle()
    assert isinstance(vm.result, Synced)
    assert not cust.results
    assert server.coordinator.shut_down() == 0


# --- a log that delivers late ------------------------------------------------------------------------------


def test_g6_the_log_decides_whether_the_sync_or_the_withdrawal_came_first() -> None:
    log = LateLog()
    server = Server(log)
    vm, cust = server.offer(offer("VM", timeout_s=0)), server.offer(offer("CUST"))
    assert vm.results == cust.results == []
    cust.disconnect()  # before the log has delivered either
    assert log.flush() == [Offer, Offer]
    assert isinstance(vm.result, Synced)
    assert cust.results == []
    server.wait(0)
    assert log.flush() == [], "the timer of the timeout was removed"
    assert server.machine.totals("default") == (0, 1, 0)


def test_a_refused_command_gives_its_error_to_its_callback() -> None:
    log = LateLog()
    server = Server(log)
    error = JournalError("the disk is full")
    vm, done = server.offer(offer("VM")), Outcomes()
    server.coordinator.withdraw("default", "VM", done)
    server.coordinator.abort(make_abort(at_ns=1, by="ops", reason="tea", event="tea"), done)
    log.flush(error)
    assert vm.result is error
    assert done.called == [error, error]
    assert server.machine.pending_total == 0


def test_offers_from_before_the_start_are_taken_over() -> None:
    """Those with an id and a linger stay for it, all others are withdrawn: their clients have disconnected (G6)."""
    before = Machine()
    before.apply(named("KEPT", "a", linger_s=3600))
    before.apply(offer("GONE", "b"))
    before.apply(named("GONE-TOO", "c", linger_s=0))
    before.apply(named("LATE", "d", linger_s=3600, timeout_s=1))
    log = LateLog(before.snapshot())
    seen: list[Effect] = []
    server = Server(log, observers=(seen.append,))
    adopted = [effect.offer.actor for effect in seen if isinstance(effect, Pending)]
    assert adopted == ["KEPT", "GONE", "GONE-TOO", "LATE"]
    log.flush()
    assert [each.actor for each in server.machine.pending("default")] == ["KEPT", "LATE"]
    server.wait(1)
    log.flush()
    assert [each.actor for each in server.machine.pending("default")] == ["KEPT"]
    back = server.offer(named("KEPT", "a", linger_s=3600))
    log.flush()
    server.offer(offer("MATE", "a"))
    log.flush()
    assert isinstance(back.result, Synced)


def test_g6_a_command_on_its_way_is_not_for_the_next_offer_of_that_id() -> None:
    """All in one commit: the linger ends, the client makes the offer anew, and the old timeout passes."""
    log = LateLog()
    server = Server(log)
    first = server.offer(offer("VM", id="v", named=True, linger_s=1, timeout_s=5, at_ns=LIVE_NS))
    log.flush()
    first.disconnect()
    server.wait(1)
    second = server.offer(offer("VM", id="v", named=True, linger_s=1, timeout_s=5, at_ns=LIVE_NS + SECOND_NS))
    server.wait(4)
    assert [type(command).__name__ for command in log.undelivered()] == ["Withdraw", "Offer", "Expire"]
    log.flush()
    assert not second.results
    assert server.machine.pending_total == 1
    done = Outcomes()
    server.coordinator.withdraw("default", "v", done, owner="another token")
    server.coordinator.withdraw("default", "v", done, owner="")
    log.flush()
    assert done.called == [[], [second.result]]


# --- time --------------------------------------------------------------------------------------------------


def test_time_does_not_go_back_when_a_clock_did(server: Server) -> None:
    now_ns = server.coordinator.now_ns()
    server.clock.set_back_ns = SECOND_NS
    assert server.coordinator.now_ns() == now_ns
    server.clock.passed_ns = SECOND_NS + 1
    assert server.coordinator.now_ns() == now_ns + 1


def test_time_continues_from_the_latest_command_of_the_server_before() -> None:
    before = Machine()
    before.apply(named("A", "coin"))
    before.apply(offer("B", "coin", at_ns=LIVE_NS + 5))
    before.apply(named("C", "tea"))
    server = Server(LateLog(before.snapshot()))
    assert server.coordinator.now_ns() == LIVE_NS + 5


def test_a_timer_that_is_a_little_early_fires_again(server: Server) -> None:
    early = server.offer(offer("A", "a", timeout_s=1, at_ns=LIVE_NS))
    server.clock.set_back_ns = 3_000_000 + 2**22
    server.wait(1)
    assert not early.results
    server.wait(0.003)
    assert isinstance(early.result, TimedOut)
    assert early.result.at_ns >= LIVE_NS + SECOND_NS


def test_a_clock_that_was_set_back_delays_no_timeout(server: Server) -> None:
    client = server.offer(offer("B", "b", timeout_s=1, at_ns=LIVE_NS))
    server.clock.set_back_ns = 3_600 * SECOND_NS
    server.wait(1)
    assert isinstance(client.result, TimedOut)
