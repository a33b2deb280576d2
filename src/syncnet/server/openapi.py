"""The OpenAPI 3.1 document of the server: its paths, their parameters and their responses.

The document is made from the tables that the server itself uses: the handler's routes, the table of parameters, the
limits, and the table of problems. This module adds only a summary of each operation, the problems that it can return,
and the names of the components. A route without a description here, or an unknown problem, raises `KeyError` when the
document is made; a test makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.core.limits import Limits
from syncnet.errors import PROBLEMS
from syncnet.server.channel import FRAMINGS
from syncnet.server.openapi_schemas import (
    HEADERS,
    POSITION,
    SCHEMAS,
    TEXT,
    list_of,
    ref,
)
from syncnet.server.page import PAGE_PATHS
from syncnet.wire.answers import MEDIA_TYPES, PROBLEM_MEDIA_TYPE
from syncnet.wire.parameter_table import EXPLAIN_OUTPUT, PARAMETERS, TRACE_OUTPUTS, Schema
from syncnet.wire.parameters import (
    ABORT_PARAMETERS,
    EXPLAIN_PARAMETERS,
    NAMESPACES_PARAMETERS,
    OFFER_PARAMETERS,
    PAGE_PARAMETERS,
    WITHDRAWAL_PARAMETERS,
)

__all__ = ["openapi_document"]

_ANY: Final = ("bad-parameter", "bad-body", "too-large", "url-too-long", "internal", "rate-limited", "busy")
_BODY: Final = ("slow-body", "length-required", "unknown-content-type")
_READ: Final = (*_ANY, "cluster")
_COMMAND: Final = ("cluster", "journal", "draining")
_OFFER: Final = (*_ANY, *_COMMAND, "timed-out", "id-reused", "replaced", "withdrawn", "aborted", "quota", "full")
_EXPLAIN_OUTPUT: Final = "explainOutput"  # among the components, where `output` is that of an offer
_FORM: Final = "application/x-www-form-urlencoded"


class _Success(NamedTuple):
    """The response of a successful operation: its name among the components, and its content.

    `schema` is the name of a schema among the components, or a schema; None if the response has no body. `streams` are
    the media types in which it never ends.
    """

    name: str
    status: int
    description: str
    schema: str | Schema | None = None
    media_types: tuple[str, ...] = ("application/json",)
    streams: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()


class _Operation(NamedTuple):
    """One method of one path: what the document says about it in addition to what the tables say.

    `own` are the parameters that `_OWN_PARAMETERS` describes: they differ from those of the table, or are headers.
    `body_schema` is the name of the schema of a body in JSON or YAML; that of a form is the same with `Form` after it.
    """

    name: str
    summary: str
    success: _Success
    problems: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    body_schema: str = ""
    required: tuple[str, ...] = ()
    exactly_one: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


_ORIGIN: Final = ("bad-host", "cross-site", "unknown-host")
_TOKEN: Final = ("unauthorized", "forbidden")

_OWN_PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "traceAfter": {
        "name": "after",
        "in": "query",
        "description": "A page: only syncs with numbers above this one. A stream: resume after this position.",
        "schema": {"anyOf": [{"type": "integer", "minimum": 0, "default": 0}, POSITION]},
    },
    "traceOutput": {
        "name": "output",
        "in": "query",
        "description": "`json` is a page; `sse` (server-sent events) and `jsonl` (a JSON object in each line) are a "
        "stream of what happens, which does not end. The default depends on `Accept`.",
        "schema": {"enum": list(TRACE_OUTPUTS)},
    },
    "traceNamespace": {
        "name": "namespace",
        "in": "query",
        "description": "A separate set of events, with its own trace. A stream may be of all: `*`.",
        "schema": {"type": "string", "default": "default"},
    },
    "lastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "A stream: resume after this position. Newer than `after`.",
        "schema": POSITION,
    },
}
"""Parameters of `/trace`, by the name of their component."""

_PROBLEM_RESPONSES: Final[Mapping[tuple[str, ...], str]] = {
    ("bad-parameter", "bad-host"): "BadRequest",
    ("bad-parameter", "bad-body", "bad-host"): "BadRequestOrBody",
    ("cross-site", "unknown-host"): "OriginForbidden",
    ("cross-site", "unknown-host", "forbidden"): "Forbidden",
    ("id-reused", "replaced"): "IdConflict",
    ("timed-out", "withdrawn", "aborted"): "OfferEnded",
    ("rate-limited", "quota"): "TooMuch",
    ("busy", "cluster"): "UnavailableForReading",
    ("busy", "cluster", "draining"): "UnavailableForStreams",
    ("busy", "cluster", "journal", "draining"): "Unavailable",
    ("busy", "cluster", "journal", "draining", "full"): "UnavailableOrFull",
}
"""The names of responses for several codes; the name for a single code is made from the code."""

_OUTCOMES: Final = frozenset(("id-reused", "replaced", "timed-out", "withdrawn", "aborted"))
"""The problems with `Syncnet-Id`: the outcomes of an offer that are not a sync."""

_SYNCED: Final = _Success(
    "Synced",
    200,
    "The sync happened. Every member that asked for the same format gets the same bytes.",
    "Sync",
    tuple(MEDIA_TYPES.values()),
    ("Syncnet-Id", "Syncnet-Rank"),
)
_PENDING_OFFERS: Final = _Success(
    "PendingOffers",
    200,
    "The pending offers, as `{event: {actor: {id: …}}}`.",
    "PendingOffers",
    headers=("Syncnet-Pending", "Syncnet-Syncs", "Syncnet-Misses", "Link", "Syncnet-Node"),
)
_WITHDRAWN: Final = _Success("OfferWithdrawn", 204, "The offer was withdrawn.")
_ABORTED: Final = _Success(
    "OffersAborted", 200, "The number of offers that were aborted.", "AbortResult", headers=("Syncnet-Node",)
)
_TRACE: Final = _Success(
    "Trace",
    200,
    "The syncs by number; or, live, what happens.",
    "Trace",
    streams=tuple(framing.media_type for framing in FRAMINGS.values()),
    headers=("Link", "Syncnet-Node"),
)
_EXPLAINED: Final = _Success(
    "Explanations",
    200,
    "Why the offers are pending, by arrival. As text, a sentence for each and its reasons.",
    "Explanations",
    ("application/json", "text/plain"),
    headers=("Link", "Syncnet-Node"),
)
_NAMESPACES: Final = _Success("Namespaces", 200, "The namespaces.", "Namespaces", headers=("Link", "Syncnet-Node"))
_OK: Final = _Success("Ok", 200, "Yes.", TEXT, ("text/plain",))
_METRICS: Final = _Success(
    "Metrics",
    200,
    "The metrics, in Prometheus' text format or in OpenMetrics.",
    TEXT,
    ("text/plain", "application/openmetrics-text"),
    headers=("Syncnet-Node",),
)
_DOCUMENT: Final = _Success("OpenAPIDocument", 200, "The OpenAPI document.", {"type": "object"})

_OPERATIONS: Final[Mapping[tuple[str, str], _Operation]] = {
    ("/event", "GET"): _Operation(
        "offer",
        "Make an offer and wait for its outcome.",
        _SYNCED,
        _OFFER,
        query=OFFER_PARAMETERS,
        required=("event", "actor"),
    ),
    ("/event", "POST"): _Operation(
        "offerInBody",
        "Make an offer with parameters in a body; parameters that are not in the body may be in the query.",
        _SYNCED,
        (*_OFFER, *_BODY),
        body=OFFER_PARAMETERS,
        body_schema="Offer",
        required=("event", "actor"),
    ),
    ("/event", "DELETE"): _Operation(
        "withdraw",
        "Withdraw the pending offer with an id.",
        _WITHDRAWN,
        (*_ANY, *_COMMAND, "unknown-id", "already-over"),
        query=WITHDRAWAL_PARAMETERS,
        required=("id",),
    ),
    ("/abort", "POST"): _Operation(
        "abort",
        "End every pending offer of an event, of an actor or of an id, all at once; give exactly one of the three.",
        _ABORTED,
        (*_ANY, *_COMMAND, *_BODY),
        body=ABORT_PARAMETERS,
        body_schema="Abort",
        required=("reason",),
        exactly_one=("event", "actor", "id"),
    ),
    ("/stats", "GET"): _Operation("stats", "List the pending offers.", _PENDING_OFFERS, _READ, query=PAGE_PARAMETERS),
    ("/trace", "GET"): _Operation(
        "trace",
        "List the syncs so far, or stream what happens.",
        _TRACE,
        (*_READ, "draining"),
        query=("limit",),
        own=tuple(_OWN_PARAMETERS),
    ),
    ("/metrics", "GET"): _Operation(
        "metrics", "The server in numbers, for Prometheus.", _METRICS, ("internal", "rate-limited", "busy")
    ),
    ("/livez", "GET"): _Operation("livez", "Does the server respond?", _OK),
    ("/healthz", "GET"): _Operation("healthz", "The same as /livez.", _OK),
    ("/readyz", "GET"): _Operation(
        "readyz",
        "Does the server accept offers? With `?verbose` one line of text for each condition, with either status.",
        _OK,
        ("busy", "cluster", "journal", "draining"),
    ),
    ("/explain", "GET"): _Operation(
        "explain",
        "Say why offers are pending: all, or those of an actor, of an event, or of an id.",
        _EXPLAINED,
        (*_READ, "unknown-id"),
        query=(*[name for name in EXPLAIN_PARAMETERS if name != "output"], _EXPLAIN_OUTPUT),
    ),
    ("/namespaces", "GET"): _Operation(
        "namespaces", "List the namespaces that the caller may see.", _NAMESPACES, _ANY, query=NAMESPACES_PARAMETERS
    ),
    ("/openapi.json", "GET"): _Operation("openapi", "This document.", _DOCUMENT),
}


_SOMETIMES_OPTIONAL: Final = {
    name for operation in _OPERATIONS.values() for name in operation.query if name not in operation.required
}


class _Components:
    """The components of one document, by kind and name. Each `add_*` method adds one and returns a reference to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.schemas: dict[str, Schema] = {**SCHEMAS, "Problem": _problem_schema()}
        self.parameters: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, dict[str, Any]] = {}

    def add_query_parameter(self, name: str, required: bool) -> dict[str, str]:
        parameter = EXPLAIN_OUTPUT if name == _EXPLAIN_OUTPUT else PARAMETERS[name]
        described: dict[str, Any] = {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "required": required,
        }
        if parameter.repeats:
            described |= {"style": "form", "explode": True}
        component = f"required{name.title()}" if required and name in _SOMETIMES_OPTIONAL else name
        self.parameters[component] = {**described, "schema": parameter.text_schema(self._limits)}
        return ref("parameters", component)

    def add_own_parameter(self, component: str) -> dict[str, str]:
        self.parameters[component] = {"required": False, **_OWN_PARAMETERS[component]}
        return ref("parameters", component)

    def add_body_schemas(self, operation: _Operation) -> dict[str, dict[str, str]]:
        """Add the schemas of a body; return the reference for each media type."""
        values = {name: PARAMETERS[name].schema(self._limits) for name in operation.body}
        texts = {name: PARAMETERS[name].text_schema(self._limits) for name in operation.body}
        form = f"{operation.body_schema}Form"
        for component, properties in ((operation.body_schema, values), (form, texts)):
            for name, schema in properties.items():
                properties[name] = {"description": PARAMETERS[name].description, **schema}
            self.schemas[component] = _body_schema(properties, operation)
        value_ref = ref("schemas", operation.body_schema)
        return {"application/json": value_ref, "application/yaml": value_ref, _FORM: ref("schemas", form)}

    def add_success(self, success: _Success) -> dict[str, str]:
        response: dict[str, Any] = {"description": success.description}
        if success.schema is not None:
            schema = ref("schemas", success.schema) if isinstance(success.schema, str) else success.schema
            response["content"] = {media_type: {"schema": schema} for media_type in success.media_types}
            response["content"] |= {media_type: {"schema": TEXT} for media_type in success.streams}
        if success.headers:
            response["headers"] = {name: ref("headers", name) for name in success.headers}
        self.responses[success.name] = response
        return ref("responses", success.name)

    def add_problem(self, status: int, codes: tuple[str, ...]) -> dict[str, str]:
        response: dict[str, Any] = {
            "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": ref("schemas", "Problem")}},
        }
        if status in (429, 503):
            response["headers"] = {"Retry-After": ref("headers", "Retry-After")}
        elif status == 401:
            response["headers"] = {"WWW-Authenticate": ref("headers", "WWW-Authenticate")}
        elif _OUTCOMES.issuperset(codes):
            response["headers"] = {"Syncnet-Id": ref("headers", "Syncnet-Id")}
        name = _PROBLEM_RESPONSES[codes] if len(codes) > 1 else codes[0].title().replace("-", "")
        self.responses[name] = response
        return ref("responses", name)

    def as_object(self) -> dict[str, Any]:
        return {
            "schemas": self.schemas,
            "parameters": self.parameters,
            "responses": self.responses,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        }


