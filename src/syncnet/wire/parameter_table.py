"""The table of parameters: the name of each, how its text is parsed, how its value is checked, and its description.

`parameters.py` parses requests with this table, and the OpenAPI document of the server is made from it, so the two
cannot differ. A parameter comes as text (from a query or a form) or as a value (from JSON or YAML). The result has the
right type; whether the parameters are valid together (a roster and mates, for example) is checked by `core.commands`.

A schema (JSON Schema 2020-12) describes the accepted values as closely as possible. A value that matches the schema and
is still invalid gets 400 or 413.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from syncnet.core.labels import readable, shown
from syncnet.core.limits import ID_CHARACTERS_MAX, LABEL_NAME_CHARACTERS_MAX, REASON_CHARACTERS_MAX, Limits
from syncnet.errors import ParameterError
from syncnet.wire.durations import parse_duration_s

__all__ = [
    "EXPLAIN_OUTPUT",
    "EXPLAIN_OUTPUTS",
    "OUTPUTS",
    "PAGE_LIMIT",
    "PARAMETERS",
    "TRACE_OUTPUTS",
    "Parameter",
    "Schema",
]

Schema: TypeAlias = dict[str, Any]

OUTPUTS: Final = ("json", "yaml")
TRACE_OUTPUTS: Final = ("json", "sse", "jsonl")
"""Of `/trace`: a page, or live as server-sent events or as lines of JSON."""

EXPLAIN_OUTPUTS: Final = ("json", "text")
PAGE_LIMIT: Final = 1_000
"""The maximum number of items in one response of `/stats` or `/trace`."""

_DIGITS: Final = re.compile(r"[0-9]{1,20}")


class Parameter(NamedTuple):
    """One row of the table.

    `read` parses a text and `check` checks a value; both get the name, the input and the limits, and raise
    `ParameterError`. A parameter without `check` is not allowed in a JSON or YAML body. `text_schema` describes the
    texts, `schema` the values. If `repeats` is true, the text may be given several times, and `read` gets all of them.
    """

    name: str
    description: str
    read: Callable[[str, Any, Limits], Any]
    text_schema: Callable[[Limits], Schema]
    check: Callable[[str, Any, Limits], Any] | None = None
    schema: Callable[[Limits], Schema] = lambda _: {}
    repeats: bool = False


# --- parsing of texts --------------------------------------------------------------------------------------


def _as_is(_: str, text: Any, __: Limits) -> Any:
    return text


def _mates_from_text(name: str, text: str, limits: Limits) -> int:
    if not _DIGITS.fullmatch(text):
        raise ParameterError(name, f"expected {_mates_wanted(limits)}, got {shown(text)}")
    return int(text)


def _number_from_text(name: str, text: str, _: Limits) -> int:
    if not _DIGITS.fullmatch(text):
        raise ParameterError(name, f"expected a whole number, 0 or more, got {shown(text)}")
    return int(text)


def _duration_from_text(name: str, text: str, _: Limits) -> float:
    return parse_duration_s(name, text)


def _names_from_text(_: str, text: str, __: Limits) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _payload_from_text(_: str, text: str, __: Limits) -> bytes:
    return msgspec.json.encode(text)


def _labels_from_text(name: str, text: str, limits: Limits) -> dict[str, str]:
    labels: dict[str, str] = {}
    pairs = text.split(",") if text.strip() else []
    if len(pairs) > limits.labels_per_offer_max:
        message = f"expected at most {limits.labels_per_offer_max} labels, got {len(pairs)}"
        raise ParameterError(name, message, "too-large")
    for position, pair in enumerate(pairs, 1):
        key, equals, value = (part.strip() for part in pair.partition("="))
        where = f"(label {position} of {len(pairs)})"
        if not equals:
            raise ParameterError(name, f"expected key=value, got {shown(pair)} {where}")
        if key in labels:
            raise ParameterError(name, f"expected keys that differ, got {shown(key)} twice {where}")
        labels[key] = value
    return labels


# --- checks of values --------------------------------------------------------------------------------------


def _wrong_kind(name: str, expected: str, value: object) -> ParameterError:
    got = msgspec.json.encode(value).decode() if not isinstance(value, int) or abs(value) < 2**63 else "a huge number"
    return ParameterError(name, f"expected {expected}, got {readable(got)}")


def _text(name: str, value: object, _: Limits) -> str:
    if not isinstance(value, str):
        raise _wrong_kind(name, "a text", value)
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_kind(name, "a text or a list of texts", value)
    return value


def _events(name: str, value: object, _: Limits) -> list[str]:
    return [value] if isinstance(value, str) else _texts(name, value)


def _names(name: str, value: object, limits: Limits) -> list[str]:
    return _names_from_text(name, value, limits) if isinstance(value, str) else _texts(name, value)


def _mates(name: str, value: object, limits: Limits) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_kind(name, _mates_wanted(limits), value)
    return value


def _mates_wanted(limits: Limits) -> str:
    return f"a whole number from 0 to {limits.mates_max}"


def _labels(name: str, value: object, _: Limits) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong_kind(name, "a map of texts", value)
    return value


def _duration(name: str, value: object, _: Limits) -> float:
    if isinstance(value, str):
        return parse_duration_s(name, value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_kind(name, "a duration such as 250ms, 5s, 2m or a number of seconds", value)
    return value


# --- schemas -----------------------------------------------------------------------------------------------

_WORD: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY: Final = rf"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_WORD}"
_NAME: Final[Schema] = {"type": "string", "pattern": f"^{_WORD}$", "maxLength": LABEL_NAME_CHARACTERS_MAX}
_NAME_LIST_TEXT: Final[Schema] = {"type": "string", "pattern": f"^{_WORD}(,{_WORD})*$", "examples": ["ANNA,BEN"]}
_LABELS_TEXT: Final[Schema] = {
    "type": "string",
    "pattern": f"^({_KEY}=({_WORD})?(,{_KEY}=({_WORD})?)*)?$",
    "examples": ["tier=gold,zone=eu"],
}
_ID: Final[Schema] = {"type": "string", "pattern": "^[!-~]+$", "maxLength": ID_CHARACTERS_MAX}
_DURATION_TEXT: Final[Schema] = {
    "type": "string",
    "pattern": r"^([0-9]{1,12}(\.[0-9]{1,9})?|([0-9]{1,12}(\.[0-9]{1,9})?(ms|s|m|h))+)$",
    "examples": ["250ms", "5s", "1h30m", "2.5"],
}


def _always(schema: Schema) -> Callable[[Limits], Schema]:
    return lambda _: schema


def _event_name(limits: Limits) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": limits.event_characters_max}


def _event_list(limits: Limits) -> Schema:
    return {
        "type": "array",
        "items": _event_name(limits),
        "minItems": 1,
        "maxItems": limits.events_per_offer_max,
        "uniqueItems": True,
    }


def _event_or_list(limits: Limits) -> Schema:
    return {"oneOf": [_event_name(limits), _event_list(limits)]}


def _mates_schema(limits: Limits) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": limits.mates_max, "default": 1}


def _actors(limits: Limits) -> Schema:
    listed = {"type": "array", "items": _NAME, "minItems": 1, "maxItems": limits.mates_max, "uniqueItems": True}
    return {"oneOf": [_NAME_LIST_TEXT, listed]}


def _label_map(limits: Limits) -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{_KEY}$"},
        "additionalProperties": {**_NAME, "pattern": f"^({_WORD})?$"},
        "maxProperties": limits.labels_per_offer_max,
    }


def _selector(limits: Limits) -> Schema:
    return {"type": "string", "maxLength": limits.selector_characters_max, "examples": ["tier in (gold,silver)"]}


def _seconds(seconds_max: int) -> Schema:
    return {"oneOf": [_DURATION_TEXT, {"type": "number", "minimum": 0, "maximum": seconds_max}]}


def _alike(name: str, description: str, schema: Callable[[Limits], Schema]) -> Parameter:
    """Return a row whose text in a query and value in a body are the same."""
    return Parameter(name, description, _as_is, schema, _text, schema)


# --- the table ---------------------------------------------------------------------------------------------

_ROWS: Final = (
    Parameter(
        "event",
        "The event: only offers of the same event can sync. Given several times, a choice: the offer syncs on one of "
        "them.",
        _as_is,
        _event_list,
        _events,
        _event_or_list,
        repeats=True,
    ),
    _alike("actor", "The name of the process that makes the offer.", _always(_NAME)),
    Parameter(
        "mates",
        "How many other offers must be present.",
        _mates_from_text,
        _mates_schema,
        _mates,
        _mates_schema,
    ),
    Parameter(
        "expect",
        "A roster: the sync has exactly these actors. It replaces `mates` and `selector`; the offer's own actor may be "
        "left out.",
        _names_from_text,
        _always(_NAME_LIST_TEXT),
        _names,
        _actors,
    ),
    Parameter(
        "labels",
        "Kubernetes labels of the offer, added to `actor=<actor>`.",
        _labels_from_text,
        _always(_LABELS_TEXT),
        _labels,
        _label_map,
    ),
    _alike(
        "selector",
        "A Kubernetes label selector for the labels of the mates; the default is `actor!=<actor>`.",
        _selector,
    ),
    Parameter(
        "payload",
        "Data for every member of the sync: any JSON value in a JSON or YAML body, a text otherwise.",
        _payload_from_text,
        _always({"type": "string"}),
        _as_is,
    ),
    Parameter(
        "timeout",
        "End the offer after this time if it has not synced; with 0 it syncs on arrival or ends.",
        _duration_from_text,
        _always(_DURATION_TEXT),
        _duration,
        lambda limits: _seconds(limits.timeout_s_max),
    ),
    _alike("id", "The client's own id for the offer: a request with the same id can be repeated safely.", _always(_ID)),
    Parameter(
        "linger",
        "How long the offer stays pending after its connection is lost; the default is 10s with an `id`, 0s without.",
        _duration_from_text,
        _always(_DURATION_TEXT),
        _duration,
        lambda limits: _seconds(limits.linger_s_max),
    ),
    _alike(
        "namespace",
        "A separate set of events, with its own trace.",
        _always({**_NAME, "default": "default"}),
    ),
    _alike("output", "The format of the response; the default depends on `Accept`.", _always({"enum": list(OUTPUTS)})),
    _alike(
        "reason",
        "The reason, for people: one line of printable text.",
        _always({"type": "string", "minLength": 1, "maxLength": REASON_CHARACTERS_MAX}),
    ),
    _alike("by", "Who aborts, for people; with a token it is the name of the token.", _always(_NAME)),
    Parameter(
        "after",
        "Only what comes after this number: the `next` link of the page before has it.",
        _number_from_text,
        _always({"type": "integer", "minimum": 0, "default": 0}),
    ),
    Parameter(
        "limit",
        "How many items a page has at most; a page of large items has fewer.",
        _number_from_text,
        _always({"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE_LIMIT}),
    ),
)

EXPLAIN_OUTPUT: Final = _alike(
    "output", "The format of the response; the default depends on `Accept`.", _always({"enum": list(EXPLAIN_OUTPUTS)})
)
"""`output` of `/explain`, which is written as text for people."""

PARAMETERS: Final = MappingProxyType({row.name: row for row in _ROWS})
