"""The machine: what each kind of arrival returns, which offer a withdrawal means, and what is forgotten when."""

import pytest

from syncnet.core.commands import Abort, Cause, Claim, Expire, NodeLost, Offer, Withdraw
from syncnet.core.effects import Attached, Pending, Refused, Replayed, SearchExhausted, Synced, Withdrawn
from syncnet.core.limits import OUTCOMES_FORGOTTEN_AT_ONCE_MAX, Limits
from syncnet.core.machine import Machine
from tests.core.offers import offer, synced

SECOND_NS = 1_000_000_000


# --- answers -----------------------------------------------------------------------------------------------


def test_the_answer_to_an_offer_that_does_not_sync_is_none() -> None:
    machine, one = Machine(), offer("A")
    assert machine.offer(one) is None
    assert machine.effects_of(one, None) == (Pending(one),)
    assert (one.arrival, machine.pending("default")) == (1, [one])


def test_the_answer_to_an_offer_that_syncs_is_the_sync() -> None:
    machine, one, other = Machine(), offer("A"), offer("B", at_ns=5)
    assert machine.offer(one) is None
    answer = machine.offer(other)
    assert answer == Synced(5, "default", "coin", 1, (one, other))
    assert machine.effects_of(other, answer) == (Pending(other), answer)
    assert (other.arrival, machine.pending("default")) == (2, [])


def test_the_answer_to_an_offer_that_is_pending_already_is_attached() -> None:
    machine, one, again = Machine(), offer("A", named=True), offer("A", named=True, at_ns=5)
    machine.offer(one)
    answer = machine.offer(again)
    assert answer == Attached(again)
    assert machine.effects_of(again, answer) == (answer,)
    assert machine.pending("default") == [one]
    assert (one.asked, again.asked) == (1, 0)


def test_the_answer_to_an_offer_that_has_ended_is_replayed() -> None:
    machine, one, again = Machine(), offer("A", mates=0, named=True), offer("A", mates=0, named=True, at_ns=5)
    sync = machine.offer(one)
    assert isinstance(sync, Synced)
    answer = machine.offer(again)
    assert answer == Replayed(again, sync)
    assert machine.effects_of(again, answer) == (answer,)
    assert machine.totals("default") == (0, 1, 0)


@pytest.mark.parametrize("named", [True, False])
def test_the_answer_to_another_offer_with_the_id_of_a_pending_one_is_refused(named: bool) -> None:
    machine = Machine()
    machine.offer(offer("A", id="x", named=True))
    other = offer("B", id="x", named=named)
    answer = machine.offer(other)
    assert answer == Refused(other, "id-reused", "the id x is that of another offer, which is pending")
    assert machine.effects_of(other, answer) == (answer,)


def test_the_answer_to_another_offer_with_the_id_of_an_ended_one_is_refused() -> None:
    machine = Machine()
    machine.offer(offer("A", id="x", mates=0, named=True))
    other = offer("B", id="x", named=True)
    assert machine.offer(other) == Refused(other, "id-reused", "the id x is that of another offer, which has ended")


def test_the_answer_to_an_offer_for_which_there_is_no_room_is_refused() -> None:
    machine = Machine(Limits(pending_offers_max=1))
    machine.offer(offer("A", "tea"))
    other = offer("B")
    assert machine.offer(other) == Refused(other, "full", "1 offers are pending, which is the limit")
    assert other.arrival == 0


def test_exhausted_searches_are_those_of_the_latest_offer() -> None:
    machine = Machine(Limits(search_steps_max=10))
    for number in range(5):
        machine.offer(offer(f"A{number}", mates=5))
    last, plain = offer("B", mates=5), offer("C", "tea")
    assert machine.offer(last) is None
    assert machine.exhausted_by(last) == [SearchExhausted(0, last, "coin", 10)]
    assert machine.offer(plain) is None
    assert machine.exhausted_by(plain) == []


# --- withdrawals -------------------------------------------------------------------------------------------


def lost(one_asked: int) -> Withdraw:
    """The withdrawal of the offer A that the coordinator appends when the connection of a request is lost."""
    return Withdraw(9, "default", "A", Cause.DISCONNECTED, made_ns=0, asked=one_asked)


def test_g7_an_offer_that_was_asked_for_again_is_not_withdrawn_for_the_earlier_request() -> None:
    machine, one = Machine(), offer("A", named=True)
    machine.apply(one)
    before = one.asked
    machine.apply(offer("A", named=True, at_ns=5))
    assert machine.apply(lost(before)) == ()
    assert machine.pending("default") == [one]
    assert machine.apply(lost(one.asked)) == (Withdrawn(9, one, Cause.DISCONNECTED),)
    assert machine.pending("default") == []