def openapi_document(
    routes: Mapping[str, tuple[str | None, Iterable[str]]], limits: Limits, mount_path: str = "/"
) -> bytes:
    """Return the document, as JSON, of a server with these paths.

    `routes` has, for each path, the role that it requires (None: no token is required) and its methods; HEAD is left
    out, and so are the files of the live page. `mount_path` is the path below which an application has mounted the
    server, as in ASGI's `root_path`.

    :raises KeyError: a route is not described here.
    """
    components = _Components(limits)
    paths = {
        path: {method.lower(): _operation(path, method, role, components) for method in methods if method != "HEAD"}
        for path, (role, methods) in routes.items()
        if path not in PAGE_PATHS
    }
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "syncnet",
            "summary": "A server that synchronizes processes.",
            "description": "A request to `/event` blocks until all members of the sync are present. An error is a "
            f"`{PROBLEM_MEDIA_TYPE}` (RFC 9457). Input that is not HTTP gets an empty 400, 414 or 431.",
            "version": version("syncnet-server"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": mount_path or "/"}],
        "paths": paths,
        "components": components.as_object(),
    }
    return msgspec.json.encode(document) + b"\n"


def _operation(path: str, method: str, role: str | None, components: _Components) -> dict[str, Any]:
    described = _OPERATIONS[path, method]
    problems = (*described.problems, *_ORIGIN) if role is None else (*described.problems, *_ORIGIN, *_TOKEN)
    operation: dict[str, Any] = {
        "operationId": described.name,
        "summary": described.summary,
        "responses": _responses(described.success, problems, components),
        "security": [],  # no token is required
    }
    if role is not None:
        operation["description"] = f"If the server uses tokens, a token with the role `{role}` is required."
        operation["security"] = [{}, {"token": []}]
    if described.query:
        operation["parameters"] = [
            components.add_query_parameter(name, name in described.required) for name in described.query
        ]
        operation["parameters"] += [components.add_own_parameter(component) for component in described.own]
    if described.body:
        schemas = components.add_body_schemas(described)
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": reference} for media_type, reference in schemas.items()},
        }
    return operation


