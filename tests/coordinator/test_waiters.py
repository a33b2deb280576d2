"""Waiters: clients that disconnect, linger, and ask again. The life of a waiter follows its table."""

import ast
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from syncnet.coordinator.waiters import TRANSITIONS, Event, State, state_of
from syncnet.core.commands import Cause, Claim, Expire, NodeLost, Offer, Withdraw
from syncnet.core.effects import Effect, Refused, Synced, TimedOut, Withdrawn
from syncnet.errors import JournalError, ReplacedError
from tests.coordinator.fakes import LIVE_NS, Client, LateLog, LateReplicaLog, Outcomes, ReplicaServer, Server, named
from tests.core.offers import offer

SEED = int(os.environ.get("SYNCNET_SEED", "20261124"))
REFUSED = JournalError("the disk is full")
SOURCE = Path(__file__).parents[2] / "src" / "syncnet" / "coordinator" / "waiters.py"
"""Read from the file: a compiled module has no docstring."""


@pytest.fixture
def server() -> Server:
    return Server()


# --- disconnecting -----------------------------------------------------------------------------------------


def test_g6_the_offer_of_a_client_that_disconnects_is_withdrawn() -> None:
    seen: list[Effect] = []
    server = Server(observers=(seen.append,))
    vm = server.offer(offer("VM"))
    vm.disconnect()
    assert isinstance(seen[-1], Withdrawn)
    assert seen[-1].cause == Cause.DISCONNECTED
    assert not vm.results, "its client has disconnected"
    assert not server.offer(offer("CUST")).results


def test_g6_disconnecting_after_the_sync_undoes_nothing(server: Server) -> None:
    vm, cust = server.offer(offer("VM")), server.offer(offer("CUST"))
    vm.disconnect()
    cust.disconnect()
    assert vm.result is cust.result
    assert server.machine.totals("default") == (0, 1, 0)


def test_disconnecting_twice_does_not_touch_a_later_offer_of_that_id(server: Server) -> None:
    first = server.offer(offer("VM"))
    first.disconnect()
    again = server.offer(offer("VM"))
    first.disconnect()
    assert not again.results
    assert server.machine.pending_total == 1


def test_an_offer_whose_client_disconnected_before_the_log_delivered_it_is_withdrawn() -> None:
    log = LateLog()
    server = Server(log)
    server.offer(offer("VM")).disconnect()
    assert log.flush() == [Offer]
    assert log.flush() == [Withdraw]
    assert server.machine.pending_total == 0


def test_g7_an_offer_whose_client_disconnected_before_the_log_delivered_it_lingers() -> None:
    log = LateLog()
    server = Server(log)
    server.offer(named("VM", linger_s=10)).disconnect()
    assert log.flush() == [Offer]
    server.wait(9)
    assert log.undelivered() == []
    server.wait(1)
    assert log.flush() == [Withdraw]
    assert server.machine.pending_total == 0


# --- lingering ---------------------------------------------------------------------------------------------


def test_a_lingering_offer_waits_for_its_client_and_is_then_withdrawn(server: Server) -> None:
    vm = server.offer(named("VM", linger_s=3600))
    vm.disconnect()
    back = server.offer(named("VM", linger_s=3600))
    short = server.offer(named("SHORT", "tea", linger_s=1))
    short.disconnect()
    server.wait(0.9)
    assert server.machine.pending_total == 2
    server.wait(0.1)
    assert server.machine.pending_total == 1
    server.offer(offer("CUST"))
    assert isinstance(back.result, Synced)
    assert vm.results == short.results == []


def test_a_lingering_offer_syncs_and_its_client_gets_the_sync_when_it_asks_again(server: Server) -> None:
    vm = server.offer(named("VM", linger_s=10))
    vm.disconnect()
    mate = server.offer(offer("CUST", at_ns=LIVE_NS))
    back = server.offer(named("VM", linger_s=10))
    assert back.result is mate.result
    assert (back.rank, mate.rank) == (0, 1)
    assert vm.results == []


