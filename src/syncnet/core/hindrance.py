"""Why two offers cannot be in one sync: rules 1 and 5 for a pair, in words, with the values that differ."""

from __future__ import annotations

from typing import Final

from syncnet.core.candidates import is_listed, profile_of
from syncnet.core.commands import Offer
from syncnet.core.labels import Labels
from syncnet.core.selectors import Selector, bound_met, bound_text, check_met, requirement_text
from syncnet.core.steps import Steps
from syncnet.core.wording import counted, listed

__all__ = ["Requirement", "first_unmet", "hindrance"]

_TEXT_CHARACTERS_MAX: Final = 160
_CHARACTERS_PER_STEP: Final = 4
"""Characters of a text that are written for one step."""
_NAMES_PER_STEP: Final = 8
"""Names of two rosters that are compared for one step."""

Requirement = tuple[str, str]
"""The key and the text of one requirement of a selector."""


def hindrance(one: Offer, other: Offer, steps: Steps) -> str:
    """Return why two offers of an event cannot be in one set; the empty text where they can.

    :raises BoundHit: the steps were not enough.
    """
    for chooser, chosen in ((one, other), (other, one)):
        steps.take(1 + chooser.spec.steps)
        unmet = first_unmet(chooser.selector, chosen.labels)
        if unmet is not None:
            key, text = unmet
            steps.take(len(text) // _CHARACTERS_PER_STEP)
            if len(text) > _TEXT_CHARACTERS_MAX:
                text = text[:_TEXT_CHARACTERS_MAX] + "…"
            if one.actor == other.actor and text == f"actor!={one.actor}":
                return f"both are of {one.actor}, and the selector {text} (the default) excludes its own other offers"
            value = chosen.labels.get(key)
            has = f"no {key}" if value is None else f"{key}={value}"
            return f"{chooser.actor} wants {text}, and {chosen.actor} has {has}"
    for large, wanting in ((one, other), (other, one)):
        if wanting.mates > large.spec.mates_most:
            allows = f"the payload of {large.actor}, {large.payload_bytes} bytes, allows"
            return f"{allows} {counted(large.spec.mates_most, 'mate')}, and {wanting.actor} wants {wanting.mates}"
    return _roster_hindrance(one, other, steps) if one.roster or other.roster else ""


def first_unmet(selector: Selector, labels: Labels) -> Requirement | None:
    """Return the first requirement that `labels` do not meet; None where they meet all."""
    for requirement, check in zip(selector.requirements, selector.checks, strict=True):
        if not check_met(check, labels):
            return requirement[0], requirement_text(requirement)
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return bound[0], bound_text(bound)
    return None


def _roster_hindrance(one: Offer, other: Offer, steps: Steps) -> str:
    steps.take(1 + (len(one.roster) + len(other.roster)) // _NAMES_PER_STEP)
    if one.actor == other.actor:
        return f"a roster takes one offer of each actor, and both are of {one.actor}"
    for rostered, free in ((one, other), (other, one)):
        if rostered.roster and not is_listed(rostered.roster, free.actor):
            return f"{free.actor} is not on the roster of {rostered.actor} ({listed(rostered.roster)})"
    if one.roster and other.roster:
        if profile_of(one.spec).roster_key == profile_of(other.spec).roster_key:
            return ""
        return f"their rosters differ: {_only(one, other)}; {_only(other, one)}"
    rostered, free = (one, other) if one.roster else (other, one)
    if free.mates < len(rostered.roster):
        return ""
    mates = counted(len(rostered.roster) - 1, "mate")
    return f"{free.actor} wants {counted(free.mates, 'mate')}, and the roster of {rostered.actor} has {mates}"


def _only(one: Offer, other: Offer) -> str:
    names = set(other.roster)
    only = [actor for actor in one.roster if actor not in names]
    return f"{one.actor} has {listed(only)}" if only else f"{one.actor} has no others"
