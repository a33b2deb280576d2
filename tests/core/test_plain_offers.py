"""Plain offers stand in queues, all others in books; nobody can tell, and what they weigh is the same."""

from hypothesis import given
from hypothesis import strategies as st

from syncnet.core.commands import Abort, Cause, Expire, Withdraw
from syncnet.core.effects import Aborted, SearchExhausted, TimedOut
from syncnet.core.index import PendingOffer, weight_bytes
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core.offers import offer, synced

NAMES = st.text("abcXYZ019", min_size=1, max_size=63)


@given(NAMES, st.text(min_size=1, max_size=64).filter(str.isprintable), st.binary(max_size=64))
def test_a_plain_offer_weighs_what_it_would_weigh_as_any_other(actor: str, event: str, payload: bytes) -> None:
    standing = PendingOffer(1, offer(actor, event, payload=payload))
    assert standing.is_plain
    assert standing.weight_bytes == weight_bytes(standing.offer)


def test_what_is_plain() -> None:
    plain = [offer("A"), offer("A", "x"), offer("A", labels={"actor": "A"}), offer("A", selector="actor != A")]
    plain += [offer("A", timeout_s=1), offer("A", named=True), offer("A", owner="t", payload=b"1")]
    others = [offer("A", "x", "y"), offer("A", mates=0), offer("A", mates=2), offer("A", expect=["B"])]
    others += [offer("A", labels={"k": "v"}), offer("A", labels={"actor": "B"}), offer("A", selector="")]
    others += [offer("A", selector="actor!=B"), offer("A", selector="actor notin (A)"), offer("A", selector="k!=A")]
    others += [offer("A", selector="actor!=A,k")]
    assert [PendingOffer(1, each).is_plain for each in plain] == [True] * len(plain)
    assert [PendingOffer(1, each).is_plain for each in others] == [False] * len(others)


def test_g5_the_eldest_of_a_queue_goes_first_also_after_a_book_was_made_of_it() -> None:
    machine = Machine()
    for id in ("1", "2", "3", "4"):
        machine.apply(offer("A", id=id))
    machine.apply(Withdraw(0, "default", "2", Cause.WITHDRAWN))
    assert synced(machine.apply(offer("B"))) == [["1", "B"]]
    machine.apply(offer("C", "coin", "other", id="choice", selector="actor=Z"))
    assert synced(machine.apply(offer("B"))) == [["3", "B"]]
    machine.apply(Withdraw(0, "default", "choice", Cause.WITHDRAWN))
    assert synced(machine.apply(offer("B"))) == [["4", "B"]]
    assert machine.pending_total == 0


def test_nobody_is_present_for_a_plain_offer_that_times_out_among_its_own() -> None:
    machine = Machine()
    machine.apply(offer("A", id="1"))
    machine.apply(offer("A", id="2"))
    (timed_out,) = machine.apply(Expire(0, "default", "1"))
    assert isinstance(timed_out, TimedOut)
    assert (timed_out.present, timed_out.missing) == ((), 1)
    (aborted,) = machine.apply(Abort(0, "default", "coin", "", "", "ops", "because"))
    assert isinstance(aborted, Aborted)


def test_g3_two_plain_offers_that_missed_each_other_are_told_apart_by_a_restored_machine() -> None:
    """Plain offers of two actors stand under one event where a bound was hit; they stand in no queue."""
    machine = Machine(Limits(search_steps_max=10))
    for number in range(20):
        machine.apply(offer(f"X{number}", mates=2, labels={"x": ""}, selector="!x"))
    for actor in ("A", "B"):
        (_, missed) = machine.apply(offer(actor))
        assert isinstance(missed, SearchExhausted)
    for number in range(20):
        machine.apply(Withdraw(0, "default", f"X{number}", Cause.WITHDRAWN))
    restored = Machine()
    restored.restore(machine.snapshot())
    for newcomer in (offer("B", id="B2"), offer("A", id="A2")):
        effects = machine.apply(newcomer)
        assert synced(effects) == [[{"B2": "A", "A2": "B"}[newcomer.id], newcomer.id]]
        assert restored.apply(newcomer) == effects