def test_a_timeout_continues_while_an_offer_lingers(server: Server) -> None:
    server.offer(named("VM", linger_s=3600, timeout_s=1)).disconnect()
    server.wait(1)
    assert server.machine.pending_total == 0
    back = server.offer(named("VM", linger_s=3600, timeout_s=1))
    assert isinstance(back.result, TimedOut)


@pytest.mark.parametrize("end", ["sync", "timeout", "withdrawal", "client asks again", "shutdown"])
def test_whatever_ends_a_linger_leaves_no_timer_behind(server: Server, end: str) -> None:
    server.offer(named("VM", linger_s=3600, timeout_s=60 if end == "timeout" else None)).disconnect()
    if end == "sync":
        server.offer(offer("CUST", at_ns=LIVE_NS))
    elif end == "timeout":
        server.wait(60)
    elif end == "withdrawal":
        server.coordinator.withdraw("default", "id-VM", lambda _: None)
    elif end == "shutdown":
        server.coordinator.shut_down()
    else:
        server.offer(named("VM", linger_s=3600))
    assert server.coordinator.fire_due_timers() == -1


def test_a_linger_that_ends_while_its_client_is_asking_again_does_not_end_the_offer() -> None:
    """The request that asks again is in the log before the withdrawal is, and so the withdrawal has no effect."""
    log = LateLog()
    server = Server(log)
    first = server.offer(named("VM", linger_s=10))
    log.flush()
    first.disconnect()
    back = server.offer(named("VM", linger_s=10))
    server.wait(10)
    assert log.flush() == [Offer, Withdraw]
    assert not back.results
    assert server.machine.pending_total == 1
    server.offer(offer("CUST"))
    log.flush()
    assert isinstance(back.result, Synced)


def test_a_client_that_asks_again_and_disconnects_again_has_a_new_linger() -> None:
    log = LateLog()
    server = Server(log)
    server.offer(named("VM", linger_s=10))
    log.flush()
    server.offer(named("VM", linger_s=10)).disconnect()
    assert log.flush() == [Offer]
    server.wait(9)
    assert log.undelivered() == []
    other = server.offer(named("VM", "tea", linger_s=10))  # another offer by this id, which extends nothing
    server.wait(1)
    assert log.flush() == [Offer, Withdraw]
    assert isinstance(other.result, Refused)
    assert server.machine.pending_total == 0


def test_a_withdrawal_and_an_expiry_that_the_log_refuses_are_tried_again() -> None:
    log = LateLog()
    server = Server(log)
    vm = server.offer(offer("VM"))
    log.flush()
    vm.disconnect()
    late = server.offer(offer("LATE", "tea", timeout_s=1, at_ns=LIVE_NS))
    assert log.flush(REFUSED) == [Withdraw, Offer]
    assert late.result is REFUSED
    late = server.offer(offer("LATE", "tea", timeout_s=1, at_ns=LIVE_NS))
    log.flush()
    server.wait(0.4)
    assert log.undelivered() == []
    server.wait(0.1)
    assert log.flush() == [Withdraw]
    server.wait(0.6)
    assert log.flush(REFUSED) == [Expire]
    server.wait(0.5)
    assert log.flush() == [Expire]
    assert isinstance(late.result, TimedOut)
    assert server.machine.pending_total == 0
    assert server.coordinator.fire_due_timers() == -1


# --- asking again ------------------------------------------------------------------------------------------


def test_g7_a_request_that_asks_again_replaces_the_waiter(server: Server) -> None:
    first, second = server.offer(named("VM")), server.offer(named("VM"))
    assert isinstance(first.result, ReplacedError)
    first.disconnect()
    assert server.machine.pending_total == 1
    server.offer(offer("CUST"))
    assert isinstance(second.result, Synced)


