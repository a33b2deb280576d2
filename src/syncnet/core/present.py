"""Who is present for a pending offer, who gave up before, and who never came.

A pure function of the offer and of the pending offers of its events. It is bounded by `EXPLANATION_STEPS_MAX` steps;
where they are used up, it reports what was found by then, among the oldest pending offers.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from typing import Final

from syncnet.core.candidates import CandidateSet, is_listed, profile_of
from syncnet.core.commands import Offer, OfferSpec
from syncnet.core.departures import Departure, Departures
from syncnet.core.index import Index
from syncnet.core.limits import MOMENT_S, MOMENT_SHARE, PRESENT_OFFERS_MAX, SCANNED_OFFERS_MAX
from syncnet.core.offer_list import OfferList
from syncnet.core.selectors import check_met
from syncnet.core.steps import BoundHit, Steps

__all__ = ["Standing", "compatible_offers", "first_steps", "may_be_mate", "standing"]

_NAMES_PER_STEP: Final = 4
"""Pending offers whose actors are looked at for one step."""


@dataclass(frozen=True)
class Standing:
    """Who is there for an offer and who is not; the fields are those of `TimedOut`."""

    present: tuple[str, ...]
    missing: int
    missing_actors: tuple[str, ...]
    gave_up: tuple[Departure, ...]
    never_came: tuple[str, ...]


def standing(
    lists: dict[str, OfferList],
    offer: Offer,
    now_ns: int,
    steps: Steps,
    departures: Departures,
    *,
    is_over: bool = False,
) -> Standing:
    """Return who is present for a pending offer, who gave up, and who never came.

    How many members are missing is asked of the set that forms when the oldest compatible offers join first; each
    that joins may need more mates than those before. No such set can sync (G3), so the answer is 1 or more. Where the
    wait of the offer is over, those that timed out together with it count as present.
    """
    spec = offer.spec
    named = _named(lists, spec, steps) if spec.roster else None
    gone: dict[str, Departure] = {}
    present: dict[str, None] = {}
    missing = spec.mates
    try:
        gone = departures.of(spec, now_ns, steps)
        for event in spec.events:
            others = compatible_offers(lists[event], offer, PRESENT_OFFERS_MAX, steps)
            for other in others:
                present.setdefault(other.spec.actor)
            if others:
                members = CandidateSet(profile_of(spec), steps)
                for other in others:
                    profile = profile_of(other.spec)
                    if members.admits(profile):
                        members.join(profile)
                        missing = max(1, min(missing, members.missing))
    except BoundHit:
        pass
    if not spec.roster:
        gave_up = [each for each in _wanted(spec, gone, steps) if each.actor not in present]
        return Standing(tuple(present), missing, (), tuple(gave_up[-PRESENT_OFFERS_MAX:]), ())
    together = [each.actor for each in gone.values() if each.actor not in present and _together(offer, each, now_ns)]
    absent = _absent(spec, {*present, *together})
    if not absent or not is_over:  # where nobody else is missing, those are what it missed
        together, absent = [], _absent(spec, present)
    if len(present) >= PRESENT_OFFERS_MAX and named is not None:  # more than were examined
        absent = [actor for actor in absent if actor not in named]
    return Standing(
        (*together, *present),
        len(absent) or missing,
        tuple(absent),
        tuple([gone[actor] for actor in absent if actor in gone]),
        () if named is None else tuple([actor for actor in absent if actor not in gone and actor not in named]),
    )


def _absent(spec: OfferSpec, present: Container[str]) -> list[str]:
    """Return the other actors on the roster that are not among those who are present."""
    return [actor for actor in spec.roster if actor != spec.actor and actor not in present]


def _named(lists: dict[str, OfferList], spec: OfferSpec, steps: Steps) -> set[str] | None:
    """Return the actors with an offer of the same events, compatible or not; None where that takes too many steps."""
    kept = steps.set_aside(steps.left // 2)
    named: set[str] = set()
    try:
        for event in spec.events:
            steps.take(1 + len(lists[event].offers) // _NAMES_PER_STEP)
            named.update([other.spec.actor for other in lists[event].offers.values()])
    except BoundHit:
        return None
    finally:
        steps.give_back(kept)
    return named


def may_be_mate(spec: OfferSpec, actor: str) -> bool:
    """Return whether an actor of that name is wanted: it is on the roster, or the selector admits the name."""
    if spec.roster:
        return is_listed(spec.roster, actor)
    labels = {"actor": actor}
    return all(check_met(check, labels) for check in spec.selector.checks if check[0] == "actor")


def _together(offer: Offer, left: Departure, at_ns: int) -> bool:
    """Return whether an actor of the same roster timed out a moment ago: both waited for the same, and in vain."""
    spec = offer.spec
    moment_ns = max(MOMENT_S * 1_000_000_000, (spec.timeout_ns or 0) // MOMENT_SHARE)
    return (
        left.how == "timed-out"
        and left.roster_key == profile_of(spec).roster_key
        and left.actor != spec.actor
        and at_ns - left.at_ns <= moment_ns
    )


def _wanted(spec: OfferSpec, left: dict[str, Departure], steps: Steps) -> list[Departure]:
    """Return those who left and whom the selector admits, as far as it asks for the name of the actor."""
    checks = [check for check in spec.selector.checks if check[0] == "actor"]
    try:
        steps.take(1 + len(left) * len(checks) // _NAMES_PER_STEP)
    except BoundHit:
        return []
    wanted = list(left.values())
    for check in checks:
        wanted = [each for each in wanted if check_met(check, {"actor": each.actor})]
    return wanted


def compatible_offers(offers: OfferList, offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    """Return the oldest pending offers of one event that are compatible with one of them, by arrival.

    At most `offers_max`. Where the steps are used up, only some of the oldest pending offers are examined.

    :raises BoundHit: they were used up before any was examined.
    """
    steps.take(1)
    if len(offers.offers) > SCANNED_OFFERS_MAX and offers.index is not None:
        kept = steps.set_aside(steps.left // 2)
        try:
            return _by_index(offers.index, offer, offers_max, steps)
        except BoundHit:
            pass  # what was found by now depends on the history of the index, not on the pending offers alone (G4)
        finally:
            steps.give_back(kept)
    return _oldest(offers.offers, offer, offers_max, steps)


def _by_index(index: Index, offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    profile = profile_of(offer.spec)
    pair = CandidateSet(profile, steps)
    found: list[Offer] = []
    for classes in index.present(profile, steps):
        steps.take(1)
        for each in classes.values():
            steps.take(1)
            if pair.admits(each.profile):
                members = list(islice(each.members.values(), offers_max))
                steps.take(len(members))
                found.extend([member for member in members if member is not offer])
    return nsmallest(offers_max, found, key=_arrival)


def _oldest(offers: dict[int, Offer], offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    found: list[Offer] = []
    try:
        steps.take(first_steps(offer.spec))
        pair = CandidateSet(profile_of(offer.spec), steps)
        for other in offers.values():
            steps.take(first_steps(other.spec))
            if other is not offer and pair.admits(profile_of(other.spec)):
                found.append(other)
                if len(found) == offers_max:
                    break
    except BoundHit:
        pass
    return found


def first_steps(spec: OfferSpec) -> int:
    """Return the steps of comparing an offer by its profile where that may have to be made first."""
    return 6 + 4 * spec.steps + len(spec.labels) // 2 + len(spec.roster) // 8


def _arrival(offer: Offer) -> int:
    return offer.arrival
