"""The coordinator of one namespace on one node of a cluster: commands of this node, and of others."""

from syncnet.coordinator.waiters import State, state_of
from syncnet.core.commands import Cause, Claim, Expire, NodeLost, Offer, Withdraw
from syncnet.core.effects import Effect, Pending, Synced, TimedOut, Withdrawn
from syncnet.errors import ClusterError, DrainingError, ReplacedError
from syncnet.log import ELSEWHERE
from tests.coordinator.fakes import LIVE_NS, LateReplicaLog, ReplicaServer, named
from tests.core.offers import offer


def lost(node: str, by: str) -> NodeLost:
    return NodeLost(LIVE_NS, "default", node, by)


def there(made: Offer, log: LateReplicaLog) -> Offer:
    """Let an offer be made at the other node."""
    log.follow(made)
    return made


def test_an_offer_of_another_node_has_no_timer_here() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    made = there(named("VM", timeout_s=1, linger_s=1, at_ns=LIVE_NS), log)
    assert made.waiter is ELSEWHERE
    assert server.coordinator.fire_due_timers() == -1
    log.follow(Expire(LIVE_NS, "default", "id-VM", LIVE_NS))
    assert server.machine.pending_total == 0


def test_offers_of_two_nodes_sync_and_the_client_here_gets_its_rank() -> None:
    seen: list[Effect] = []
    log = LateReplicaLog()
    server = ReplicaServer(log, (seen.append,))
    there(offer("VM", at_ns=LIVE_NS), log)
    cust = server.offer(offer("CUST", at_ns=LIVE_NS))
    log.flush()
    assert isinstance(cust.result, Synced)
    assert cust.rank == 1
    assert [type(effect) for effect in seen] == [Pending, Pending, Synced]
    log.follow(offer("VM", id="2", at_ns=LIVE_NS))
    here = server.offer(offer("X", "tea"))
    log.flush()
    log.follow(offer("CUST", "tea", id="3", at_ns=LIVE_NS))
    assert here.rank == 0


def test_the_offers_of_a_lost_node_are_withdrawn_and_those_with_an_id_linger_here() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    there(offer("UNNAMED", "a", at_ns=LIVE_NS), log)
    there(named("NAMED", "b", linger_s=10, at_ns=LIVE_NS), log)
    there(named("NO-LINGER", "c", linger_s=0, at_ns=LIVE_NS), log)
    there(named("TIMED", "d", linger_s=10, timeout_s=5, at_ns=LIVE_NS), log)
    mine = server.offer(offer("MINE", "e"))
    log.flush()
    log.append(lost("there", "here"))
    log.flush()
    assert [each.spec.actor for each in server.machine.pending("default")] == ["NAMED", "TIMED", "MINE"]
    assert server.machine.counts.ends[Cause.LOST] == 2
    server.wait(5)
    assert log.flush() == [Expire]
    server.wait(5)
    assert log.flush() == [Withdraw]
    assert [each.spec.actor for each in server.machine.pending("default")] == ["MINE"]
    assert not mine.results
    assert server.coordinator.fire_due_timers() == -1


def test_what_another_node_adopts_is_left_to_it() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    there(named("VM", linger_s=10, timeout_s=5, at_ns=LIVE_NS), log)
    log.follow(lost("there", "third"))
    (pending,) = server.machine.pending("default")
    assert (pending.node, pending.waiter) == ("third", ELSEWHERE)
    assert server.coordinator.fire_due_timers() == -1


def test_a_node_that_was_cut_off_makes_the_offers_again_whose_clients_are_connected() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    unnamed = server.offer(offer("UNNAMED", "a", timeout_s=60, at_ns=LIVE_NS))
    no_linger = server.offer(named("NO-LINGER", "b", linger_s=0, at_ns=LIVE_NS))
    log.flush()
    server.clock.passed_ns += 20 * 10**9
    log.follow(lost("here", "there"))
    assert server.machine.pending_total == 0
    again, other = log.undelivered()
    assert isinstance(again, Offer)
    assert (again.id, again.spec.timeout_ns) == ("UNNAMED", 40 * 10**9), "the time that is left"
    assert log.flush() == [Offer, Offer]
    assert server.machine.pending_total == 2
    there(offer("MATE", "a", at_ns=LIVE_NS), log)
    there(offer("MATE", "b", id="2", at_ns=LIVE_NS), log)
    assert isinstance(unnamed.result, Synced)
    assert isinstance(no_linger.result, Synced)
    assert isinstance(other, Offer)


def test_an_offer_that_is_made_again_too_late_times_out() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    late = server.offer(offer("LATE", timeout_s=1, at_ns=LIVE_NS))
    log.flush()
    server.clock.passed_ns += 20 * 10**9
    log.follow(lost("here", "there"))
    log.flush()
    server.wait(0)
    log.flush()
    assert isinstance(late.result, TimedOut)