def test_g7_asking_again_after_the_end_gives_the_same_outcome(server: Server) -> None:
    first, _ = server.offer(named("VM")), server.offer(offer("CUST", at_ns=LIVE_NS))
    again = server.offer(named("VM"))
    assert again.result is first.result
    assert again.rank == first.rank == 0
    refused = server.offer(named("VM", "tea")).result
    assert isinstance(refused, Refused)
    assert refused.code == "id-reused"


def test_g7_asking_again_before_the_log_has_delivered_the_first() -> None:
    log = LateLog()
    server = Server(log)
    first, second = server.offer(named("VM")), server.offer(named("VM"))
    assert not first.results
    log.flush()
    assert isinstance(first.result, ReplacedError)
    assert not second.results
    assert server.machine.pending_total == 1


def test_a_client_that_asks_again_before_the_first_has_disconnected_keeps_an_offer_without_linger() -> None:
    log = LateLog()
    server = Server(log)
    first, second = server.offer(named("VM", linger_s=0)), server.offer(named("VM", linger_s=0))
    first.disconnect()
    assert log.flush() == [Offer, Offer]
    assert log.flush() == [Withdraw], "which has no effect: the second request is before it in the log"
    assert not second.results
    assert server.machine.pending_total == 1
    second.disconnect()
    assert log.flush() == [Withdraw]
    assert server.machine.pending_total == 0


def test_a_client_that_asks_again_while_the_withdrawal_is_on_its_way_comes_too_late() -> None:
    """The withdrawal is first in the log, so the request makes a new offer."""
    log = LateLog()
    server = Server(log)
    first = server.offer(named("VM", linger_s=0))
    log.flush()
    first.disconnect()
    second = server.offer(named("VM", linger_s=0))
    assert log.flush() == [Withdraw, Offer]
    assert not second.results
    assert server.machine.pending_offer("default", "id-VM") is second.offer


# --- the table ---------------------------------------------------------------------------------------------


def table_in_docstring() -> dict[tuple[State, Event], set[State]]:
    """The transitions that the docstring of `waiters.py` shows, each with the states that it names."""
    table: dict[tuple[State, Event], set[State]] = {}
    state = None
    for line in (ast.get_docstring(ast.parse(SOURCE.read_text())) or "").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 4 or cells[0] == "state" or set(cells[0]) == {"-"}:
            continue
        state = State(cells[0]) if cells[0] else state
        assert state is not None
        if cells[2]:
            transition = cells[3].partition(";")[0]
            words = transition.replace(",", " ").split()
            table[state, Event(cells[2])] = {each for each in State if each.value in words}
        else:
            assert state is State.ENDED
    return table


def test_the_table_in_the_docstring_is_the_one_in_the_code() -> None:
    shown = table_in_docstring()
    assert shown.keys() == TRANSITIONS.keys()
    for key, state in TRANSITIONS.items():
        # One that depends on the linger is shown with both states: it is over at once where there is none.
        expected = {state}
        if key == (State.ATTENDED, Event.DISCONNECTED):
            expected.add(TRANSITIONS[State.LINGERING, Event.LINGER_OVER])
        assert shown[key] == expected


