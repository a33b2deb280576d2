"""Why an offer is still pending, with a reason for each other offer of its events."""

import pytest

from syncnet.core.commands import Offer
from syncnet.core.explain import explain
from syncnet.core.limits import EXPLAINED_OFFERS_MAX, EXPLANATION_STEPS_MAX
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from tests.core.offers import FEW_PAYLOAD_BYTES, offer


def reasons(one: Offer, *others: Offer) -> list[tuple[str, str]]:
    """The reason for each other offer, after all have arrived and none has synced."""
    machine = Machine()
    for each in (*others, one):
        assert len(machine.apply(each)) == 1, "no offer syncs in these examples"
    return [(relation.other.id, relation.reason) for relation in explain(one, machine.pending("default")).relations]


CUST = offer("CUST")
GOLD = offer("VM", labels={"tier": "gold"})
LARGE = offer("A", payload=b"1" * 20, limits=FEW_PAYLOAD_BYTES)
OTHER_A = offer("A", id="2", selector="")

EXAMPLES: list[tuple[Offer, Offer, str]] = [
    (CUST, offer("VM", selector="actor=BOB"), "its selector actor=BOB rejects your label actor=CUST"),
    (CUST, offer("VM", selector="tier=gold,actor"), "its selector tier=gold rejects your label (no tier)"),
    (offer("CUST", selector="!tier"), GOLD, "your selector !tier rejects its label tier=gold"),
    (CUST, offer("CUST", id="2"), "its selector actor!=CUST rejects your label actor=CUST"),
    (offer("CUST", mates=2), offer("VM", mates=2), "compatible; 1 of 2 mates present"),
    (CUST, offer("VM", mates=3), "compatible; it wants 3 mates, 1 of 3 present"),
    (offer("A", expect=["B", "C"]), offer("X"), "X is not on your roster"),
    (offer("X"), offer("A", expect=["B", "C"]), "X is not on its roster"),
    (offer("A", expect=["B", "C"]), offer("B", expect=["A"]), "its roster is not the same as yours"),
    (offer("A", expect=["B", "C"]), OTHER_A, "a roster takes one offer of each actor, and both are of A"),
    (offer("A", expect=["B"]), offer("B", mates=2), "B wants 2 mates, more than your roster has"),
    (offer("B", mates=2), offer("A", expect=["B"]), "B wants 2 mates, more than its roster has"),
    (offer("A", expect=["B", "C"]), offer("B"), "compatible; 1 of 2 mates present"),
    (LARGE, offer("B", mates=3), "your payload of 20 bytes allows 2 mates, and B wants 3"),
    (offer("B", mates=3), LARGE, "its payload of 20 bytes allows 2 mates, and B wants 3"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "reason"), EXAMPLES, ids=[example[2] for example in EXAMPLES])
def test_the_reason_why_two_offers_have_not_synced(one: Offer, other: Offer, reason: str) -> None:
    assert reasons(one, other) == [(other.id, reason)]


def test_offers_that_are_compatible_with_it_but_not_with_each_other() -> None:
    waiting = reasons(offer("A", mates=2), offer("B", mates=2, selector="actor!=C"), offer("C", mates=2))
    assert waiting == [("B", "compatible; 1 of 2 mates present"), ("C", "compatible; 1 of 2 mates present")]


def test_a_choice_is_explained_under_each_of_its_events() -> None:
    one, tea, milk = offer("A", "tea", "milk", mates=2), offer("T", "tea"), offer("M", "milk", "tea", mates=3)
    said = [
        (relation.event, relation.other.id, relation.compatible) for relation in explain(one, [tea, milk]).relations
    ]
    assert said == [("tea", "T", True), ("tea", "M", True), ("milk", "M", True)]


def test_events_with_a_similar_name_are_listed() -> None:
    explanation = explain(
        CUST, [CUST, offer("VM", "coins"), offer("X", "chocolate"), offer("Y", "Coin"), offer("Z", "conin")]
    )
    assert explanation.relations == ()
    assert set(explanation.near_events) == {"coins", "Coin", "conin"}


def test_the_number_of_reported_offers_is_limited() -> None:
    others = [offer(f"A{n}", selector="actor=X") for n in range(EXPLAINED_OFFERS_MAX + 7)]
    explanation = explain(CUST, others)
    assert len(explanation.relations) == EXPLAINED_OFFERS_MAX
    assert explanation.left_out == 7


def test_g8_an_explanation_ends_where_its_steps_are_used_up() -> None:
    """It says so, and tells what it found by then: of the oldest offers first."""
    others = [offer(f"A{n}", id=str(n), mates=3, labels={"k": str(n)}) for n in range(3_000)]
    for steps_max in (1, 200, 2_000):
        steps = Steps(steps_max)
        explanation = explain(CUST, others, steps)
        assert not explanation.is_whole
        assert steps.used <= steps_max
        said = [relation.other.id for relation in explanation.relations]
        assert said == [str(n) for n in range(len(said))]
    assert explain(CUST, others[:3]).is_whole


def test_g8_long_names_of_very_many_events_are_compared_within_the_steps() -> None:
    own = offer("A", *["a" * 120 + str(n) for n in range(10)])
    steps = Steps(EXPLANATION_STEPS_MAX)
    explanation = explain(own, [offer("B", "ab" * 120 + str(n), id=str(n)) for n in range(2_000)], steps)
    assert not explanation.is_whole
    assert steps.used == EXPLANATION_STEPS_MAX
