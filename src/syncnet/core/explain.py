"""Why an offer is still pending: for each other offer of its events, why the two are not in one sync.

A pure function of the pending offers of one namespace. It checks every pair by rules 1, 2 and 5, uses no index, and
bounds the number of offers that it reports. It knows nothing of how the explanation is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from syncnet.core.candidates import CandidateSet, profile_of
from syncnet.core.commands import Offer
from syncnet.core.labels import Labels
from syncnet.core.limits import EVENTS_COMPARED_MAX, EXPLAINED_OFFERS_MAX, NEAR_EVENTS_MAX
from syncnet.core.selectors import Selector, bound_met, bound_text, requirement_met, requirement_text

__all__ = ["Explanation", "Relation", "explain"]


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
    own: possible typing errors.
    """

    offer: Offer
    relations: tuple[Relation, ...]
    left_out: int
    near_events: tuple[str, ...]


def explain(offer: Offer, pending: Iterable[Offer]) -> Explanation:
    """Return why `offer` is pending among `pending`, the offers of its namespace by arrival (it may be one of them)."""
    relations: list[Relation] = []
    left_out = 0
    events: dict[str, None] = {}
    present = {event: _Present(offer) for event in offer.events}
    met: list[tuple[str, Offer]] = []
    for other in pending:
        events.update(dict.fromkeys(other.events))
        if other.id == offer.id:
            continue
        for event in (event for event in offer.events if event in other.events):
            if len(met) < EXPLAINED_OFFERS_MAX:
                met.append((event, other))
                present[event].meet(other)
            else:
                left_out += 1
    for event, other in met:
        objection = _objection(offer, other)
        reason = objection or present[event].state_of(other)
        relations.append(Relation(event, other, not objection, reason))
    return Explanation(offer, tuple(relations), left_out, _near(offer.events, events))


class _Present:
    """The compatible mates of an offer under one event, joined by age."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._group = CandidateSet(profile_of(offer.spec))
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
    return _roster_objection(offer, other)


def _first_unmet(selector: Selector, labels: Labels) -> tuple[str, str] | None:
    """Return the key and the text of the first requirement that `labels` do not meet; None where they meet all."""
    for requirement in selector.requirements:
        if not requirement_met(requirement, labels):
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
    if offer.roster and other.actor not in offer.roster:
        return f"{other.actor} is not on your roster"
    if other.roster and offer.actor not in other.roster:
        return f"{offer.actor} is not on its roster"
    if offer.roster and other.roster and offer.roster != other.roster:
        return "its roster is not the same as yours"
    for rostered, free, whose in ((offer, other, "your"), (other, offer, "its")):
        if rostered.roster and free.mates >= len(rostered.roster):
            return f"{free.actor} wants {_count(free.mates, 'mate')}, more than {whose} roster has"
    return ""


def _near(own: tuple[str, ...], events: Iterable[str]) -> tuple[str, ...]:
    others = [event for event in events if event not in own][:EVENTS_COMPARED_MAX]
    near = dict.fromkeys(found for event in own for found in get_close_matches(event, others, n=NEAR_EVENTS_MAX))
    return tuple(near)[:NEAR_EVENTS_MAX]
