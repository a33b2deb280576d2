"""Why an offer is still pending, with a reason for each other offer of its events."""

import pytest

from syncnet.core.commands import Offer
from syncnet.core.departures import Departures
from syncnet.core.explain import Explanation, NearEvent, explain, lists_of
from syncnet.core.limits import EXPLAINED_OFFERS_MAX, EXPLANATION_STEPS_MAX
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from tests.core.offers import FEW_PAYLOAD_BYTES, offer


def explained(one: Offer, *others: Offer, steps_max: int = EXPLANATION_STEPS_MAX) -> Explanation:
    """The explanation of an offer, after all have arrived and none has synced."""
    machine = Machine()
    for each in (*others, one):
        assert len(machine.apply(each)) == 1, "no offer syncs in these examples"
    pending = machine.pending("default")
    return explain(lists_of(pending), pending, one, 0, Steps(steps_max), Departures())


CUST = offer("CUST")
GOLD = offer("VM", labels={"tier": "gold"})
LARGE = offer("A", payload=b"1" * 20, limits=FEW_PAYLOAD_BYTES)
OTHER_A = offer("A", id="2", selector="")

EXAMPLES: list[tuple[Offer, Offer, str]] = [
    (CUST, offer("VM", selector="actor=BOB"), "VM wants actor=BOB, and CUST has actor=CUST"),
    (CUST, offer("VM", selector="tier=gold,actor"), "VM wants tier=gold, and CUST has no tier"),
    (offer("CUST", selector="!tier"), GOLD, "CUST wants !tier, and VM has tier=gold"),
    (offer("CUST", selector="age>4"), offer("VM", labels={"age": "4"}), "CUST wants age>4, and VM has age=4"),
    (
        CUST,
        offer("CUST", id="2"),
        "both are of CUST, and the selector actor!=CUST (the default) excludes its own other offers",
    ),
    (offer("CUST", mates=2), offer("VM", mates=2), "fits; 1 of 2 mates present"),
    (CUST, offer("VM", mates=3), "fits; VM wants 3 mates, 1 present"),
    (offer("A", expect=["B", "C"]), offer("X"), "X is not on the roster of A (A, B, C)"),
    (offer("X"), offer("A", expect=["B", "C"]), "X is not on the roster of A (A, B, C)"),
    (
        offer("db", expect=["ap", "cache"]),
        offer("cache", expect=["app", "db"]),
        "their rosters differ: db has ap; cache has app",
    ),
    (offer("A", expect=["B", "C"]), offer("B", expect=["A"]), "their rosters differ: A has C; B has no others"),
    (offer("A", expect=["B", "C"]), OTHER_A, "a roster takes one offer of each actor, and both are of A"),
    (offer("A", expect=["B"]), offer("B", mates=2), "B wants 2 mates, and the roster of A has 1 mate"),
    (offer("B", mates=2), offer("A", expect=["B"]), "B wants 2 mates, and the roster of A has 1 mate"),
    (offer("A", expect=["B", "C"]), offer("B"), "fits; 1 of 2 mates present"),
    (LARGE, offer("B", mates=3), "the payload of A, 20 bytes, allows 2 mates, and B wants 3"),
    (offer("B", mates=3), LARGE, "the payload of A, 20 bytes, allows 2 mates, and B wants 3"),
]


@pytest.mark.parametrize(("one", "other", "reason"), EXAMPLES, ids=[example[2] for example in EXAMPLES])
def test_the_reason_why_two_offers_have_not_synced(one: Offer, other: Offer, reason: str) -> None:
    (relation,) = explained(one, other).relations
    assert (relation.other.id, relation.reason) == (other.id, reason)
    assert relation.compatible == reason.startswith("fits")


def test_offers_that_are_compatible_with_it_but_not_with_each_other() -> None:
    of = explained(offer("A", mates=2), offer("B", mates=2, selector="actor!=C"), offer("C", mates=2))
    assert [relation.compatible for relation in of.relations] == [True, True]
    assert [each.reason for each in of.reasons()] == [
        "B and C exclude each other: B wants actor!=C, and C has actor=C",
    ]


def test_a_choice_is_explained_under_each_of_its_events() -> None:
    one, tea, milk = offer("A", "tea", "milk", mates=2), offer("T", "tea"), offer("M", "milk", "tea", mates=3)
    said = [
        (relation.event, relation.other.id, relation.compatible) for relation in explained(one, tea, milk).relations
    ]
    assert said == [("tea", "T", True), ("tea", "M", True), ("milk", "M", True)]


def test_mates_that_are_there_under_different_events() -> None:
    of = explained(offer("A", "tea", "milk", expect=["B", "C"]), offer("B", "tea"), offer("C", "milk"))
    assert of.standing.missing_actors == ()
    (reason,) = of.reasons()
    assert reason.reason == "A wants 2 mates for one event, and they wait for different ones: B for tea; C for milk"


def test_an_actor_of_the_roster_that_waits_for_another_event() -> None:
    of = explained(offer("db", "start", expect=["app"]), offer("app", "strat", expect=["db"]))
    assert of.standing.never_came == ("app",)
    assert [each.reason for each in of.reasons()] == [
        "app waits for strat, not for start",
        "strat has 1 waiting; did you mean that?",
    ]


def test_events_with_a_similar_name_are_listed() -> None:
    others = [offer(actor, event, mates=2) for actor, event in (("V", "coins"), ("X", "chocolate"), ("Y", "Coin"))]
    of = explained(CUST, *others, offer("Z", "Coin", mates=2))
    assert of.relations == ()
    assert of.near_events == (NearEvent("Coin", 2), NearEvent("coins", 1))


@pytest.mark.parametrize(
    ("one", "other"), [("job-17", "job-18"), ("9f0c2b7d51e34a68", "b7e0d94a5c3f1286"), ("build", "deploy")]
)
def test_names_that_differ_in_numbers_only_or_in_much_are_not_similar(one: str, other: str) -> None:
    assert explained(offer("A", one), offer("B", other)).near_events == ()


def test_the_number_of_reported_offers_is_limited() -> None:
    of = explained(CUST, *[offer(f"A{n}", selector="actor=X") for n in range(EXPLAINED_OFFERS_MAX + 7)])
    assert len(of.relations) == EXPLAINED_OFFERS_MAX
    assert of.left_out == 7
    assert of.is_whole


def test_it_says_where_the_steps_were_not_enough() -> None:
    of = explained(CUST, *[offer(f"A{n}", selector="actor=X") for n in range(50)], steps_max=60)
    assert not of.is_whole
    assert of.left_out + len(of.relations) == 50