def test_g7_an_offer_that_was_not_asked_for_again_is_withdrawn() -> None:
    machine, one = Machine(), offer("A", named=True)
    machine.apply(one)
    assert machine.apply(lost(one.asked)) == (Withdrawn(9, one, Cause.DISCONNECTED),)


def test_g7_a_refused_request_is_not_asking_again() -> None:
    machine, one = Machine(), offer("A", named=True)
    machine.apply(one)
    assert isinstance(machine.offer(offer("A", named=True, mates=3)), Refused)
    assert machine.apply(lost(0)) == (Withdrawn(9, one, Cause.DISCONNECTED),)


@pytest.mark.parametrize(
    "other", [Withdraw(9, "default", "A", Cause.WITHDRAWN, made_ns=1), Expire(9, "default", "A", made_ns=1),
              Withdraw(9, "default", "A", Cause.WITHDRAWN, owner="ci"), Withdraw(9, "n", "A", Cause.WITHDRAWN),
              Expire(9, "n", "A"), Abort(9, "default", "", "", "B", "ops", "because")]
)  # fmt: skip
def test_an_end_that_means_another_offer_has_no_effect(other: Withdraw | Expire | Abort) -> None:
    machine, one = Machine(), offer("A")
    machine.apply(one)
    assert machine.end(other) == []
    assert machine.pending("default") == [one]


# --- what is forgotten -------------------------------------------------------------------------------------


def test_outcomes_are_forgotten_by_age_and_the_id_may_be_used_again() -> None:
    machine = Machine(Limits(outcome_ttl_s=10))
    one, late = (offer("A", mates=0, named=True, at_ns=seconds * SECOND_NS) for seconds in (0, 11))
    assert isinstance(machine.offer(one), Synced)
    assert machine.outcome_of("default", "A", 10 * SECOND_NS) is not None
    assert machine.outcome_of("default", "A", 10 * SECOND_NS + 1) is None
    answer = machine.offer(late)
    assert isinstance(answer, Synced)
    assert answer.sync == 2
    assert machine.snapshot().outcomes == (answer,)


def test_outcomes_are_forgotten_by_number_the_oldest_first() -> None:
    machine = Machine(Limits(outcomes_max=2))
    for actor in "ABC":
        machine.offer(offer(actor, mates=0, named=True))
    assert [machine.outcome_of("default", actor, 0) is not None for actor in "ABC"] == [False, True, True]
    assert len(machine.snapshot().outcomes) == 2


def test_an_outcome_that_is_forgotten_leaves_the_newer_one_of_the_same_id() -> None:
    machine = Machine(Limits(outcome_ttl_s=10, outcomes_max=2))
    machine.offer(offer("A", mates=0, named=True))
    machine.restore(machine.snapshot())
    newer = offer("A", mates=0, named=True, at_ns=11 * SECOND_NS)
    machine.offer(newer)
    machine.offer(offer("B", mates=0, named=True, at_ns=12 * SECOND_NS))
    known = machine.outcome_of("default", "A", 12 * SECOND_NS)
    assert known is not None
    assert known[0] is newer


def test_the_trace_forgets_the_oldest_sync_of_all_namespaces() -> None:
    machine = Machine(Limits(trace_syncs_max=2))
    for namespace in ("one", "two", "two"):
        machine.offer(offer("A", namespace=namespace, mates=0))
    assert machine.trace("one", 0, 10) == []
    assert [each.sync for each in machine.trace("two", 0, 10)] == [1, 2]
    assert [each.sync for each in machine.trace("two", 1, 10)] == [2]
    assert machine.totals("one") == (0, 1, 0), "the number of syncs is kept"


def test_a_forgotten_namespace_keeps_its_outcomes_and_its_trace() -> None:
    machine = Machine(Limits(namespaces_max=1))
    one = offer("A", namespace="one", mates=0, named=True)
    sync = machine.offer(one)
    machine.offer(offer("A", namespace="two", mates=0))
    assert machine.totals("one") == (0, 0, 0)
    assert machine.offer(one) == Replayed(one, sync)  # type: ignore[arg-type]
    assert [each.sync for each in machine.trace("one", 0, 10)] == [1]
    restored = Machine()
    restored.restore(machine.snapshot())
    assert restored.snapshot() == machine.snapshot()


def test_a_namespace_without_syncs_is_forgotten_when_its_last_offer_ends() -> None:
    machine = Machine()
    machine.apply(offer("A", namespace="one"))
    assert machine.totals("one") == (1, 0, 0)
    machine.apply(Expire(0, "one", "A"))
    assert machine.snapshot().namespaces == ()


