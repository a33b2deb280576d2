"""Why an offer has not synced: who is there and who is not, and why those that are there and the offer do not go.

`explain` is the one explanation: in full for `/explain`, and short in the outcome of an offer that timed out. It is a
pure function of the pending offers and of who left. Its work takes steps from a meter (`steps.py`), and what it lists
is bounded. It names what is certain, with the values that differ, and knows nothing of how it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import Final

from syncnet.core.candidates import is_listed
from syncnet.core.commands import Offer
from syncnet.core.departures import Departures
from syncnet.core.effects import Reason, TimedOut
from syncnet.core.hindrance import hindrance
from syncnet.core.limits import (
    EXPLAINED_OFFERS_MAX,
    NEAR_EVENTS_MAX,
    REASONS_MAX,
    REASONS_STEPS_MAX,
    RELATIONS_MAX,
)
from syncnet.core.offer_list import OfferList
from syncnet.core.present import Standing, first_steps, may_be_mate, standing
from syncnet.core.steps import BoundHit, Steps
from syncnet.core.wording import counted, listed, suggestion

__all__ = ["Explanation", "NearEvent", "Relation", "explain", "lists_of", "near", "near_events", "timed_out"]

_EVENTS_PER_STEP: Final = 8
"""Events of another offer that are looked at for one step."""
_CHARACTERS_PER_STEP: Final = 4
"""Characters of two names that are compared for one step."""
_NEAR: Final = 0.7
"""The share of common characters from which on two names resemble each other."""
_PAIRS_MAX: Final = 4_096
"""Pairs of characters up to which two names are compared."""
_PAIRS_PER_STEP: Final = 8
_NUMBER: Final = re.compile("[0-9]+")
_EXCLUDING_MAX: Final = 12
"""Offers that are present of which every two are compared."""


@dataclass(frozen=True)
class Relation:
    """Whether the explained offer and `other` can be in one sync of `event`; where not, `reason` says why."""

    event: str
    other: Offer
    compatible: bool
    reason: str


@dataclass(frozen=True)
class NearEvent:
    """An event whose name resembles one of the offer's, with so many offers `waiting` for it."""

    event: str
    waiting: int


@dataclass(frozen=True)
class Explanation:
    """Why `offer` is pending, or was until its timeout.

    `relations` are those to the oldest other offers of its events, at most `EXPLAINED_OFFERS_MAX` in all; `left_out` is
    how many more there are. `others` are further reasons: two that are present and exclude each other, an actor of the
    roster that waits for another event, mates that are present under different events. Where not `is_whole`, the steps
    were used up before all was examined: more offers may be left out, and other events may be near.
    """

    offer: Offer
    standing: Standing
    relations: tuple[Relation, ...]
    left_out: int
    others: tuple[Reason, ...]
    near_events: tuple[NearEvent, ...]
    is_whole: bool

    def reasons(self) -> list[Reason]:
        """Return what hinders the offer, what matters most first."""
        spec = self.offer.spec
        hindering = [each for each in self.relations if not each.compatible]
        hindering.sort(key=lambda each: not may_be_mate(spec, each.other.actor))
        more = [
            Reason(each.other.actor, each.event, f"{each.other.actor} wants {counted(each.other.mates, 'mate')}")
            for each in self.relations
            if each.compatible and each.other.mates > max(spec.mates, len(self.standing.present))
        ]
        near = [] if self.relations else self.near_events
        near_events = [Reason("", each.event, suggestion(each.event, each.waiting)) for each in near]
        said = [Reason(each.other.actor, each.event, each.reason) for each in hindering]
        return [*said, *more, *self.others, *near_events]


def lists_of(pending: Iterable[Offer]) -> dict[str, OfferList]:
    """Return the pending offers of a namespace by event, without an index."""
    lists: dict[str, OfferList] = {}
    for offer in pending:
        for event in offer.events:
            lists.setdefault(event, OfferList()).offers[offer.arrival] = offer
    return lists


