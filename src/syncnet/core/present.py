"""Who was present when an offer timed out: the outcome that a `TimedOut` reports.

A pure function of the offer and of the pending offers of its events. It is bounded by `EXPLANATION_STEPS_MAX` steps;
where they are used up, it reports what was found by then, among the oldest pending offers.
"""

from __future__ import annotations

from heapq import nsmallest
from itertools import islice

from syncnet.core.candidates import CandidateSet, profile_of
from syncnet.core.commands import Offer, OfferSpec
from syncnet.core.effects import TimedOut
from syncnet.core.index import Index
from syncnet.core.limits import PRESENT_OFFERS_MAX, SCANNED_OFFERS_MAX
from syncnet.core.offer_list import OfferList
from syncnet.core.steps import BoundHit, Steps

__all__ = ["compatible_offers", "first_steps", "timed_out"]


def timed_out(lists: dict[str, OfferList], offer: Offer, at_ns: int, steps: Steps) -> TimedOut:
    """Return the outcome of a pending offer whose timeout has passed, with the actors that were present.

    How many members are missing is asked of the set that forms when the oldest compatible offers join first; each
    that joins may need more mates than those before. No such set can sync (G3), so the answer is 1 or more.
    """
    spec = offer.spec
    present: dict[str, None] = {}
    missing = spec.mates
    try:
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
    absent = tuple([actor for actor in spec.roster if actor != spec.actor and actor not in present])
    return TimedOut(at_ns, offer, tuple(present), len(absent) or missing, absent)


def compatible_offers(offers: OfferList, offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    """Return the oldest pending offers of one event that are compatible with one of them, by arrival.

    At most `offers_max`. Where the steps are used up, only some of the oldest pending offers are examined.

    :raises BoundHit: they were used up before any was examined.
    """
    steps.take(1)
    if len(offers.offers) > SCANNED_OFFERS_MAX and offers.index is not None:
        kept = steps.left // 2
        steps.left -= kept
        try:
            found = _by_index(offers.index, offer, offers_max, steps)
        except BoundHit:
            # What was found by now depends on the history of the index, not on the pending offers alone (G4).
            steps.left = kept
        else:
            steps.left += kept
            return found
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
