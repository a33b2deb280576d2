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
- Where the newcomer wants one mate, the oldest offer that it is compatible with ends the walk, if that wants one too.
- The oldest offer of a class (equal profiles) stands for all of them. In a set that holds a younger one and not the
  older, the older could take its place, and the set would be smaller. So a class of which two never sync together
  gives one candidate, and where an older offer led nowhere, a younger one of its class leads nowhere either.
- Where a member wants labels, only the offers that have them are walked on.

All of this takes steps (`steps.py`). An arrival is allowed `search_steps_max` of them, over all the events of a choice
together, and so many again for each `PARTIES_PER_SEARCH` of the largest set that the counts allow.
Where they are used up the offer stays pending and the event is reported (G3).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from heapq import heapify, heappop
from typing import Final, TypeAlias

from syncnet.core.candidates import CandidateSet, MatchProfile, compatible, profile_of
from syncnet.core.commands import Offer, OfferSpec
from syncnet.core.index import Index, OfferClass, OfferClasses
from syncnet.core.limits import PARTIES_PER_SEARCH, SCANNED_OFFERS_MAX
from syncnet.core.offer_list import OfferList
from syncnet.core.selectors import Check, check_met
from syncnet.core.steps import BoundHit, Steps

__all__ = ["Search"]

_FEW: Final = 16
"""Where no more candidates than these are left, they are walked through rather than filtered."""
_COUNTS_PER_STEP: Final = 4
"""Counts, and candidates that are checked, for one step."""
_ARRIVALS_PER_STEP: Final = 8
"""Arrival numbers that are collected and ordered for one step."""


class Search:
    """The search of one machine, with the result of the latest arrival.

    `event` is the event in which a set was found; `exhausted` are the events in which the bound was hit before. The
    machine begins the count of `steps`.
    """

    def __init__(self, steps_max: int, steps: Steps) -> None:
        self._steps_max = steps_max
        self._steps = steps
        self.event: str = ""
        self.exhausted: tuple[str, ...] = ()

    def find(self, lists: dict[str, OfferList], newcomer: Offer) -> list[Offer] | None:
        """Return the other members of the set that the newcomer, not yet pending, completes; None where there is none.

        They stand in order of arrival.
        """
        spec = newcomer.spec
        self.exhausted = ()
        steps = self._steps
        steps.left = steps.allowed = self._steps_max
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
                    others = _IndexWalk(offers.index, profile_of(spec), steps, self._steps_max).smallest_set()
                else:
                    others = _scan(offers.offers, pending, spec, steps)
            except BoundHit:
                self.exhausted += (event,)
                continue
            if others is not None:
                return others
        return None


# --- few offers: one by one ----------------------------------------------------------------------------------


def _scan(offers: dict[int, Offer], pending: int, newcomer: OfferSpec, steps: Steps) -> list[Offer] | None:
    """Return the other members of the smallest set among a few offers, by arrival; None where there is none."""
    candidates: list[Offer] = []
    for offer in offers.values():
        spec = offer.spec
        if spec.mates > pending:
            continue  # it is not in a set with any of these; so the rosters that are compared are short
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
            if _roster_complete(newcomer, chosen, steps):
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


