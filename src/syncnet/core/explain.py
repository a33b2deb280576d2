"""Why an offer is still pending: for each other offer of its events, why the two are not in one sync.

A pure function of the pending offers of one namespace. It checks every pair by rules 1, 2 and 5 and uses no index. It
bounds the number of offers that it reports, and takes the steps of all its work from a meter (`steps.py`). It knows
nothing of how the explanation is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from syncnet.core.candidates import CandidateSet, is_listed, profile_of
from syncnet.core.commands import Offer
from syncnet.core.labels import Labels
from syncnet.core.limits import EXPLAINED_OFFERS_MAX, EXPLANATION_STEPS_MAX, NEAR_EVENTS_MAX
from syncnet.core.present import first_steps
from syncnet.core.selectors import Selector, bound_met, bound_text, check_met, requirement_text
from syncnet.core.steps import BoundHit, Steps

__all__ = ["Explanation", "Relation", "explain"]

_EVENTS_PER_STEP: Final = 8
"""Events of another offer that are looked at for one step."""
_CHARACTERS_PER_STEP: Final = 4
"""Characters of two names that are compared for one step, and of a reason."""
_NEAR: Final = 0.7
"""The share of common characters from which on two names resemble each other."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Whether the explained offer and `other` are compatible under `event`, and why."""

    event: str
    other: Offer
    compatible: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why `offer` is pending.

    `relations` are those to the oldest other offers of its events, at most `EXPLAINED_OFFERS_MAX` in all;
    `left_out` is how many more there are. `near_events` are events with pending offers whose names resemble one of its
    own: possible typing errors. Where not `is_whole`, the steps were used up before all was examined: more offers may
    be left out, and other events may be near.
    """

    offer: Offer
    relations: tuple[Relation, ...]
    left_out: int
    near_events: tuple[str, ...]
    is_whole: bool = True


def explain(offer: Offer, pending: Iterable[Offer], steps: Steps | None = None) -> Explanation:
    """Return why `offer` is pending among `pending`, the offers of its namespace by arrival (it may be one of them).

    The work is bounded by `steps`, by default `EXPLANATION_STEPS_MAX` of them. Half are kept for the reasons of the
    offers that the other half was enough to find.
    """
    steps = steps or Steps(EXPLANATION_STEPS_MAX)
    kept = steps.left // 2
    steps.left -= kept
    work = _Work(offer, steps)
    is_whole = work.meet(pending)
    steps.left = max(steps.left, 0) + kept
    is_whole = work.relate() and is_whole
    is_whole = work.find_near_events() and is_whole
    return Explanation(offer, tuple(work.relations), work.left_out, work.near_events, is_whole)


class _Work:
    """The making of one explanation. Each part returns whether the steps were enough for it."""

    def __init__(self, offer: Offer, steps: Steps) -> None:
        self._offer = offer
        self._steps = steps
        self._present: dict[str, _Present] = {}
        self._met: list[tuple[str, Offer]] = []
        self._other_events: dict[str, None] = {}
        self.relations: list[Relation] = []
        self.left_out = 0
        self.near_events: tuple[str, ...] = ()

    def meet(self, pending: Iterable[Offer]) -> bool:
        """Find the offers of the same events, and which of them could be in one set."""
        own = {event: position for position, event in enumerate(self._offer.events)}
        try:
            self._steps.take(first_steps(self._offer.spec))
            for other in pending:
                self._steps.take(1 + len(other.events) // _EVENTS_PER_STEP)
                shared = []
                for event in other.events:
                    if event in own:
                        shared.append(event)
                    else:
                        self._other_events[event] = None
                if shared and other.id != self._offer.id:
                    self._meet_under(sorted(shared, key=own.__getitem__), other)
        except BoundHit:
            return False
        return True

    def _meet_under(self, events: list[str], other: Offer) -> None:
        for event in events:
            if len(self._met) == EXPLAINED_OFFERS_MAX:
                self.left_out += 1
                continue
            self._steps.take(first_steps(other.spec))
            if event not in self._present:
                self._present[event] = _Present(self._offer, self._steps)
            self._present[event].meet(other)
            self._met.append((event, other))

    def relate(self) -> bool:
        """Say of each offer that was met why it is not in one sync with this one."""
        offer = self._offer
        try:
            for event, other in self._met:
                self._steps.take(4 + offer.spec.steps + other.spec.steps)
                objection = _objection(offer, other)
                self._steps.take(len(objection) // _CHARACTERS_PER_STEP)
                reason = objection or self._present[event].state_of(other)
                self.relations.append(Relation(event, other, not objection, reason))
        except BoundHit:
            self.left_out += len(self._met) - len(self.relations)
            return False
        return True

    def find_near_events(self) -> bool:
        """Find the events whose names resemble those of the offer most."""
        ratios: dict[str, float] = {}
        is_whole = True
        try:
            for own in self._offer.events:
                matcher = SequenceMatcher(autojunk=False)
                matcher.set_seq2(own)
                for event in self._other_events:
                    self._steps.take(2 + (len(own) + len(event)) // _CHARACTERS_PER_STEP)
                    matcher.set_seq1(event)
                    if matcher.real_quick_ratio() >= _NEAR and (ratio := matcher.quick_ratio()) >= _NEAR:
                        ratios[event] = max(ratio, ratios.get(event, 0))
        except BoundHit:
            is_whole = False
        nearest = sorted(ratios, key=lambda event: -ratios[event])
        self.near_events = tuple(nearest[:NEAR_EVENTS_MAX])
        return is_whole


class _Present:
    """The compatible mates of an offer under one event, joined by age."""

    def __init__(self, offer: Offer, steps: Steps) -> None:
        self._offer = offer
        self._group = CandidateSet(profile_of(offer.spec), steps)
        self._mates = 0

    def meet(self, other: Offer) -> None:
        shape = profile_of(other.spec)
        if self._group.admits(shape):
            self._group.join(shape)
            self._mates += 1

    def state_of(self, other: Offer) -> str:
        if other.mates > max(self._offer.mates, self._mates):
            return f"compatible; it wants {_count(other.mates, 'mate')}, {self._mates} of {other.mates} present"
        wanted = self._mates + self._group.missing
        return f"compatible; {self._mates} of {_count(wanted, 'mate')} present"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _objection(offer: Offer, other: Offer) -> str:
    """Return why the two cannot be in one set; the empty text where they can."""
    for chooser, chosen, words in (
        (other, offer, ("its selector", "your labels")),
        (offer, other, ("your selector", "its labels")),
    ):
        rejecting = _first_unmet(chooser.selector, chosen.labels)
        if rejecting is not None:
            key, text = rejecting
            value = chosen.labels.get(key)
            has = f"{key}={value}" if value is not None else f"(no {key})"
            return f"{words[0]} {text} rejects {words[1].removesuffix('s')} {has}"
    for large, wanting, whose in ((offer, other, "your"), (other, offer, "its")):
        if wanting.mates > large.spec.mates_most:
            allows = f"{whose} payload of {large.payload_bytes} bytes allows {_count(large.spec.mates_most, 'mate')}"
            return f"{allows}, and {wanting.actor} wants {wanting.mates}"
    return _roster_objection(offer, other)


def _first_unmet(selector: Selector, labels: Labels) -> tuple[str, str] | None:
    """Return the key and the text of the first requirement that `labels` do not meet; None where they meet all."""
    for requirement, check in zip(selector.requirements, selector.checks, strict=True):
        if not check_met(check, labels):
            return requirement[0], requirement_text(requirement)
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return bound[0], bound_text(bound)
    return None


def _roster_objection(offer: Offer, other: Offer) -> str:
    if not offer.roster and not other.roster:
        return ""
    if offer.actor == other.actor:
        return f"a roster takes one offer of each actor, and both are of {offer.actor}"
    if offer.roster and not is_listed(offer.roster, other.actor):
        return f"{other.actor} is not on your roster"
    if other.roster and not is_listed(other.roster, offer.actor):
        return f"{offer.actor} is not on its roster"
    if offer.roster and other.roster and profile_of(offer.spec).roster_key != profile_of(other.spec).roster_key:
        return "its roster is not the same as yours"
    for rostered, free, whose in ((offer, other, "your"), (other, offer, "its")):
        if rostered.roster and free.mates >= len(rostered.roster):
            return f"{free.actor} wants {_count(free.mates, 'mate')}, more than {whose} roster has"
    return ""
