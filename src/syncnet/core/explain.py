"""Why an offer still waits: for each other offer of its events, why the two are not together.

A pure function of the pending offers of one namespace, that asks every pair afresh by rules 1, 2 and 5: it uses no
index, and is bounded in what it says. Knows nothing of how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from syncnet.core.candidates import CandidateSet, MatchProfile
from syncnet.core.commands import Offer
from syncnet.core.limits import EVENTS_COMPARED_MAX, EXPLAINED_OFFERS_MAX, NEAR_EVENTS_MAX

__all__ = ["Explanation", "Relation", "explain"]


@dataclass(frozen=True, slots=True)
class Relation:
    """How things stand between the offer that is explained and `other`, under `event`."""

    event: str
    other: Offer
    compatible: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why `offer` waits.

    `relations` are those to the eldest other offers of its events, at most `EXPLAINED_OFFERS_MAX` in all;
    `left_out` is how many more there are. `near_events` are events with pending offers whose names are much like one
    of its own: perhaps somebody mistyped.
    """

    offer: Offer
    relations: tuple[Relation, ...]
    left_out: int
    near_events: tuple[str, ...]


def explain(offer: Offer, pending: Iterable[Offer]) -> Explanation:
    """Return why `offer` still waits among `pending`, the offers of its namespace by arrival (it may be among them)."""
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
        reason = objection or present[event].standing_of(other)
        relations.append(Relation(event, other, not objection, reason))
    return Explanation(offer, tuple(relations), left_out, _near(offer.events, events))


class _Present:
    """The compatible mates of an offer under one event, let in by age."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._group = CandidateSet(MatchProfile(offer))
        self._mates = 0

    def meet(self, other: Offer) -> None:
        shape = MatchProfile(other)
        if self._group.admits(shape):
            self._group.join(shape)
            self._mates += 1

    def standing_of(self, other: Offer) -> str:
        if other.mates > max(self._offer.mates, self._mates):
            return f"compatible; it wants {_count(other.mates, 'mate')}, {self._mates} of {other.mates} present"
        wanted = self._mates + self._group.missing
        return f"compatible; {self._mates} of {_count(wanted, 'mate')} present"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _objection(offer: Offer, other: Offer) -> str:
    """Return why the two cannot stand in one set; the empty text where they can."""
    for chooser, chosen, words in (
        (other, offer, ("its selector", "your labels")),
        (offer, other, ("your selector", "its labels")),
    ):
        for requirement in chooser.selector.requirements:
            if not requirement.matches(chosen.labels):
                value = chosen.labels.get(requirement.key)
                has = f"{requirement.key}={value}" if value is not None else f"(no {requirement.key})"
                return f"{words[0]} {requirement} rejects {words[1].removesuffix('s')} {has}"
    return _roster_objection(offer, other)


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