def _roster_complete(newcomer: OfferSpec, chosen: list[Offer], steps: Steps) -> bool:
    """Return whether the set is exactly each roster that its members bring (rule 5)."""
    steps.take(1 + len(chosen) // 4)
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

_Candidate: TypeAlias = tuple[int, Offer, OfferClass]
"""The arrival number of a pending offer, by which candidates are sorted; the offer; its class."""


class _IndexWalk:
    """One walk for one newcomer through the index of one event."""

    def __init__(self, index: Index, profile: MatchProfile, steps: Steps, steps_max: int) -> None:
        self._index = index
        self._profile = profile
        self._steps = steps
        self._steps_max = steps_max
        self._candidates: list[_Candidate] = []
        self._meeting: dict[Check, list[_Candidate]] = {}

    def smallest_set(self) -> list[Offer] | None:
        profile, index, steps = self._profile, self._index, self._steps
        steps.take(4 + len(index.offers_by_mates) // _COUNTS_PER_STEP)
        mates_max = _largest_mates(index.offers_by_mates, profile.mates)
        if mates_max < 0:
            return None
        steps.allow(self._steps_max + self._steps_max * mates_max // PARTIES_PER_SEARCH)
        if not index.can_be_met(profile, profile.mates, steps):
            return None
        found = index.candidates(profile, steps)
        if not found:
            return None
        members = CandidateSet(profile, steps)
        admitted: list[OfferClass] = []
        for offers in _oldest_first(found, steps):
            if self._admits(members, offers.profile):
                if profile.mates == 1 and offers.profile.mates <= 1 and not admitted:
                    return [offers.members[offers.oldest]]
                admitted.append(offers)
        if not admitted:
            return None
        candidates = _candidates_of(admitted, steps)
        by_mates: dict[int, int] = {}
        for _, offer, _ in candidates:
            by_mates[offer.spec.mates] = by_mates.get(offer.spec.mates, 0) + 1
        mates_max = _largest_mates(by_mates, profile.mates)
        if mates_max < 0:
            return None
        self._candidates = [each for each in candidates if each[1].spec.mates <= mates_max]
        return self._walk(members)

    def _admits(self, members: CandidateSet, profile: MatchProfile) -> bool:
        """Return whether the newcomer, alone in the set, admits a profile, and whether that can be in a whole set."""
        mates = max(self._profile.mates, profile.mates)
        return members.admits(profile) and self._index.can_be_met(profile, mates, self._steps)

    def _walk(self, members: CandidateSet) -> list[Offer] | None:
        steps = self._steps
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
            _, offer, offers = candidate
            level.position += 1
            steps.take(1)
            if offers.profile.joins_itself:  # others are candidates only once
                if offers in level.tried:
                    continue
                level.tried[offers] = None
            if chosen and not members.admits(offers.profile):  # the newcomer admits all candidates
                continue
            chosen.append(offer)
            if members.missing_with(offers.profile) == 0:
                return chosen
            members.join(offers.profile)
            levels.append(self._next_level(level, candidate))
        return None

    def _next_level(self, level: _Level, chosen: _Candidate) -> _Level:
        """Return who may follow a chosen offer: the younger ones, and where that helps, only those that it wants."""
        candidates, position = level.candidates, level.position
        wants = chosen[2].profile.wants_checked
        if wants and len(candidates) - position > _FEW:
            for want in wants:
                candidates = min(candidates, self._candidates_meeting(want), key=len)
            position = bisect_right(candidates, chosen[0], key=_arrival)
        return _Level(candidates, position)

    def _candidates_meeting(self, want: Check) -> list[_Candidate]:
        """Return the candidates that meet a want; all of them are checked once for each."""
        meeting = self._meeting.get(want)
        if meeting is None:
            self._steps.take(1 + len(self._candidates) // _COUNTS_PER_STEP)
            meeting = [each for each in self._candidates if check_met(want, each[1].spec.labels)]
            self._meeting[want] = meeting
        return meeting


class _Level:
    """One level of the walk: who may come next, from which position on, and which classes led nowhere from here."""

    __slots__ = ("candidates", "position", "tried")

    def __init__(self, candidates: list[_Candidate], position: int) -> None:
        self.candidates: list[_Candidate] = candidates
        self.position: int = position
        self.tried: dict[OfferClass, None] = {}


def _oldest_first(found: list[OfferClasses], steps: Steps) -> Iterator[OfferClass]:
    """Yield classes in order of their oldest offers; a few of many are found in less time than it takes to sort all."""
    total = sum([len(classes) for classes in found])
    steps.take(len(found) // _COUNTS_PER_STEP + total // _ARRIVALS_PER_STEP)
    by_oldest = found[0]
    if len(found) > 1:
        by_oldest = {}
        for classes in found:
            by_oldest.update(classes)
    waiting = list(by_oldest)
    heapify(waiting)
    while waiting:
        steps.take(1)
        yield by_oldest[heappop(waiting)]


def _candidates_of(admitted: list[OfferClass], steps: Steps) -> list[_Candidate]:
    """Return the members that a search must consider, by arrival: all where two may be in one set, else the oldest."""
    candidates: list[_Candidate] = []
    for offers in admitted:
        if offers.profile.joins_itself:
            steps.take(1 + len(offers.members))
            candidates += [(arrival, offer, offers) for arrival, offer in offers.members.items()]
        else:
            candidates.append((offers.oldest, offers.members[offers.oldest], offers))
    candidates.sort(key=_arrival)
    return candidates


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


def _arrival(candidate: _Candidate) -> int:
    return candidate[0]
