"""Outcomes in, bodies of answers out.

The answer to a sync is encoded once per format and is the same bytes for every member (law 6 of the house). All
else is a problem document (RFC 9457), whose code, status and title come from the table in `errors.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import yaml

from syncnet.core.commands import Offer
from syncnet.core.effects import Aborted, Synced, TimedOut
from syncnet.core.times import rfc3339
from syncnet.errors import PROBLEMS
from syncnet.wire.payloads import json_of

__all__ = [
    "MEDIA_TYPES",
    "PROBLEM_MEDIA_TYPE",
    "aborted_detail",
    "aborted_problem",
    "as_yaml",
    "encode_pair",
    "encode_pending",
    "encode_problem",
    "encode_sync",
    "encode_trace",
    "timed_out_detail",
    "timed_out_problem",
    "waited_s",
]

MEDIA_TYPES: Final = {"json": "application/json", "yaml": "application/yaml"}
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:syncnet:problem:"


class _Member(msgspec.Struct):
    id: str
    actor: str
    labels: dict[str, str]
    payload: msgspec.Raw


class _Sync(msgspec.Struct):
    event: str
    sync: int
    payloads: dict[str, msgspec.Raw]
    members: list[_Member]


def encode_sync(synced: Synced) -> bytes:
    """Return the answer that every member of a sync gets, as JSON with a line end."""
    payloads = [msgspec.Raw(json_of(offer.payload)) for offer in synced.members]
    return _line(
        _Sync(
            event=synced.event,
            sync=synced.sync,
            payloads={offer.actor: payload for offer, payload in zip(synced.members, payloads, strict=True)},
            members=[
                _Member(offer.id, offer.actor, dict(offer.labels), payload)
                for offer, payload in zip(synced.members, payloads, strict=True)
            ],
        )
    )


def encode_pair(event: str, number: int, id: str, actor: str, second_id: str, second_actor: str) -> bytes:
    """Return what `encode_sync` returns of two plain offers without payloads, given the id and the actor of each.

    Ids of ours and names of actors stand in JSON as they are.
    """
    quoted = msgspec.json.encode(event).decode()
    return (
        f'{{"event":{quoted},"sync":{number},"payloads":{{"{actor}":"","{second_actor}":""}},"members":['
        f'{{"id":"{id}","actor":"{actor}","labels":{{"actor":"{actor}"}},"payload":""}},'
        f'{{"id":"{second_id}","actor":"{second_actor}","labels":{{"actor":"{second_actor}"}},"payload":""}}]}}\n'
    ).encode()


def as_yaml(json_body: bytes) -> bytes:
    """Return a body of JSON as YAML."""
    text: str = yaml.dump(json.loads(json_body), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text.encode()


def encode_problem(code: str, detail: str, **members: object) -> bytes:
    """Return a problem document of the kind `code`; `members` are added to it as they are."""
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


def waited_s(outcome: TimedOut) -> float:
    """Return how many seconds an offer waited, to the millisecond."""
    return round(max(0, outcome.at_ns - outcome.offer.at_ns) / 1e9, 3)


def timed_out_detail(outcome: TimedOut) -> str:
    """Return in a sentence how long an offer waited, for what, who was there, and who or how many were not."""
    offer = outcome.offer
    missing = ", ".join(outcome.missing_actors) or str(outcome.missing)
    return (
        f"{offer.actor} waited {waited_s(outcome):g} s for {' or '.join(offer.events)}; "
        f"present: {', '.join(outcome.present) or 'nobody'}; missing: {missing}"
    )


def timed_out_problem(outcome: TimedOut) -> bytes:
    """Return the problem document of an offer that timed out: how long it waited, for what, and who was there."""
    members: dict[str, object] = {
        "waited_s": waited_s(outcome),
        "present": outcome.present,
        "missing": outcome.missing,
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


def encode_trace(namespace: str, syncs: Iterable[Synced]) -> bytes:
    """Return the answer of `/trace`: the syncs of a namespace by number; of payloads only the size, as in `/stats`."""
    return _line(
        {
            "namespace": namespace,
            "syncs": [
                {
                    "sync": synced.sync,
                    "event": synced.event,
                    "at": rfc3339(synced.at_ns),
                    "members": [
                        {
                            "id": offer.id,
                            "actor": offer.actor,
                            "labels": offer.labels,
                            "payload_bytes": len(offer.payload),
                        }
                        for offer in synced.members
                    ],
                }
                for synced in syncs
            ],
        }
    )


def encode_pending(offers: Iterable[Offer]) -> bytes:
    """Return the answer of `/stats`: `{event: {actor: {id: {"params": {…}, "created_at": …}}}}`, choices repeated."""
    stats: dict[str, dict[str, dict[str, msgspec.Raw]]] = {}
    for offer in offers:
        entry = msgspec.Raw(msgspec.json.encode({"params": _params(offer), "created_at": rfc3339(offer.at_ns)}))
        for event in offer.events:
            stats.setdefault(event, {}).setdefault(offer.actor, {})[offer.id] = entry
    return _line(stats)


def _params(offer: Offer) -> dict[str, object]:
    """Return the parameters in force, defaults filled in; of the payload only the size, because it may be secret."""
    params: dict[str, object] = {"event": offer.events, "actor": offer.actor}
    if offer.roster:
        params["expect"] = offer.roster
    else:
        params |= {"mates": offer.mates, "selector": str(offer.selector)}
    params |= {"labels": offer.labels, "payload_bytes": len(offer.payload)}
    if offer.timeout_ns is not None:
        params["timeout"] = f"{offer.timeout_ns / 1e9:g}s"
    if offer.linger_ns:
        params["linger"] = f"{offer.linger_ns / 1e9:g}s"
    return params


def _line(document: object) -> bytes:
    return msgspec.json.encode(document) + b"\n"


_Dumper: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
