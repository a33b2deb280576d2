"""Outcomes in words, and parts of them as JSON has them: what answers, logs and explanations have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from syncnet.core.commands import Offer
from syncnet.core.departures import Departure
from syncnet.core.effects import Reason, TimedOut
from syncnet.core.limits import NAMES_SAID_MAX
from syncnet.core.times import rfc3339

__all__ = [
    "counted",
    "departures_json",
    "duration",
    "listed",
    "reasons_json",
    "suggestion",
    "waited_s",
    "who_gave_up",
    "who_was_missing",
]


def counted(number: int, noun: str) -> str:
    """Return a number and a noun, as `1 mate` or `2 mates`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(ns: int) -> str:
    """Return a time as `0.25 s`, `5 s`, `12 min` or `3 h`, in few digits."""
    seconds = max(0, ns) / 1e9
    if seconds >= 7_200:
        return f"{seconds / 3_600:.0f} h"
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{round(seconds, 2 if seconds < 10 else 0):g} s"


def listed(names: Collection[str]) -> str:
    """Return the first `NAMES_SAID_MAX` names, and how many more there are."""
    more = len(names) - NAMES_SAID_MAX
    said = ", ".join(islice(names, NAMES_SAID_MAX))
    return f"{said} and {more} more" if more > 0 else said


def suggestion(event: str, waiting: int, namespace: str = "") -> str:
    """Return that so many offers are waiting for another event, or in another namespace, which may have been meant."""
    where = f" in the namespace {namespace}" if namespace else ""
    return f"{event} has {waiting} waiting{where}; did you mean that?"


def waited_s(offer: Offer, now_ns: int) -> float:
    """Return for how many seconds an offer has been pending, to the millisecond."""
    return round(max(0, now_ns - offer.at_ns) / 1e9, 3)


def departures_json(departures: Iterable[Departure]) -> list[dict[str, str]]:
    """Return who left, how and when."""
    return [{"actor": each.actor, "how": each.how, "at": rfc3339(each.at_ns)} for each in departures]


def reasons_json(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    """Return reasons."""
    return [{"actor": each.actor, "event": each.event, "reason": each.reason} for each in reasons]


def who_gave_up(gave_up: Iterable[Departure], now_ns: int) -> str:
    """Return who left, how, and how long before `now_ns`."""
    return listed(
        [f"{each.actor} ({each.how.replace('-', ' ')} {duration(now_ns - each.at_ns)} ago)" for each in gave_up]
    )


def who_was_missing(outcome: TimedOut) -> str:
    """Return who gave up, who never came, and who or how many were missing otherwise."""
    parts = []
    accounted = {*outcome.never_came, *[each.actor for each in outcome.gave_up]}
    if outcome.gave_up:
        parts.append(f"gave up: {who_gave_up(outcome.gave_up, outcome.at_ns)}")
    if outcome.never_came:
        parts.append(f"never came: {listed(outcome.never_came)}")
    others = [actor for actor in outcome.missing_actors if actor not in accounted]
    if others or not outcome.missing_actors:
        parts.append(f"missing: {listed(others) or outcome.missing}")
    return "; ".join(parts)