def _body_schema(properties: dict[str, Schema], described: _Operation) -> Schema:
    schema = {"type": "object", "properties": properties, "required": described.required, "additionalProperties": False}
    if described.exactly_one:
        schema["oneOf"] = [{"required": [name]} for name in described.exactly_one]
    return schema


def _responses(success: _Success, problems: Iterable[str], components: _Components) -> dict[str, Any]:
    codes: dict[int, tuple[str, ...]] = {}
    for code in problems:
        status = PROBLEMS[code].status
        codes[status] = (*codes.get(status, ()), code)
    errors = {str(status): components.add_problem(status, codes[status]) for status in sorted(codes)}
    return {str(success.status): components.add_success(success), **errors}


def _problem_schema() -> Schema:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"enum": [f"urn:syncnet:problem:{code}" for code in PROBLEMS]},
            "title": {"enum": sorted({problem.title for problem in PROBLEMS.values()})},
            "status": {"enum": sorted({problem.status for problem in PROBLEMS.values()})},
            "detail": TEXT,
            "parameter": {"type": "string", "description": "The name of the invalid parameter."},
            "waited_s": {"type": "number", "minimum": 0},
            "present": list_of(TEXT),
            "missing": {"type": "integer", "minimum": 1},
            "missing_actors": list_of(TEXT),
            "gave_up": list_of(ref("schemas", "Departure")),
            "never_came": list_of(TEXT),
            "reasons": list_of(ref("schemas", "Reason")),
            "by": TEXT,
            "reason": TEXT,
        },
    }
