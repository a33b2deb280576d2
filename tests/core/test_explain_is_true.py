"""What an explanation says hinders a pair is true: without it the pair goes. And of a group that could go, it says so.

Checked with random offers against the brute-force matcher and its own reading of selectors.
"""

import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncnet.core.commands import Offer
from syncnet.core.departures import Departures
from syncnet.core.explain import explain, lists_of
from syncnet.core.hindrance import hindrance
from syncnet.core.machine import Machine
from syncnet.core.steps import Steps
from tests.core.brute_force import can_sync
from tests.core.offers import offer, synced
from tests.core.test_matching_against_a_plain_scan import Style

PLENTY = 10**9
REMEDIES_MAX = 20
WANTS = re.compile(r"(?P<actor>\S+) wants (?P<requirement>.+), and (?P<other>\S+) has (?P<has>.+)")

seeds = st.integers(0, 10**6)


def reason(one: Offer, other: Offer) -> str:
    return hindrance(one, other, Steps(PLENTY))


def changed(old: Offer, **given: object) -> Offer:
    """The offer of another actor, or with other mates, another roster or another selector, for one event."""
    terms: dict[str, object] = {
        "labels": {key: value for key, value in old.labels.items() if key != "actor"},
        "mates": None if old.roster else old.mates,
        "expect": old.roster or None,
        "selector": None if old.roster else str(old.selector),
        **given,
    }
    actor = terms.pop("actor", old.actor)
    assert isinstance(actor, str)
    return offer(actor, old.events[0], id=old.id, **terms)  # type: ignore[arg-type]


def without(old: Offer, requirement: str) -> Offer:
    """The offer without one requirement of its selector."""
    parts = re.split(r",(?![^(]*\))", str(old.selector))
    assert requirement in parts, (requirement, parts)
    parts.remove(requirement)
    return changed(old, selector=",".join(parts))


def remedied(one: Offer, other: Offer, said: str) -> tuple[Offer, Offer]:
    """Both offers without what hinders them, as the reason says it."""
    pair = (one, other)
    if "(the default) excludes" in said or "takes one offer of each actor" in said:
        return one, changed(other, actor="ANOTHER", selector=None if other.roster else "")
    if "is not on the roster of" in said or "their rosters differ" in said:
        both = [one.actor, other.actor]
        return tuple([changed(each, expect=both) if each.roster else each for each in pair])  # type: ignore[return-value]
    if " and the roster of " in said:
        rostered = one if one.roster else other
        return tuple([each if each.roster else changed(each, mates=rostered.mates) for each in pair])  # type: ignore[return-value]
    match = WANTS.fullmatch(said)
    assert match is not None, said
    for chooser, chosen in (pair, pair[::-1]):
        names = (chooser.actor, chosen.actor) == (match["actor"], match["other"])
        if names and match["requirement"] in re.split(r",(?![^(]*\))", str(chooser.selector)):
            key = match["has"].removeprefix("no ").partition("=")[0]
            value = chosen.labels.get(key)
            if match["has"] != (f"no {key}" if value is None else f"{key}={value}"):
                continue  # where both are of one actor, it is about the other selector
            fixed = without(chooser, match["requirement"])
            return (fixed, chosen) if chooser is one else (chosen, fixed)
    raise AssertionError(f"{said} is about no selector of the two")


def mates_of_a_pair(one: Offer, other: Offer) -> tuple[Offer, Offer]:
    """Both with terms for two: what is about their number is no hindrance of a pair."""
    both = [one.actor, other.actor]
    return tuple(  # type: ignore[return-value]
        [changed(each, expect=both) if each.roster else changed(each, mates=1) for each in (one, other)]
    )


@settings(max_examples=300, deadline=None)
@given(seeds)
def test_without_what_hinders_it_a_pair_goes(seed: int) -> None:
    style = Style(seed)
    one, other = (changed(style.offer(id)) for id in ("1", "2"))
    if one.events != other.events:
        other = offer(other.actor, one.events[0], id="2", labels=_own(other), **_terms(other))  # type: ignore[arg-type]
    for _ in range(REMEDIES_MAX):
        said = reason(one, other)
        if not said:
            break
        one, other = remedied(one, other, said)
    else:
        pytest.fail(f"hindered for ever: {said}")
    one, other = mates_of_a_pair(one, other)
    machine = Machine()
    machine.apply(one)
    assert synced(machine.apply(other)) == [["1", "2"]]


def _own(old: Offer) -> dict[str, str]:
    return {key: value for key, value in old.labels.items() if key != "actor"}


def _terms(old: Offer) -> dict[str, object]:
    return {"expect": old.roster} if old.roster else {"mates": old.mates, "selector": str(old.selector)}


@settings(max_examples=200, deadline=None)
@given(seeds, st.integers(2, 4))
def test_a_group_could_go_exactly_where_nothing_hinders_any_two_and_their_number_suits(seed: int, size: int) -> None:
    style = Style(seed)
    offers = [style.offer(str(number)) for number in range(7)]
    for group in combinations(offers, size):
        for event in style.events:
            if all(event in each.events for each in group):
                nothing = not any(reason(one, other) for one, other in combinations(group, 2))
                suits = size == 1 + max(each.mates for each in group)
                assert (nothing and suits) == can_sync(group, event), [each.actor for each in group]


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_what_is_explained_of_pending_offers_is_true(seed: int) -> None:
    """Who is said to be present is compatible; who is said never to have come is not there."""
    style, machine = Style(seed), Machine()
    for number in range(12):
        machine.apply(style.offer(str(number)))
    pending = machine.pending("default")
    for one in pending:
        of = explain(lists_of(pending), pending, one, 0, Steps(PLENTY), Departures())
        assert of.is_whole
        assert of.left_out == 0
        others = [each for each in pending if each is not one and set(each.events) & set(one.events)]
        assert set(of.standing.present) == {each.actor for each in others if not reason(one, each)}
        assert not set(of.standing.never_came) & {each.actor for each in others}
        assert of.standing.missing >= 1
        assert {each.other.id for each in of.relations} == {each.id for each in others}
        for relation in of.relations:
            assert relation.compatible == (not reason(one, relation.other))