def test_a_node_that_was_cut_off_claims_the_offers_with_an_id_whose_clients_are_connected() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    connected = server.offer(named("CONNECTED", "a", linger_s=10, at_ns=LIVE_NS))
    lingering = server.offer(named("LINGERING", "b", linger_s=10, at_ns=LIVE_NS))
    log.flush()
    lingering.disconnect()
    log.follow(lost("here", "there"))
    one, other = server.machine.pending("default")
    assert (state_of(one), state_of(other)) == (State.ATTENDED, State.ELSEWHERE)
    assert log.flush() == [Claim]
    assert (one.node, other.node) == ("here", "there")
    there(offer("MATE", "a", at_ns=LIVE_NS), log)
    assert isinstance(connected.result, Synced)
    assert server.coordinator.fire_due_timers() == -1


def test_a_client_that_disconnects_before_its_offer_is_claimed() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    vm = server.offer(named("VM", linger_s=1, at_ns=LIVE_NS))
    log.flush()
    log.follow(lost("here", "there"))
    vm.disconnect()
    assert log.flush() == [Claim]
    server.wait(1)
    assert log.flush() == [Withdraw]
    assert server.machine.pending_total == 0


def test_a_claim_of_another_node_replaces_the_request_here() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    vm = server.offer(named("VM", linger_s=10, timeout_s=60, at_ns=LIVE_NS))
    log.flush()
    (pending,) = server.machine.pending("default")
    log.follow(Claim(LIVE_NS, "default", "id-VM", "there", pending.at_ns, 7))
    assert not vm.results, "it was asked for less often"
    log.follow(Claim(LIVE_NS, "default", "id-VM", "there", pending.at_ns, 0))
    assert isinstance(vm.result, ReplacedError)
    assert server.coordinator.fire_due_timers() == -1


def test_the_clients_of_a_node_that_leaves_are_asked_to_go_to_another() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    unnamed = server.offer(offer("UNNAMED", "a"))
    connected = server.offer(named("NAMED", "b", linger_s=10, at_ns=LIVE_NS))
    log.flush()
    server.coordinator.drain()
    log.append(lost("here", "there"))
    log.flush()
    assert isinstance(unnamed.result, DrainingError)
    assert isinstance(connected.result, DrainingError)
    assert [each.node for each in server.machine.pending("default")] == ["there"]
    assert log.undelivered() == []
    assert server.coordinator.fire_due_timers() == -1


def test_all_waits_end_when_the_state_is_not_certain() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    pending = server.offer(offer("PENDING", "a", timeout_s=60, at_ns=LIVE_NS))
    lingering = server.offer(named("LINGERING", "b", linger_s=10, at_ns=LIVE_NS))
    there(offer("THERE", "c", at_ns=LIVE_NS), log)
    log.flush()
    lingering.disconnect()
    queued = server.offer(offer("QUEUED", "d"))
    error = ClusterError("made anew")
    server.coordinator.abandon(error)
    assert (pending.result, queued.result, lingering.results) == (error, error, [])
    assert server.coordinator.fire_due_timers() == -1


def test_a_namespace_is_used_while_a_client_waits_here() -> None:
    log = LateReplicaLog()
    server = ReplicaServer(log)
    there(offer("THERE", at_ns=LIVE_NS), log)
    unused = [server.coordinator.is_unused]
    here = server.offer(offer("HERE", "tea"))
    unused.append(server.coordinator.is_unused)
    log.flush()
    unused.append(server.coordinator.is_unused)
    here.disconnect()
    log.flush()
    unused.append(server.coordinator.is_unused)
    assert unused == [True, False, False, True]


def test_what_happened_before_a_node_took_part_is_neither_counted_nor_observed() -> None:
    seen: list[Effect] = []
    log = LateReplicaLog()
    log.is_ready = False
    server = ReplicaServer(log, (seen.append,))
    for actor in ("VM", "CUST"):
        there(offer(actor, at_ns=LIVE_NS), log)
    waiting = there(offer("WAITING", "tea", at_ns=LIVE_NS), log)
    late: list[Effect] = []
    server.coordinator.add_observer(late.append)
    assert [len(seen), len(late)] == [0, 0]
    log.become_ready()
    assert seen == late == [Pending(waiting)]
    assert server.machine.counts.synced == 0
    log.follow(Withdraw(LIVE_NS, "default", "WAITING", Cause.WITHDRAWN))
    assert isinstance(seen[-1], Withdrawn)
    assert seen == late


def test_states_that_differ_have_other_fingerprints() -> None:
    prints = []
    for actors in (["A", "B"], ["A", "C"], ["A"], []):
        log = LateReplicaLog()
        server = ReplicaServer(log)
        for actor in actors:
            there(offer(actor, at_ns=LIVE_NS), log)
        prints.append(server.coordinator.fingerprint("default", 0))
    assert [syncs for syncs, _ in prints] == [1, 1, 0, 0]
    assert len({data for _, data in prints}) == 4
