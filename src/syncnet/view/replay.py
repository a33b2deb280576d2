"""Effects again, from what the JSON log or the live trace said about them: the inverse of `json_log.document`.

The log has no payloads, selectors and timeouts of all offers, so these are not those of the original. They are enough
for the views of this package, which draw names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from syncnet.core.commands import NO_PAYLOAD, Cause, Offer, OfferSpec
from syncnet.core.effects import Aborted, Effect, Pending, SearchExhausted, Synced, TimedOut, Withdrawn
from syncnet.core.selectors import parse_selector

__all__ = ["effect_of"]

_EVERYTHING: Final = parse_selector("")
_CAUSES: Final = {str(cause): cause for cause in Cause}


def effect_of(described: Mapping[str, Any]) -> Effect | None:
    """Return the effect that a document describes; None for one that no view draws, or of another version.

    :raises ValueError: the document is not one of `json_log.document`.
    """
    try:
        return _effect_of(described)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected an object of the live trace, but: {error!r}") from None


def _effect_of(described: Mapping[str, Any]) -> Effect | None:
    happening = described["happening"]
    if happening == "synced":
        namespace, event = described["namespace"], described["event"]
        members = tuple(_offer(namespace, (event,), member) for member in described["members"])
        return Synced(0, namespace, event, described["sync"], members)
    if happening not in ("pending", "timed-out", "aborted", "missed", *_CAUSES):
        return None
    offer = _offer(described["namespace"], tuple(described["events"]), described)
    match happening:
        case "pending":
            return Pending(offer)
        case "timed-out":
            return TimedOut(0, offer, tuple(described["present"]), described["missing"], ())
        case "aborted":
            return Aborted(0, offer, described["by"], described["reason"])
        case "missed":
            return SearchExhausted(0, offer, described["event"], described["steps"])
    return Withdrawn(0, offer, _CAUSES[happening])


def _offer(namespace: str, events: tuple[str, ...], described: Mapping[str, Any]) -> Offer:
    actor = described["actor"]
    spec = OfferSpec(namespace, events, actor, 1, (), {"actor": actor}, _EVERYTHING, None, 0, "", 0)
    return Offer(spec, described["id"], 0, NO_PAYLOAD, 0, False)