class Life:
    """One offer id, and events at random: the state of its waiter must be the one that the table says.

    The coordinator is that of one node of a cluster, because only there all of the events happen.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.log = LateReplicaLog()
        self.server = ReplicaServer(self.log)
        self.linger_s = chance.choice([0, 5])
        self.clients: list[Client] = []
        self.events: list[Event] = []
        self.start()

    def start(self) -> None:
        at_ns = self.server.coordinator.now_ns()
        self.made = named("VM", linger_s=self.linger_s, at_ns=at_ns)
        self.ask()
        self.state = State.ATTENDED

    def ask(self) -> None:
        self.clients.append(self.server.offer(self.request()))
        self.log.flush()

    def request(self) -> Offer:
        return Offer(self.made.spec, self.made.id, self.made.at_ns, self.made.payload, self.made.payload_bytes, True)

    def pending(self) -> Offer | None:
        return self.server.machine.pending_offer("default", "id-VM")

    def can(self, event: Event) -> bool:
        """An offer without a linger is withdrawn when its node is lost, and so never adopted."""
        return event is not Event.ADOPTED or self.linger_s > 0

    def step(self) -> None:
        """Let one of the events happen that the table has for the present state, and check the next state."""
        event = self.chance.choice([event for state, event in TRANSITIONS if state is self.state and self.can(event)])
        self.events.append(event)
        waiting = self.clients[-1]
        results = len(waiting.results)
        pending = self.pending()
        assert pending is not None
        asked, before = pending.asked, self.state
        self.happen(event, waiting)
        self.state = TRANSITIONS[before, event]
        if self.state is State.LINGERING and event is Event.DISCONNECTED and not self.linger_s:
            self.state = TRANSITIONS[self.state, Event.LINGER_OVER]
        now = self.pending()
        if self.state is State.ENDED:
            assert now is None
        else:
            assert now is pending
            assert state_of(now) is self.state
            assert now.asked == asked + (event in (Event.ASKED_AGAIN, Event.MOVED))
        withdrawals = [command for command in self.log.undelivered() if isinstance(command, Withdraw)]
        assert len(withdrawals) == (self.state is State.ABANDONED)
        called = before is State.ATTENDED and event in (Event.RESULT, Event.ASKED_AGAIN, Event.MOVED)
        assert len(waiting.results) == results + called
        if called:
            assert isinstance(waiting.result, ReplacedError) == (event is not Event.RESULT)

    def happen(self, event: Event, waiting: Client) -> None:
        if event is Event.RESULT:
            if self.log.undelivered():
                self.log.flush()
            else:
                self.end()
        elif event is Event.DISCONNECTED:
            waiting.disconnect()
        elif event is Event.ASKED_AGAIN:
            self.before_the_withdrawal(self.ask)
        elif event is Event.MOVED:
            self.before_the_withdrawal(self.move)
        elif event is Event.ADOPTED:
            self.server.coordinator.namespace_log.append(NodeLost(LIVE_NS, "default", "there", "here"))
            self.log.flush()
        elif event is Event.LINGER_OVER:
            self.server.wait(self.linger_s or 0.5)
        else:
            self.log.flush(REFUSED)

    def end(self) -> None:
        """End the offer, by a command of this node or of another."""
        mate, withdrawal = offer("CUST", at_ns=LIVE_NS), Withdraw(LIVE_NS, "default", "id-VM", Cause.WITHDRAWN)
        match self.chance.randrange(4):
            case 0:
                self.server.offer(mate)
            case 1:
                self.server.coordinator.withdraw("default", "id-VM", Outcomes())
            case 2:
                self.log.follow(mate)
            case 3:
                self.log.follow(withdrawal)
        self.log.flush()

    def move(self) -> None:
        """Let the client ask again at another node; or that node claims the offer for it."""
        if self.chance.random() < 0.5:
            self.log.follow(self.request())
        else:
            pending = self.pending()
            assert pending is not None
            self.log.follow(Claim(LIVE_NS, "default", "id-VM", "there", pending.at_ns, pending.asked))

    def before_the_withdrawal(self, act: Callable[[], None]) -> None:
        """Act; where a withdrawal is in the log, that comes before it."""
        late, self.log.appended = self.log.appended, []
        act()
        self.log.appended = late
        self.log.flush()  # the withdrawal has no effect now


def test_random_sequences_of_events_follow_the_table() -> None:
    print(f"SYNCNET_SEED={SEED}")
    chance = random.Random(SEED)
    seen: set[tuple[State, Event]] = set()
    for _ in range(400):
        life = Life(chance)
        try:
            for _ in range(12):
                before = life.state
                life.step()
                seen.add((before, life.events[-1]))
                if life.state is State.ENDED:
                    break
        except AssertionError:
            print([event.value for event in life.events])
            raise
        if life.state is State.ENDED:
            assert life.server.coordinator.fire_due_timers() == -1
        assert all(len(client.results) <= 1 for client in life.clients)
    assert seen == TRANSITIONS.keys()
