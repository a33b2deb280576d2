"""The OpenAPI 3.1 document of the server: which paths there are, what they take, and what they answer.

Made from what the server runs by: the handler's routes, the table of parameters, the limits, and the table of problems.
What is said here and nowhere else is a summary of each operation and which problems it can come to. A route that is not
described here, and a problem that does not exist, end in a `KeyError` when the document is made, which a test does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.core.limits import Limits
from syncnet.errors import PROBLEMS
from syncnet.wire.answers import MEDIA_TYPES, PROBLEM_MEDIA_TYPE
from syncnet.wire.parameter_table import PARAMETERS, Schema
from syncnet.wire.parameters import (
    ABORT_PARAMETERS,
    OFFER_PARAMETERS,
    STATS_PARAMETERS,
    TRACE_PARAMETERS,
    WITHDRAWAL_PARAMETERS,
)

__all__ = ["openapi_document"]

_ANY: Final = ("bad-parameter", "bad-body", "too-large", "url-too-long", "internal")
_BODY: Final = ("slow-body", "length-required", "unknown-content-type")
_COMMAND: Final = ("journal", "draining")
_OFFER: Final = (*_ANY, *_COMMAND, "timed-out", "id-reused", "replaced", "withdrawn", "aborted", "quota", "full")
_FORM: Final = "application/x-www-form-urlencoded"


class _Success(NamedTuple):
    """What an operation answers when all went well; no schema where there is no body."""

    status: int
    description: str
    schema: Schema | None = None
    media_types: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ()


class _Operation(NamedTuple):
    """What the document says of one method of one path, beside what follows from the tables."""

    name: str
    summary: str
    success: _Success
    problems: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    exactly_one: tuple[str, ...] = ()


_ORIGIN: Final = ("cross-site", "unknown-host")
_TOKEN: Final = ("unauthorized", "forbidden")

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


_LABELS: Final = _map(_TEXT)
_MEMBER: Final = _object(id=_TEXT, actor=_TEXT, labels=_LABELS, payload={})
_SYNC: Final = _object(event=_TEXT, sync={"type": "integer", "minimum": 1}, payloads=_map({}), members=_list(_MEMBER))
_TRACED_MEMBER: Final = _object(id=_TEXT, actor=_TEXT, labels=_LABELS, payload_bytes=_COUNT)
_TRACED: Final = _object(
    sync=_COUNT, event=_TEXT, at={"type": "string", "format": "date-time"}, members=_list(_TRACED_MEMBER)
)
_PENDING: Final = _object(params={"type": "object"}, created_at={"type": "string", "format": "date-time"})

_HEADERS: Final[Mapping[str, tuple[str, Schema]]] = {
    "Syncnet-Id": ("The caller's own id among the members.", _TEXT),
    "Syncnet-Rank": ("The caller's place among the members, 0 for the first to arrive.", _COUNT),
    "Syncnet-Pending": ("Offers that are pending in the namespace.", _COUNT),
    "Syncnet-Syncs": ("Syncs that the namespace has seen.", _COUNT),
    "Syncnet-Misses": ("Searches that hit their bound.", _COUNT),
    "Retry-After": ("Seconds after which to ask again.", _COUNT),
    "WWW-Authenticate": ("How to bring a token.", _TEXT),
    "Allow": ("The methods that the path takes.", _TEXT),
}

_SYNCED: Final = _Success(
    200,
    "It happened: the same bytes for every member that asked for the same format.",
    _SYNC,
    tuple(MEDIA_TYPES.values()),
    ("Syncnet-Id", "Syncnet-Rank"),
)
_PENDING_OFFERS: Final = _Success(
    200,
    "The pending offers, as `{event: {actor: {id: …}}}`.",
    _map(_map(_map(_PENDING))),
    headers=("Syncnet-Pending", "Syncnet-Syncs", "Syncnet-Misses"),
)
_TRACE: Final = _Success(200, "The syncs by number.", _object(namespace=_TEXT, syncs=_list(_TRACED)))
_OK: Final = _Success(200, "Yes.", _TEXT, ("text/plain",))
_DOCUMENT: Final = _Success(200, "The document.", {"type": "object"})

_OPERATIONS: Final[Mapping[tuple[str, str], _Operation]] = {
    ("/event", "GET"): _Operation(
        "offer",
        "Make an offer, and wait until it has come to an end.",
        _SYNCED,
        _OFFER,
        query=OFFER_PARAMETERS,
        required=("event", "actor"),
    ),
    ("/event", "POST"): _Operation(
        "offerInBody",
        "Make an offer whose parameters come in a body; those that do not may stand in the query.",
        _SYNCED,
        (*_OFFER, *_BODY),
        body=OFFER_PARAMETERS,
        required=("event", "actor"),
    ),
    ("/event", "DELETE"): _Operation(
        "withdraw",
        "Withdraw the pending offer of an id.",
        _Success(204, "It is withdrawn."),
        (*_ANY, *_COMMAND, "unknown-id", "already-over"),
        query=WITHDRAWAL_PARAMETERS,
        required=("id",),
    ),
    ("/abort", "POST"): _Operation(
        "abort",
        "End every pending offer of an event, of an actor or of an id, all at once; exactly one of the three is given.",
        _Success(200, "How many offers it ended.", _object(aborted=_COUNT)),
        (*_ANY, *_COMMAND, *_BODY),
        body=ABORT_PARAMETERS,
        required=("reason",),
        exactly_one=("event", "actor", "id"),
    ),
    ("/stats", "GET"): _Operation("stats", "Who waits for whom.", _PENDING_OFFERS, _ANY, query=STATS_PARAMETERS),
    ("/trace", "GET"): _Operation("trace", "What has happened.", _TRACE, _ANY, query=TRACE_PARAMETERS),
    ("/healthz", "GET"): _Operation("healthz", "Does the server answer at all?", _OK),
    ("/readyz", "GET"): _Operation("readyz", "Does the server take offers?", _OK, ("draining",)),
    ("/openapi.json", "GET"): _Operation("openapi", "This document.", _DOCUMENT),
}


def openapi_document(routes: Mapping[str, tuple[str | None, Iterable[str]]], limits: Limits) -> bytes:
    """Return the document, as JSON, of a server that has these paths.

    Each comes with the role that it wants (None: open to all) and the methods that it takes; HEAD goes without saying.
    """
    paths = {
        path: {method.lower(): _operation(path, method, role, limits) for method in methods if method != "HEAD"}
        for path, (role, methods) in routes.items()
    }
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "syncnet",
            "summary": "The place where processes meet.",
            "description": "A request to `/event` blocks until all who are to take part are there. An error is a "
            f"`{PROBLEM_MEDIA_TYPE}` (RFC 9457). What is no HTTP is answered with an empty 400, 414 or 431.",
            "version": version("syncnet-server"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _problem_schema()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "headers": {name: {"description": says, "schema": schema} for name, (says, schema) in _HEADERS.items()},
        },
    }
    return msgspec.json.encode(document) + b"\n"


def _operation(path: str, method: str, role: str | None, limits: Limits) -> dict[str, Any]:
    described = _OPERATIONS[path, method]
    problems = (*described.problems, *_ORIGIN) if role is None else (*described.problems, *_ORIGIN, *_TOKEN)
    operation: dict[str, Any] = {
        "operationId": described.name,
        "summary": described.summary,
        "responses": _responses(described.success, problems),
    }
    if role is not None:
        operation["description"] = f"Where tokens are in use it takes one with the role `{role}`."
        operation["security"] = [{}, {"token": []}]
    if described.query:
        operation["parameters"] = [_query(name, name in described.required, limits) for name in described.query]
    if described.body:
        values = {name: PARAMETERS[name].schema(limits) for name in described.body}
        texts = {name: PARAMETERS[name].text_schema(limits) for name in described.body}
        for properties in (values, texts):
            for name, schema in properties.items():
                properties[name] = {"description": PARAMETERS[name].description, **schema}
        shapes = {"application/json": values, "application/yaml": values, _FORM: texts}
        operation["requestBody"] = {
            "required": True,
            "content": {
                media_type: {"schema": _shape(properties, described)} for media_type, properties in shapes.items()
            },
        }
    return operation


def _shape(properties: dict[str, Schema], described: _Operation) -> Schema:
    shape = {"type": "object", "properties": properties, "required": described.required, "additionalProperties": False}
    if described.exactly_one:
        shape["oneOf"] = [{"required": [name]} for name in described.exactly_one]
    return shape


def _query(name: str, required: bool, limits: Limits) -> dict[str, Any]:
    parameter = PARAMETERS[name]
    said: dict[str, Any] = {"name": name, "in": "query", "description": parameter.description, "required": required}
    if parameter.repeats:
        said |= {"style": "form", "explode": True}
    return {**said, "schema": parameter.text_schema(limits)}


def _responses(success: _Success, problems: Iterable[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": success.description}
    if success.schema is not None:
        answer["content"] = {media_type: {"schema": success.schema} for media_type in success.media_types}
    if success.headers:
        answer["headers"] = {name: _header(name) for name in success.headers}
    codes: dict[int, list[str]] = {}
    for code in problems:
        codes.setdefault(PROBLEMS[code].status, []).append(code)
    refusals = {str(status): _problem(status, codes[status]) for status in sorted(codes)}
    return {str(success.status): answer, **refusals}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    said = "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes)
    answer: dict[str, Any] = {
        "description": said,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": _header("Retry-After")}
    return answer


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _problem_schema() -> Schema:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"enum": [f"urn:syncnet:problem:{code}" for code in PROBLEMS]},
            "title": {"enum": sorted({problem.title for problem in PROBLEMS.values()})},
            "status": {"enum": sorted({problem.status for problem in PROBLEMS.values()})},
            "detail": _TEXT,
            "parameter": {"type": "string", "description": "The parameter that does not do."},
            "waited_s": {"type": "number", "minimum": 0},
            "present": _list(_TEXT),
            "missing": {"type": "integer", "minimum": 1},
            "missing_actors": _list(_TEXT),
            "by": _TEXT,
            "reason": _TEXT,
        },
    }