def test_an_offer_that_is_refused_makes_the_machine_forget_no_namespace() -> None:
    """Law 4: the state is as it was, also where a new namespace would take the place of an old one."""
    machine = Machine(Limits(namespaces_max=2, pending_offers_max=1))
    machine.apply(offer("A", namespace="one", mates=0))
    machine.apply(offer("A", namespace="two"))
    before = machine.snapshot()
    assert isinstance(machine.offer(offer("A", namespace="three")), Refused)
    assert machine.snapshot() == before
    assert synced(machine.apply(offer("A", namespace="three", mates=0))) == [["A"]]
    assert machine.totals("one") == (0, 0, 0)


def test_g8_one_command_forgets_the_outcomes_of_few_offers() -> None:
    """Ten large syncs are too old at once; each command forgets one of them."""
    machine = Machine(Limits(outcome_ttl_s=1))
    parties = OUTCOMES_FORGOTTEN_AT_ONCE_MAX
    for number in range(10):
        for party in range(parties):
            machine.apply(offer(f"P{party}", id=f"{number}-{party}", mates=parties - 1, named=True))
    assert len(machine.snapshot().outcomes) == 10
    for left in range(9, -1, -1):
        machine.apply(offer("A", mates=0, at_ns=2_000_000_000))
        assert len(machine.snapshot().outcomes) == left


# --- nodes of a cluster ------------------------------------------------------------------------------------


def of_node(node: str, made: Offer) -> Offer:
    made.node = node
    return made


def test_the_offers_of_a_lost_node_are_withdrawn_or_given_to_another() -> None:
    machine = Machine()
    unnamed = of_node("n1", offer("A", "a"))
    for made in (
        unnamed,
        of_node("n1", offer("B", "b", named=True, linger_s=1)),
        of_node("n1", offer("C", "c", named=True, linger_s=0)),
        of_node("n2", offer("D", "d")),
        of_node("n1", offer("E", "e", namespace="other")),
    ):
        machine.offer(made)
    ended = machine.end(NodeLost(7, "default", "n1", "n3"))
    assert ended[0] == Withdrawn(7, unnamed, Cause.LOST)
    assert [each.offer.id for each in ended if isinstance(each, Withdrawn)] == ["A", "C"]
    assert [(each.id, each.node) for each in machine.pending("default")] == [("B", "n3"), ("D", "n2")]
    assert [each.node for each in machine.pending("other")] == ["n1"], "each namespace has a loss of its own"
    assert machine.end(NodeLost(8, "default", "n1", "n3")) == []
    assert machine.end(NodeLost(8, "none", "n1", "n3")) == []


def test_g6_the_offer_of_a_lost_node_is_gone_and_may_be_made_again() -> None:
    machine = Machine()
    machine.offer(of_node("n1", offer("A", named=True, linger_s=0)))
    machine.end(NodeLost(7, "default", "n1", "n2"))
    assert machine.offer(offer("B", at_ns=8)) is None
    again = machine.offer(of_node("n2", offer("A", named=True, linger_s=0, at_ns=9)))
    assert isinstance(again, Synced)
    assert synced([again]) == [["B", "A"]]


def test_who_left_with_a_lost_node_is_remembered() -> None:
    machine = Machine()
    machine.offer(of_node("n1", offer("A")))
    machine.end(NodeLost(7, "default", "n1", "n2"))
    (((_, _, departures),)) = machine.departures("default").all()
    assert [(each.actor, each.at_ns) for each in departures] == [("A", 7)]


def test_asking_again_at_another_node_gives_the_offer_to_that_node() -> None:
    machine, one = Machine(), of_node("n1", offer("A", named=True))
    machine.offer(one)
    machine.offer(of_node("n2", offer("A", named=True)))
    assert (one.node, one.asked) == ("n2", 1)
    assert machine.end(NodeLost(7, "default", "n1", "n3")) == []
    assert one.node == "n2"


def test_a_claim_gives_an_offer_to_a_node_unless_it_was_asked_for_since() -> None:
    machine, one = Machine(), of_node("n1", offer("A", named=True, at_ns=5))
    machine.offer(one)
    for claim in (
        Claim(7, "default", "A", "n2", 4, 0),
        Claim(7, "default", "A", "n2", 5, 1),
        Claim(7, "default", "B", "n2", 5, 0),
        Claim(7, "other", "A", "n2", 5, 0),
    ):
        assert machine.end(claim) == []
    assert (one.node, one.asked) == ("n1", 0)
    assert machine.end(Claim(7, "default", "A", "n2", 5, 0)) == []
    assert (one.node, one.asked) == ("n2", 1)
    assert machine.end(Withdraw(8, "default", "A", Cause.DISCONNECTED, 5, None, 0)) == [], "the claim came before it"
