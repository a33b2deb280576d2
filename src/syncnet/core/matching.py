"""Which offers happen together: rules 1 to 6 of semantics.md, exactly.

The machine gives a newcomer and the offer lists of its namespace to `Search.find`, which returns the other members of
the set that syncs. It knows no ids, no time and no trace. `candidates.py` decides who may be in one set, `index.py`
finds candidates among many.

How the smallest set is found (rule 4). Sets are compared by their other members, listed by arrival; of two lists
where one begins with the other, the shorter wins. A depth-first walk that extends a list in order of arrival, and
checks of each list whether it can sync as it is before it extends it, meets the lists in exactly that order. So the
first list that can sync is the smallest one.

There are two ways to walk, and the number of pending offers alone decides between them (`OfferList`):

- Up to `SCANNED_OFFERS_MAX` offers are compared one by one, and each candidate with each chosen one.
- More are found by an index, and each candidate is checked against the chosen ones together (`CandidateSet`).

What keeps the second walk short, and why no set is lost by it:

- Counts come before comparisons. A set whose largest `mates` is m has m others, so m can be the largest only where
  m offers with as many mates or fewer are pending; and what a member wants, all others must have.
- The oldest offer of a class (equal profiles) stands for all of them. In a set that holds a younger one and not the
  older, the older could take its place, and the set would be smaller. So a class of which two never sync together
  gives one candidate, and where an older offer led nowhere, a younger one of its class leads nowhere either.
- Where a member wants labels, only the offers that have them are walked on.

Every comparison costs steps, more where a selector or a roster is long. The steps of one arrival are bounded, over
all the events of a choice together; where the bound is hit the offer stays pending and the event is reported (G3).
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import nsmallest
from itertools import islice
from typing import Final

from syncnet.core.candidates import CandidateSet, MatchProfile, compatible, profile_of
from syncnet.core.commands import Offer, OfferSpec
from syncnet.core.index import Index
from syncnet.core.limits import SCANNED_OFFERS_MAX
from syncnet.core.offer_list import OfferList
from syncnet.core.selectors import Requirement, requirement_met

__all__ = ["Search", "Steps", "compatible_offers"]

_FEW: Final = 16
"""Where no more candidates than these are left, they are walked through rather than filtered."""


class BoundHit(Exception):  # noqa: N818 - a way out, not an error
    """The search used up its steps."""


class Steps:
    """How many steps are `left`. Every loop of a search takes its steps from here."""

    __slots__ = ("left",)

    def __init__(self, steps_max: int) -> None:
        self.left: int = steps_max

    def take(self, steps: int) -> None:
        """Take so many. The innermost loops do the same in place, because a call costs more than a comparison.

        :raises BoundHit: fewer are left; no more can be taken then.
        """
        self.left -= steps
        if self.left < 0:
            raise BoundHit


class Search:
    """The search of one machine, with the result of the latest arrival.

    `event` is the event in which a set was found; `exhausted` are the events in which the bound was hit before.
    """

    def __init__(self, steps_max: int) -> None:
        self._steps_max = steps_max
        self._steps = Steps(steps_max)
        self.event: str = ""
        self.exhausted: tuple[str, ...] = ()

    def find(self, lists: dict[str, OfferList], newcomer: Offer) -> list[Offer] | None:
        """Return the other members of the set that the newcomer, not yet pending, completes; None where there is none.

        They stand in order of arrival.
        """
        spec = newcomer.spec
        self.exhausted = ()
        steps = self._steps
        steps.left = self._steps_max
        for event in spec.events:
            self.event = event
            if spec.mates == 0:
                return []
            if event not in lists:
                continue
            offers = lists[event]
            pending = len(offers.offers)
            if pending < spec.mates:
                continue
            try:
                if pending > SCANNED_OFFERS_MAX and offers.index is not None:
                    others = _IndexWalk(offers.index, newcomer, steps).smallest_set()
                else:
                    others = _scan(offers.offers, spec, steps)
            except BoundHit:
                self.exhausted += (event,)
                continue
            if others is not None:
                return others
        return None


def compatible_offers(offers: OfferList, offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    """Return the oldest pending offers of one event that are compatible with one of them, by arrival.

    At most `offers_max`. Where the steps are used up, only some of the oldest pending offers are examined.
    """
    if len(offers.offers) > SCANNED_OFFERS_MAX and offers.index is not None:
        try:
            return _compatible_by_index(offers.index, offer, offers_max, steps)
        except BoundHit:
            # What was found by now depends on the history of the index, not on the pending offers alone (G4).
            oldest = islice(offers.offers.values(), offers_max)
            return [other for other in oldest if other is not offer and compatible(offer.spec, other.spec)]
    found: list[Offer] = []
    for other in offers.offers.values():
        steps.left -= offer.spec.steps + other.spec.steps
        if steps.left < 0:
            break
        if other is not offer and compatible(offer.spec, other.spec):
            found.append(other)
    return found[:offers_max]


def _compatible_by_index(index: Index, offer: Offer, offers_max: int, steps: Steps) -> list[Offer]:
    found: list[Offer] = []
    for each in index.present(offer):
        steps.take(offer.spec.steps + each.profile.steps)
        members = list(islice(each.members.values(), offers_max))
        if compatible(offer.spec, members[0].spec):
            steps.take(len(members))
            found.extend([member for member in members if member is not offer])
    return nsmallest(offers_max, found, key=_arrival)


# --- few offers: one by one ----------------------------------------------------------------------------------


def _scan(offers: dict[int, Offer], newcomer: OfferSpec, steps: Steps) -> list[Offer] | None:
    """Return the other members of the smallest set among a few offers, by arrival; None where there is none."""
    candidates: list[Offer] = []
    for offer in offers.values():
        spec = offer.spec
        steps.left -= newcomer.steps + spec.steps
        if steps.left < 0:
            raise BoundHit
        if compatible(newcomer, spec):
            if newcomer.mates == 1 and spec.mates <= 1 and not candidates:
                return [offer]  # most arrivals end here
            candidates.append(offer)
    number = len(candidates)
    if number < newcomer.mates:
        return None
    candidates = [offer for offer in candidates if offer.spec.mates <= number]
    chosen: list[Offer] = []
    if _extend(newcomer, candidates, 0, chosen, newcomer.mates, steps):
        return chosen
    return None


def _extend(
    newcomer: OfferSpec, candidates: list[Offer], start: int, chosen: list[Offer], mates: int, steps: Steps
) -> bool:
    """Extend `chosen` by candidates from `start` on until it can sync; `mates` is the most that a member wants."""
    chosen_total, candidates_total = len(chosen), len(candidates)
    for position in range(start, candidates_total):
        if chosen_total + candidates_total - position < mates:
            return False
        candidate = candidates[position]
        spec = candidate.spec
        if not _joins(spec, chosen, steps):
            continue
        chosen.append(candidate)
        wanted = mates if mates > spec.mates else spec.mates
        if chosen_total + 1 == wanted:
            if _roster_complete(newcomer, chosen):
                return True
        elif _extend(newcomer, candidates, position + 1, chosen, wanted, steps):
            return True
        chosen.pop()
    return False


def _joins(spec: OfferSpec, chosen: list[Offer], steps: Steps) -> bool:
    """Return whether an offer is compatible with all chosen ones."""
    steps.left -= 1
    for other in chosen:
        steps.left -= spec.steps + other.spec.steps
        if steps.left < 0:
            raise BoundHit
        if not compatible(other.spec, spec):
            return False
    return True


def _roster_complete(newcomer: OfferSpec, chosen: list[Offer]) -> bool:
    """Return whether the set is exactly each roster that its members bring (rule 5)."""
    roster = newcomer.roster
    for offer in chosen:
        roster = roster or offer.spec.roster
    if not roster:
        return True
    if len(roster) != len(chosen) + 1:
        return False
    actors = {newcomer.actor}
    for offer in chosen:
        actors.add(offer.spec.actor)
    return actors == set(roster)  # two rosters in one set are equal: every pair is compatible


# --- many offers: through the index --------------------------------------------------------------------------


class _IndexWalk:
    """One walk for one newcomer through the index of one event."""

    def __init__(self, index: Index, newcomer: Offer, steps: Steps) -> None:
        self._index = index
        self._newcomer = newcomer
        self._profile = profile_of(newcomer.spec)
        self._steps = steps
        self._candidates: list[Offer] = []
        self._meeting: dict[Requirement, list[Offer]] = {}

    def smallest_set(self) -> list[Offer] | None:
        profile = self._profile
        self._steps.take(self._index.steps)
        if _largest_mates(self._index.offers_by_mates, profile.mates) < 0:
            return None
        if not self._index.can_be_met(profile, profile.mates):
            return None
        members = CandidateSet(profile)
        candidates = self._admitted(members)
        candidates.sort(key=_arrival)
        by_mates: dict[int, int] = {}
        for each in candidates:
            by_mates[each.spec.mates] = by_mates.get(each.spec.mates, 0) + 1
        mates_max = _largest_mates(by_mates, profile.mates)
        if mates_max < 0:
            return None
        self._candidates = [each for each in candidates if each.spec.mates <= mates_max]
        return self._walk(members)

    def _admitted(self, members: CandidateSet) -> list[Offer]:
        """Return the offers that may be in a set with the newcomer, the oldest of each class or all of it."""
        admitted: list[Offer] = []
        for offers in self._index.candidates(self._newcomer):
            profile = offers.profile
            self._steps.take(profile.steps)
            if members.admits(profile) and self._index.can_be_met(profile, max(self._profile.mates, profile.mates)):
                admitted.extend(offers.candidates())
        return admitted

    def _walk(self, members: CandidateSet) -> list[Offer] | None:
        chosen: list[Offer] = []
        levels = [_Level(self._candidates, 0)]
        while levels:
            level = levels[-1]
            if len(level.candidates) - level.position < members.missing:
                levels.pop()
                if chosen:
                    chosen.pop()
                    members.leave()
                continue
            candidate = level.candidates[level.position]
            profile = profile_of(candidate.spec)
            level.position += 1
            self._steps.take(profile.steps + members.steps)
            if profile in level.tried:
                continue
            level.tried[profile] = None
            if chosen and not members.admits(profile):  # the newcomer admits all candidates
                continue
            chosen.append(candidate)
            if members.missing_with(profile) == 0:
                return chosen
            members.join(profile)
            levels.append(self._next_level(level, candidate))
        return None

    def _next_level(self, level: _Level, chosen: Offer) -> _Level:
        """Return who may follow a chosen offer: the younger ones, and where that helps, only those that it wants."""
        candidates = level.candidates
        if len(candidates) - level.position > _FEW:
            for want in profile_of(chosen.spec).wants:
                candidates = min(candidates, self._candidates_meeting(want), key=len)
        return _Level(candidates, bisect_right(candidates, chosen.arrival, key=_arrival))

    def _candidates_meeting(self, want: Requirement) -> list[Offer]:
        """Return the candidates that meet a want; all of them are checked once for each."""
        meeting = self._meeting.get(want)
        if meeting is None:
            self._steps.take(len(self._candidates))
            meeting = [each for each in self._candidates if requirement_met(want, each.spec.labels)]
            self._meeting[want] = meeting
        return meeting


class _Level:
    """One level of the walk: who may come next, from which position on, and which profiles led nowhere from here."""

    __slots__ = ("candidates", "position", "tried")

    def __init__(self, candidates: list[Offer], position: int) -> None:
        self.candidates = candidates
        self.position = position
        self.tried: dict[MatchProfile, None] = {}


def _largest_mates(offers_by_mates: dict[int, int], mates: int) -> int:
    """Return the largest `mates` that a set with a newcomer who wants so many can have; -1 where no set can be.

    The set takes as many others, and none of them may want more.
    """
    largest, offers = -1, 0
    for wanted in sorted(offers_by_mates):
        offers += offers_by_mates[wanted]
        if offers >= max(wanted, mates):
            largest = max(wanted, mates)
    return largest


def _arrival(offer: Offer) -> int:
    return offer.arrival
