"""Actors that wait for each other in a circle are found; what is only possible is called so."""

from syncnet.core.circles import circles
from syncnet.core.commands import Offer
from syncnet.core.limits import CIRCLES_MAX, EXPLANATION_STEPS_MAX
from syncnet.core.steps import Steps
from tests.core.offers import offer


def said(*pending: Offer, steps_max: int = EXPLANATION_STEPS_MAX) -> list[str]:
    return [circle.text() for circle in circles(pending, Steps(steps_max))]


def test_two_that_wait_for_each_other_on_different_events() -> None:
    assert said(offer("VM", "coin", expect=["CUST"]), offer("CUST", "choc", selector="actor=VM")) == [
        "stuck together: VM waits for CUST on coin, CUST waits for VM on choc"
    ]


def test_three_in_a_circle() -> None:
    assert said(
        offer("D", "x", expect=["A"]),
        offer("A", "a", expect=["B", "Z"]),
        offer("B", "b", selector="actor in (C)"),
        offer("C", "c", expect=["A"]),
    ) == ["stuck together: A waits for B on a, B waits for C on b, C waits for A on c"]


def test_one_that_has_another_offer_is_possibly_stuck() -> None:
    """CUST has two threads, which both wait for VM."""
    assert said(
        offer("VM", "coin", expect=["CUST"]),
        offer("CUST", "choc", expect=["VM"]),
        offer("CUST", "tea", id="2", expect=["VM"]),
    ) == ["possibly stuck together: VM waits for CUST on coin, CUST waits for VM on choc or tea"]


def test_one_that_may_go_on_without_the_other_is_not_stuck() -> None:
    vm = offer("VM", "coin", expect=["CUST"])
    assert said(vm, offer("CUST", "choc")) == [], "any mate will do"
    assert said(vm, offer("CUST", "choc", selector="actor in (VM,BOB)")) == [], "BOB will do"
    assert said(vm, offer("CUST", "choc", expect=["VM"]), offer("CUST", "tea", id="2")) == [], "the other may go on"
    assert said(vm, offer("CUST", "choc", "coin", expect=["VM"])) == [], "they wait for the same event"
    assert said(vm, offer("CUST", "choc", expect=["BOB"])) == [], "BOB has not come yet"


def test_labels_that_give_another_name_make_it_uncertain() -> None:
    """X is a CUST to a selector."""
    vm, cust = offer("VM", "coin", selector="actor=CUST"), offer("CUST", "choc", expect=["VM"])
    assert said(vm, cust)[0].startswith("stuck together")
    assert said(vm, cust, offer("X", "tea", labels={"actor": "CUST"}))[0].startswith("possibly")


def test_the_number_and_the_work_are_bounded() -> None:
    pairs: list[Offer] = []
    for number in range(50):
        pairs += [offer(f"A{number}", f"a{number}", expect=[f"B{number}"])]
        pairs += [offer(f"B{number}", f"b{number}", expect=[f"A{number}"])]
    assert len(said(*pairs)) == CIRCLES_MAX
    assert said(*pairs, steps_max=90) == []