def timed_out(
    lists: dict[str, OfferList],
    pending: Iterable[Offer],
    offer: Offer,
    at_ns: int,
    steps: Steps,
    departures: Departures,
) -> TimedOut:
    """Return the outcome of a pending offer whose timeout has passed."""
    explanation = explain(lists, pending, offer, at_ns, steps, departures, is_over=True)
    of = explanation.standing
    reasons = tuple(explanation.reasons()[:REASONS_MAX])
    return TimedOut(
        at_ns, offer, of.present, of.missing, of.missing_actors, of.gave_up, of.never_came, reasons
    )  # fmt: skip


def explain(
    lists: dict[str, OfferList],
    pending: Iterable[Offer],
    offer: Offer,
    now_ns: int,
    steps: Steps,
    departures: Departures,
    *,
    is_over: bool = False,
) -> Explanation:
    """Return why `offer` is pending among `pending`, the offers of its namespace by arrival, `lists` by event.

    Half of the steps are for who is there and half for the reasons. Where the wait `is_over` it is the short form, for
    which `REASONS_STEPS_MAX` steps must do: many offers may time out together.
    """
    kept = steps.set_aside(min(steps.left // 2, REASONS_STEPS_MAX) if is_over else steps.left // 2)
    found = standing(lists, offer, now_ns, steps, departures, is_over=is_over)
    rest = steps.set_aside(max(steps.left, 0)) if is_over else 0
    steps.give_back(kept)
    work = _Work(offer, lists, found, steps, is_over)
    is_whole = work.relate() and work.find_excluding()
    if found.missing_actors or not work.relations or not is_over:
        is_whole = work.look_around(pending) and is_whole
    steps.give_back(rest)
    return Explanation(
        offer, found, tuple(work.relations), work.left_out, tuple(work.others), tuple(work.near_events), is_whole
    )


class _Work:
    """The making of one explanation. Each part returns whether the steps were enough for it."""

    def __init__(
        self, offer: Offer, lists: dict[str, OfferList], found: Standing, steps: Steps, is_short: bool
    ) -> None:
        self._offer = offer
        self._is_short = is_short
        self._relations_max = RELATIONS_MAX if is_short else EXPLAINED_OFFERS_MAX
        self._lists = lists
        self._standing = found
        self._steps = steps
        self.relations: list[Relation] = []
        self.left_out = 0
        self.others: list[Reason] = []
        self.near_events: list[NearEvent] = []

    def relate(self) -> bool:
        """Say of each other offer of the same events whether the two can be in one sync."""
        offer = self._offer
        total = sum(len(self._lists[event].offers) - 1 for event in offer.events)
        try:
            for event in offer.events:
                for other in self._lists[event].offers.values():
                    if len(self.relations) == self._relations_max:
                        break
                    if other is offer or (self._is_short and not self._matters(other)):
                        continue
                    self._steps.take(first_steps(other.spec))
                    reason = hindrance(offer, other, self._steps)
                    self.relations.append(Relation(event, other, not reason, reason or self._state(other)))
        except BoundHit:
            self.left_out = total - len(self.relations)
            return False
        self.left_out = total - len(self.relations)
        return True

    def _matters(self, other: Offer) -> bool:
        """Return whether the other is wanted by name, or wants the offer by name; or is of the same actor."""
        one = self._offer.spec
        self._steps.take(1 + len(one.selector.checks) // _EVENTS_PER_STEP)
        if other.actor == one.actor or may_be_mate(one, other.actor):
            return True
        return is_listed(other.spec.roster, one.actor)

    def _state(self, other: Offer) -> str:
        of = self._standing
        present = len(of.present)
        if other.mates > max(self._offer.mates, present):
            return f"fits; {other.actor} wants {counted(other.mates, 'mate')}, {present} present"
        return f"fits; {present} of {counted(present + of.missing, 'mate')} present"

    def find_excluding(self) -> bool:
        """Find those that are present and exclude each other, or are there under different events only."""
        fitting: dict[str, list[Offer]] = {}
        for relation in self.relations:
            if relation.compatible:
                fitting.setdefault(relation.event, []).append(relation.other)
        try:
            for event, offers in fitting.items():
                for one, other in combinations(offers[:_EXCLUDING_MAX], 2):
                    self._steps.take(1 + first_steps(other.spec))
                    if reason := hindrance(one, other, self._steps):
                        said = f"{one.actor} and {other.actor} exclude each other: {reason}"
                        self.others.append(Reason(one.actor, event, said))
        except BoundHit:
            return False
        self._find_scattered(fitting)
        return True

    def _find_scattered(self, fitting: dict[str, list[Offer]]) -> None:
        """Note where the mates of a choice are there, but under different events."""
        spec = self._offer.spec
        actors = {event: list(dict.fromkeys([each.actor for each in offers])) for event, offers in fitting.items()}
        most = max(map(len, actors.values()), default=0)
        if len(actors) > 1 and most < spec.mates <= len({name for names in actors.values() for name in names}):
            there = "; ".join(f"{listed(names)} for {event}" for event, names in actors.items())
            said = f"{spec.actor} wants {counted(spec.mates, 'mate')} for one event, and they wait for different ones"
            self.others.append(Reason("", "", f"{said}: {there}"))

    def look_around(self, pending: Iterable[Offer]) -> bool:
        """Find actors of the roster that wait for other events, and events whose names resemble those of the offer."""
        own, absent = set(self._offer.events), set(self._standing.missing_actors)
        waiting: dict[str, list[Offer]] = {}
        ratios: dict[str, float] = {}
        try:
            for other in pending:
                self._steps.take(1 + len(other.events) // _EVENTS_PER_STEP)
                if own.isdisjoint(other.events) and other.actor in absent:
                    waiting.setdefault(other.actor, []).append(other)
                for event in other.events:
                    if event not in own and event not in ratios:
                        ratios[event] = max([near(mine, event, self._steps) for mine in self._offer.events])
        except BoundHit:
            return False
        finally:
            self.near_events = _nearest(ratios, self._lists)
            for actor, offers in waiting.items():
                events = listed(list(dict.fromkeys([event for each in offers for event in each.events])))
                said = f"{actor} waits for {events}, not for {' or '.join(self._offer.events)}"
                self.others.append(Reason(actor, offers[0].events[0], said))
        return True


def near_events(asked: str, lists: dict[str, OfferList], steps: Steps) -> list[NearEvent]:
    """Return the events whose names resemble one for which nothing is pending."""
    ratios: dict[str, float] = {}
    try:
        for event in lists:
            ratios[event] = near(asked, event, steps)
    except BoundHit:
        pass
    return _nearest(ratios, lists)


def _nearest(ratios: dict[str, float], lists: dict[str, OfferList]) -> list[NearEvent]:
    """Return the events that resemble another most, by how much each does."""
    nearest = sorted([event for event in ratios if ratios[event] >= _NEAR], key=lambda event: -ratios[event])
    return [NearEvent(event, len(lists[event].offers)) for event in nearest[:NEAR_EVENTS_MAX]]


def near(one: str, other: str, steps: Steps) -> float:
    """Return how much two different names resemble each other, from 0 to 1; 0 where they differ in numbers only.

    :raises BoundHit: the steps were not enough.
    """
    steps.take(2 + (len(one) + len(other)) // _CHARACTERS_PER_STEP)
    if one.casefold() == other.casefold():
        return 1.0
    pairs = len(one) * len(other)
    matcher = SequenceMatcher(None, other, one, autojunk=False)
    if pairs > _PAIRS_MAX or matcher.real_quick_ratio() < _NEAR or matcher.quick_ratio() < _NEAR:
        return 0.0
    steps.take(pairs // _PAIRS_PER_STEP)
    return 0.0 if _NUMBER.sub("", one) == _NUMBER.sub("", other) else matcher.ratio()
