"""The schemas and headers of the OpenAPI document: what the answers of the server look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncnet.wire.parameter_table import Schema

__all__ = ["COUNT", "HEADERS", "POSITION", "SCHEMAS", "TEXT", "TIME", "list_of", "map_of", "object_of", "ref"]

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
POSITION: Final[Schema] = {"type": "string", "pattern": r"^[0-9a-f]{8}\.[0-9]{1,19}$"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def ref(kind: str, name: str) -> dict[str, str]:
    """Return a reference to a component of the document."""
    return {"$ref": f"#/components/{kind}/{name}"}


def object_of(**properties: Schema) -> Schema:
    """Return the schema of an object that has exactly these properties, all of them required."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def list_of(items: Schema) -> Schema:
    """Return the schema of a list of such items."""
    return {"type": "array", "items": items}


def map_of(values: Schema) -> Schema:
    """Return the schema of an object with any names and such values."""
    return {"type": "object", "additionalProperties": values}


SCHEMAS: Final[Mapping[str, Schema]] = {
    "Labels": map_of(TEXT),
    "Member": object_of(id=TEXT, actor=TEXT, labels=ref("schemas", "Labels"), payload={}),
    "Sync": object_of(
        event=TEXT,
        sync={"type": "integer", "minimum": 1},
        payloads=map_of({}),
        members=list_of(ref("schemas", "Member")),
    ),
    "PendingOffer": {
        **object_of(params={"type": "object"}, created_at=TIME, missing=COUNT, missing_actors=list_of(TEXT)),
        "required": ["params", "created_at", "missing"],
    },
    "PendingOffers": map_of(map_of(map_of(ref("schemas", "PendingOffer")))),
    "TracedMember": object_of(id=TEXT, actor=TEXT, labels=ref("schemas", "Labels"), payload_bytes=COUNT),
    "TracedSync": object_of(sync=COUNT, event=TEXT, at=TIME, members=list_of(ref("schemas", "TracedMember"))),
    "Trace": object_of(namespace=TEXT, syncs=list_of(ref("schemas", "TracedSync"))),
    "AbortResult": object_of(aborted=COUNT),
    "NearEvent": object_of(event=TEXT, waiting=COUNT),
    "OtherNamespace": object_of(namespace=TEXT, event=TEXT, waiting=COUNT),
    "OtherOffer": object_of(id=TEXT, actor=TEXT, event=TEXT, fits={"type": "boolean"}, reason=TEXT),
    "Explanation": object_of(
        id=TEXT,
        actor=TEXT,
        events=list_of(TEXT),
        created_at=TIME,
        waited_s={"type": "number", "minimum": 0},
        summary=TEXT,
        mates=COUNT,
        present=list_of(TEXT),
        missing=COUNT,
        missing_actors=list_of(TEXT),
        gave_up=list_of(ref("schemas", "Departure")),
        never_came=list_of(TEXT),
        reasons=list_of(ref("schemas", "Reason")),
        others=list_of(ref("schemas", "OtherOffer")),
        others_left_out=COUNT,
        near_events=list_of(ref("schemas", "NearEvent")),
        is_whole={"type": "boolean"},
        other_namespaces=list_of(ref("schemas", "OtherNamespace")),
    ),
    "Circle": object_of(
        is_certain={"type": "boolean"},
        summary=TEXT,
        waits=list_of(object_of(actor=TEXT, other=TEXT, events=list_of(TEXT))),
    ),
    "Explanations": {
        **object_of(
            namespace=TEXT,
            offers=list_of(ref("schemas", "Explanation")),
            circles=list_of(ref("schemas", "Circle")),
            near_events=list_of(ref("schemas", "NearEvent")),
            other_namespaces=list_of(ref("schemas", "OtherNamespace")),
        ),
        "required": ["namespace", "offers", "circles"],
    },
    "Namespaces": object_of(namespaces=list_of(object_of(namespace=TEXT, pending=COUNT, syncs=COUNT))),
    "Reason": object_of(actor=TEXT, event=TEXT, reason=TEXT),
    "Departure": object_of(actor=TEXT, how=TEXT, at=TIME),
}

HEADERS: Final[Mapping[str, tuple[str, Schema]]] = {
    "Syncnet-Id": ("The id of the caller's own offer.", TEXT),
    "Syncnet-Rank": ("The caller's position among the members, 0 for the first to arrive.", COUNT),
    "Syncnet-Pending": ("The number of pending offers in the namespace.", COUNT),
    "Syncnet-Syncs": ("The number of syncs of the namespace so far.", COUNT),
    "Syncnet-Misses": ("The number of searches that reached their limit of steps.", COUNT),
    "Syncnet-Node": ("The node that answers; absent where the server is not one of a cluster.", TEXT),
    "Link": ('The next page, as rel="next" (RFC 8288); absent on the last.', TEXT),
    "RateLimit": ("What is left of the client's share of work, and when there will be more.", TEXT),
    "RateLimit-Policy": ("How much work a client may cause, in which time.", TEXT),
    "Retry-After": ("Seconds to wait before a retry.", COUNT),
    "WWW-Authenticate": ("How to send a token.", TEXT),
    "Allow": ("The methods of the path.", TEXT),
}
