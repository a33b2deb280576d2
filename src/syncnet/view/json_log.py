"""The JSON log: one JSON object per line, for each effect and each circle of actors that was warned of.

Payloads are never logged; they may be secret.
"""

from __future__ import annotations

import json

from syncnet.core.circles import Circle
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
from syncnet.core.wording import departures_json, reasons_json, waited_s

__all__ = ["circle_line", "document", "json_line"]


def json_line(effect: Effect) -> str:
    """Return the line of one effect, without a line end."""
    return _line(document(effect))


def circle_line(at_ns: int, namespace: str, circle: Circle) -> str:
    """Return the line that warns of actors that are stuck together: `happening` is stuck."""
    return _line({"at": rfc3339(at_ns), "happening": "stuck", "namespace": namespace} | circle.document())


def _line(described: dict[str, object]) -> str:
    return json.dumps(described, ensure_ascii=False, separators=(",", ":"))


def document(effect: Effect) -> dict[str, object]:
    """Return what the log and the live trace say about one effect, as a JSON object.

    `at` is the time (RFC 3339). `happening` is one of pending, synced, withdrawn, disconnected, lost (its node of a
    cluster), timed-out, aborted, missed (a search that reached its limit of steps), refused, attached (a request that
    joined a pending offer with the same id) and retold (a request that got an earlier outcome again).
    """
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
            terms: dict[str, object] = {"mates": offer.mates, "selector": str(offer.selector)}
            if offer.roster:
                terms = {"expect": offer.roster}
            return _common(offer, offer.at_ns, "pending") | terms | {"labels": dict(offer.labels)}
        case Withdrawn(at_ns, offer, cause):
            return _common(offer, at_ns, cause)
        case TimedOut(at_ns, offer):
            return _common(offer, at_ns, "timed-out") | _who(effect)
        case SearchExhausted(at_ns, offer, event, steps):
            return _common(offer, at_ns, "missed") | {"event": event, "steps": steps}
        case Aborted(at_ns, offer, by, reason):
            return _common(offer, at_ns, "aborted") | {"by": by, "reason": reason}
        case Attached(offer):
            return _common(offer, offer.at_ns, "attached")
        case Replayed(offer, _):
            return _common(offer, offer.at_ns, "retold")
        case Refused(offer, code, reason):
            return _common(offer, offer.at_ns, "refused") | {"code": code, "reason": reason}


def _who(outcome: TimedOut) -> dict[str, object]:
    """Return who was there when an offer timed out, and who was not."""
    return {
        "waited_s": waited_s(outcome.offer, outcome.at_ns),
        "present": outcome.present,
        "missing": outcome.missing,
        "missing_actors": outcome.missing_actors,
        "gave_up": departures_json(outcome.gave_up),
        "never_came": outcome.never_came,
        "reasons": reasons_json(outcome.reasons),
    }


def _common(offer: Offer, at_ns: int, happening: str) -> dict[str, object]:
    """Return what every line about one offer contains."""
    return {
        "at": rfc3339(at_ns),
        "happening": happening,
        "namespace": offer.namespace,
        "events": offer.events,
        "id": offer.id,
        "actor": offer.actor,
    }
