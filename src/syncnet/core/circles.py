"""Actors that wait for each other in a circle, each for an event for which the next one has no offer.

An actor waits for another *by name* where none of its pending offers can happen without it: it is on the roster, or the
only one that the selector admits. It waits in vain where the other has offers pending, but none for the same events. In
a circle of such actors none goes on unless one of them makes another offer. It is called *certain* where each of them
has one offer pending; where one has several, or where labels give some offer another name than its actor has, it is
called *possible*.

A pure function of the pending offers of a namespace. Its work takes steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from syncnet.core.commands import Offer
from syncnet.core.limits import CIRCLES_MAX
from syncnet.core.selectors import Selector
from syncnet.core.steps import BoundHit, Steps

__all__ = ["Circle", "Link", "circles", "needed_by_name"]

_NAMES_PER_STEP: Final = 4
"""Names that are looked at for one step."""


@dataclass(frozen=True)
class Link:
    """`actor` waits for `other` on `events`, for which the other has no offer."""

    actor: str
    other: str
    events: tuple[str, ...]


@dataclass(frozen=True)
class Circle:
    """Each link waits for the actor of the next one, the last for that of the first."""

    links: tuple[Link, ...]
    is_certain: bool

    def text(self) -> str:
        """Return it as a sentence."""
        waits = [f"{each.actor} waits for {each.other} on {' or '.join(each.events)}" for each in self.links]
        stuck = "stuck together" if self.is_certain else "possibly stuck together"
        return f"{stuck}: {', '.join(waits)}"

    def document(self) -> dict[str, Any]:
        """Return it as `/explain` and the JSON log show it."""
        return {
            "is_certain": self.is_certain,
            "summary": self.text(),
            "waits": [{"actor": each.actor, "other": each.other, "events": each.events} for each in self.links],
        }


def circles(pending: Iterable[Offer], steps: Steps) -> list[Circle]:
    """Return the circles among the pending offers of a namespace, by arrival; at most `CIRCLES_MAX`.

    An actor is in one of them at most. Where the steps are used up, only what was found by then.
    """
    offers: dict[str, list[Offer]] = {}
    found: list[Circle] = []
    names_are_actors = True
    try:
        for offer in pending:
            steps.take(1)
            names_are_actors = names_are_actors and offer.labels["actor"] == offer.actor
            offers.setdefault(offer.actor, []).append(offer)
        links = {actor: _links(own, offers, steps) for actor, own in offers.items()}
        done: set[str] = set()
        for start in links:
            if len(found) == CIRCLES_MAX:
                break
            path = _way_back(start, links, done, steps)
            done.add(start)
            if path:
                done.update([each.actor for each in path])
                is_certain = names_are_actors and all(len(offers[each.actor]) == 1 for each in path)
                found.append(Circle(tuple(path), is_certain))
    except BoundHit:
        pass
    return found


def needed_by_name(offer: Offer, steps: Steps) -> tuple[str, ...]:
    """Return the actors without which an offer cannot happen, whatever else is pending."""
    if offer.roster:
        steps.take(1 + len(offer.roster) // _NAMES_PER_STEP)
        return tuple([actor for actor in offer.roster if actor != offer.actor])
    names = _names_wanted(offer.selector, steps)
    return names if len(names) == 1 and offer.mates else ()


def _names_wanted(selector: Selector, steps: Steps) -> tuple[str, ...]:
    """Return the only values that a selector admits for the label `actor`; none where it asks for no values."""
    for key, negated, values in selector.requirements:
        steps.take(1)
        if key == "actor" and not negated:
            steps.take(len(values) // _NAMES_PER_STEP)
            return tuple([value for value in values if value is not None])
    return ()


def _links(own: list[Offer], offers: dict[str, list[Offer]], steps: Steps) -> list[Link]:
    """Return for whom all offers of an actor wait in vain: those with offers pending, none of them for its events."""
    found: list[Link] = []
    needed = [needed_by_name(offer, steps) for offer in own]
    for other in needed[0]:
        steps.take(1 + sum([len(names) for names in needed[1:]]) // _NAMES_PER_STEP)
        if other not in offers or any(other not in names for names in needed[1:]):
            continue
        events = dict.fromkeys([event for offer in own for event in offer.events])
        steps.take(1 + len(events) + len(offers[other]))
        if not any(event in events for each in offers[other] for event in each.events):
            found.append(Link(own[0].actor, other, tuple(events)))
    return found


def _way_back(start: str, links: dict[str, list[Link]], done: set[str], steps: Steps) -> list[Link]:
    """Return the shortest way from an actor back to itself, past none that is done; empty where there is none."""
    came_by: dict[str, Link] = {}
    front = [start]
    while front:
        following: list[str] = []
        for actor in front:
            for link in links[actor]:
                steps.take(1)
                if link.other == start:
                    way = [link]
                    while way[0].actor != start:
                        way.insert(0, came_by[way[0].actor])
                    return way
                if link.other not in came_by and link.other not in done:
                    came_by[link.other] = link
                    following.append(link.other)
        front = following
    return []
