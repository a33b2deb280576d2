"""Explanations as documents, and the documents as text for people: the answer of `/explain`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from syncnet.core.circles import circles
from syncnet.core.commands import Offer
from syncnet.core.departures import Departure
from syncnet.core.explain import Explanation, NearEvent
from syncnet.core.steps import Steps
from syncnet.core.times import rfc3339
from syncnet.core.wording import counted, departures_json, duration, listed, reasons_json, suggestion, waited_s

__all__ = ["circle_documents", "explanation_document", "is_meant", "near_events_json", "text_of"]

_LINES_MAX = 20
"""Lines of reasons for one offer in a text; the JSON has all."""


def is_meant(offer: Offer, actor: str, event: str, id: str) -> bool:
    """Return whether an offer is of an actor, of an event and of an id; each may be empty."""
    return (not actor or offer.actor == actor) and (not event or event in offer.events) and (not id or offer.id == id)


def explanation_document(explanation: Explanation, now_ns: int) -> dict[str, Any]:
    """Return what `/explain` says of one offer."""
    offer, of = explanation.offer, explanation.standing
    return {
        "id": offer.id,
        "actor": offer.actor,
        "events": offer.events,
        "created_at": rfc3339(offer.at_ns),
        "waited_s": waited_s(offer, now_ns),
        "summary": _summary(explanation, now_ns),
        "mates": offer.mates,
        "present": of.present,
        "missing": of.missing,
        "missing_actors": of.missing_actors,
        "gave_up": departures_json(of.gave_up),
        "never_came": of.never_came,
        "reasons": reasons_json(explanation.reasons()),
        "others": [
            {
                "id": each.other.id,
                "actor": each.other.actor,
                "event": each.event,
                "fits": each.compatible,
                "reason": each.reason,
            }
            for each in explanation.relations
        ],
        "others_left_out": explanation.left_out,
        "near_events": near_events_json(explanation.near_events),
        "is_whole": explanation.is_whole,
    }


def near_events_json(near: Iterable[NearEvent]) -> list[dict[str, Any]]:
    """Return the events whose names resemble one, and how many offers are waiting for each."""
    return [{"event": each.event, "waiting": each.waiting} for each in near]


def _summary(explanation: Explanation, now_ns: int) -> str:
    """Return in a sentence for whom an offer waits, who is here, who is not, and why."""
    offer, of = explanation.offer, explanation.standing
    parts = [_here(of.present)]
    if of.never_came:
        parts.append(f"{listed(of.never_came)} never came")
    parts += [_gave_up(each, now_ns) for each in of.gave_up[:_LINES_MAX]]
    accounted = {*of.never_came, *[each.actor for each in of.gave_up]}
    others = [actor for actor in of.missing_actors if actor not in accounted]
    if others:
        parts.append(f"{listed(others)} {'does' if len(others) == 1 else 'do'} not fit")
    elif not of.missing_actors:
        parts.append(f"{of.missing} more {'is' if of.missing == 1 else 'are'} needed")
    waits = f"{offer.actor} waits for {counted(offer.mates, 'other')} on {' or '.join(offer.events)}"
    return f"{waits} since {duration(now_ns - offer.at_ns)}: {'; '.join(parts)}"


def _here(present: tuple[str, ...]) -> str:
    return f"{listed(present) or 'nobody'} {'are' if len(present) > 1 else 'is'} here"


def _gave_up(left: Departure, now_ns: int) -> str:
    return f"{left.actor} gave up {duration(now_ns - left.at_ns)} ago ({left.how.replace('-', ' ')})"


def circle_documents(pending: Iterable[Offer], actors: Container[str], steps: Steps) -> list[dict[str, Any]]:
    """Return what `/explain` says of the circles in which one of these actors waits."""
    found = circles(pending, steps)
    return [circle.document() for circle in found if any(link.actor in actors for link in circle.links)]


def text_of(document: Mapping[str, Any]) -> str:
    """Return the answer of `/explain` as text: a sentence for each offer, and its reasons below."""
    lines = []
    for offer in document["offers"]:
        lines.append(offer["summary"])
        lines += [f"  {each['reason']}" for each in offer["reasons"][:_LINES_MAX]]
        if len(offer["reasons"]) > _LINES_MAX:
            lines.append(f"  and {len(offer['reasons']) - _LINES_MAX} more reasons")
        lines += [f"  {suggestion(**each)}" for each in offer.get("other_namespaces", ())]
        if offer["others_left_out"]:
            lines.append(f"  {counted(offer['others_left_out'], 'more offer')} not examined")
    lines += [each["summary"] for each in document.get("circles", ())]
    if not lines:
        lines.append(f"no such offer is pending in the namespace {document['namespace']}")
    lines += [suggestion(**each) for each in document.get("near_events", ())]
    lines += [suggestion(**each) for each in document.get("other_namespaces", ())]
    return "".join([f"{line}\n" for line in lines])
