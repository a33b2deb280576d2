"""Outcomes in, bodies of answers out.

The answer to a sync is encoded once per format, and every member gets the same bytes. Every other outcome is a problem
document (RFC 9457); its code, status and title come from the table in `errors.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import yaml

from syncnet.core.commands import OBJECT, Offer
from syncnet.core.effects import Aborted, Synced, TimedOut
from syncnet.core.times import rfc3339
from syncnet.core.trace import TracedSync
from syncnet.core.wording import departures_json, listed, reasons_json, waited_s, who_was_missing
from syncnet.errors import PROBLEMS
from syncnet.wire.payloads import json_of

__all__ = [
    "MEDIA_TYPES",
    "PROBLEM_MEDIA_TYPE",
    "aborted_detail",
    "aborted_problem",
    "as_yaml",
    "encode_pending",
    "encode_problem",
    "encode_sync",
    "encode_trace",
    "timed_out_detail",
    "timed_out_problem",
]

MEDIA_TYPES: Final = {"json": "application/json", "yaml": "application/yaml"}
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:syncnet:problem:"

_encode: Final = msgspec.json.Encoder().encode


def encode_sync(synced: Synced) -> bytes:
    """Return the answer that every member of a sync gets, as JSON with a line end.

    It is made of dicts, which take half of the time that structures take to build and encode.
    """
    payloads: dict[str, msgspec.Raw] = {}
    members: list[dict[str, object]] = []
    for offer in synced.members:
        spec = offer.spec
        payload = msgspec.Raw(offer.payload if offer.payload_bytes != OBJECT else json_of(offer))
        payloads[spec.actor] = payload
        members += ({"id": offer.id, "actor": spec.actor, "labels": spec.labels, "payload": payload},)
    return _encode({"event": synced.event, "sync": synced.sync, "payloads": payloads, "members": members}) + b"\n"


def as_yaml(json_body: bytes) -> bytes:
    """Return a body of JSON as YAML."""
    text: str = yaml.dump(json.loads(json_body), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text.encode()


def encode_problem(code: str, detail: str, **members: object) -> bytes:
    """Return a problem document of `code`, with the further members `members`."""
    problem = PROBLEMS[code]
    return _line(
        {
            "type": _TYPE_PREFIX + code,
            "title": problem.title,
            "status": problem.status,
            "detail": detail,
            **members,
        }
    )


def timed_out_detail(outcome: TimedOut) -> str:
    """Return in a sentence how long an offer waited, for what, who was present, who gave up, and who never came."""
    offer = outcome.offer
    return (
        f"{offer.actor} waited {waited_s(offer, outcome.at_ns):g} s for {' or '.join(offer.events)}; "
        f"present: {listed(outcome.present) or 'nobody'}; {who_was_missing(outcome)}"
        f"{''.join([f'; {each.reason}' for each in outcome.reasons])}"
    )


def timed_out_problem(outcome: TimedOut) -> bytes:
    """Return the problem document of an offer that timed out: how long it waited and who was present."""
    members: dict[str, object] = {
        "waited_s": waited_s(outcome.offer, outcome.at_ns),
        "present": outcome.present,
        "missing": outcome.missing,
        "gave_up": departures_json(outcome.gave_up),
        "never_came": outcome.never_came,
        "reasons": reasons_json(outcome.reasons),
    }
    if outcome.missing_actors:
        members["missing_actors"] = outcome.missing_actors
    return encode_problem("timed-out", timed_out_detail(outcome), **members)


def aborted_detail(outcome: Aborted) -> str:
    """Return in a sentence by whom an offer was aborted, and why."""
    who = f" by {outcome.by}" if outcome.by else ""
    return f"the offer was aborted{who}: {outcome.reason}"


def aborted_problem(outcome: Aborted) -> bytes:
    """Return the problem document of an offer that was aborted: by whom, and why."""
    return encode_problem("aborted", aborted_detail(outcome), by=outcome.by, reason=outcome.reason)


def encode_trace(namespace: str, entries: Iterable[TracedSync]) -> bytes:
    """Return the answer of `/trace`: the syncs of a namespace by number; of payloads only the size, as in `/stats`."""
    return _line(
        {
            "namespace": namespace,
            "syncs": [
                {
                    "sync": entry.sync,
                    "event": entry.event,
                    "at": rfc3339(entry.at_ns),
                    "members": [
                        {"id": id, "actor": actor, "labels": labels, "payload_bytes": max(0, payload_bytes)}
                        for id, actor, labels, payload_bytes in entry.members
                    ],
                }
                for entry in entries
            ],
        }
    )


def encode_pending(offers: Sequence[Offer], pending: Iterable[Offer]) -> bytes:
    """Return the answer of `/stats`: `{event: {actor: {id: {"params": {…}, "created_at": …, "missing": …}}}}`.

    A choice appears once, under the first of its events; its `params` name all of them. `pending` are all offers of the
    namespace, which say who is missing.
    """
    actors: dict[str, set[str]] = {event: set() for offer in offers for event in offer.events}
    waiting = dict.fromkeys(actors, 0)
    for offer in pending:
        for event in offer.events:
            if event in actors:
                actors[event].add(offer.actor)
                waiting[event] += 1
    stats: dict[str, dict[str, dict[str, msgspec.Raw]]] = {}
    for offer in offers:
        entry = {"params": _params(offer), "created_at": rfc3339(offer.at_ns), **_missing(offer, actors, waiting)}
        by_actor = stats.setdefault(offer.events[0], {}).setdefault(offer.actor, {})
        by_actor[offer.id] = msgspec.Raw(msgspec.json.encode(entry))
    return _line(stats)


def _missing(offer: Offer, actors: dict[str, set[str]], waiting: dict[str, int]) -> dict[str, object]:
    """Return how many more members an offer needs at least, and with a roster who they are, by names alone.

    `actors` and `waiting` have the actors and the number of the pending offers of each event.
    """
    if offer.roster:
        absent = [
            actor
            for actor in offer.roster
            if actor != offer.actor and not any(actor in actors[event] for event in offer.events)
        ]
        return {"missing": max(1, len(absent)), "missing_actors": absent}
    others = max(waiting[event] for event in offer.events) - 1
    return {"missing": max(1, offer.mates - others)}


def _params(offer: Offer) -> dict[str, object]:
    """Return the parameters of an offer, with the defaults; of the payload only the size, because it may be secret."""
    params: dict[str, object] = {"event": offer.events, "actor": offer.actor}
    if offer.roster:
        params["expect"] = offer.roster
    else:
        params |= {"mates": offer.mates, "selector": str(offer.selector)}
    params |= {"labels": offer.labels, "payload_bytes": max(0, offer.payload_bytes)}
    if offer.timeout_ns is not None:
        params["timeout"] = f"{offer.timeout_ns / 1e9:g}s"
    if offer.linger_ns:
        params["linger"] = f"{offer.linger_ns / 1e9:g}s"
    return params


def _line(document: object) -> bytes:
    return _encode(document) + b"\n"


_Dumper: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
