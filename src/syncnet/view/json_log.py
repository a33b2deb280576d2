"""The JSON log: one object per happening, one line each. Payloads stay out of it; they may be secret."""

from __future__ import annotations

import json

from syncnet.core.commands import Offer
from syncnet.core.effects import (
    Aborted,
    Attached,
    Effect,
    Pending,
    Refused,
    Replayed,
    SearchExhausted,
    Synced,
    TimedOut,
    Withdrawn,
)
from syncnet.core.times import rfc3339

__all__ = ["json_line"]


def json_line(effect: Effect) -> str:
    """Return the line for one effect, without a line end.

    `at` is the time (RFC 3339) and `happening` one of pending, synced, withdrawn, disconnected, timed-out, aborted,
    missed, refused, attached and retold.
    """
    return json.dumps(_document(effect), ensure_ascii=False, separators=(",", ":"))


def _document(effect: Effect) -> dict[str, object]:
    match effect:
        case Synced():
            members = [{"id": member.id, "actor": member.actor} for member in effect.members]
            return {
                "at": rfc3339(effect.at_ns),
                "happening": "synced",
                "namespace": effect.namespace,
                "event": effect.event,
                "sync": effect.sync,
                "members": members,
            }
        case Pending(offer):
            shape: dict[str, object] = {"expect": offer.roster} if offer.roster else _wishes(offer)
            return _about(offer, offer.at_ns, "pending") | shape | {"labels": dict(offer.labels)}
        case Withdrawn(at_ns, offer, cause):
            return _about(offer, at_ns, cause)
        case TimedOut(at_ns, offer, present, missing):
            return _about(offer, at_ns, "timed-out") | {"present": present, "missing": missing}
        case SearchExhausted(at_ns, offer, event, steps):
            return _about(offer, at_ns, "missed") | {"event": event, "steps": steps}
        case Aborted(at_ns, offer, by, reason):
            return _about(offer, at_ns, "aborted") | {"by": by, "reason": reason}
        case Attached(offer):
            return _about(offer, offer.at_ns, "attached")
        case Replayed(offer, _):
            return _about(offer, offer.at_ns, "retold")
        case Refused(offer, code, reason):
            return _about(offer, offer.at_ns, "refused") | {"code": code, "reason": reason}


def _wishes(offer: Offer) -> dict[str, object]:
    return {"mates": offer.mates, "selector": str(offer.selector)}


def _about(offer: Offer, at_ns: int, happening: str) -> dict[str, object]:
    return {
        "at": rfc3339(at_ns),
        "happening": happening,
        "namespace": offer.namespace,
        "events": offer.events,
        "id": offer.id,
        "actor": offer.actor,
    }
