"""Parameters of a request in, a valid offer out.

A parameter comes as text (from a query or a form) or as a value (from JSON or YAML). Texts are read into values by
the table `_TEXT_READERS`, values are checked for their kind by `_VALUE_CHECKS`, and `make_offer` judges the meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec

from syncnet.core.commands import (
    DEFAULT_NAMESPACE,
    Abort,
    Offer,
    check_id,
    check_namespace,
    make_abort,
    make_offer,
)
from syncnet.core.labels import readable, shown
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.selectors import Selector, parse_selector
from syncnet.errors import ParameterError, SelectorError
from syncnet.wire.bodies import Texts, Values
from syncnet.wire.durations import parse_duration_s

__all__ = [
    "OfferRequest",
    "TraceRequest",
    "did_you_mean",
    "read_abort",
    "read_namespace",
    "read_offer",
    "read_trace",
    "read_withdrawal",
]

_OUTPUTS: Final = ("json", "yaml")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class OfferRequest:
    """The offer that a request makes, and in which format its client wants the answer (None: as `Accept` says)."""

    offer: Offer
    output: str | None


class TraceRequest(NamedTuple):
    """Which syncs a request wants to see: those of `namespace` with numbers above `after`, at most `syncs_max`."""

    namespace: str
    after: int
    syncs_max: int


def read_offer(
    query: Texts,
    body: Texts | Values,
    *,
    at_ns: int,
    new_id: Callable[[], str],
    owner: str = "",
    limits: Limits = LIMITS,
) -> OfferRequest:
    """Return what a request to `/event` asks for.

    `at_ns` (nanoseconds since the Unix epoch) and `owner` go into the offer, and so does an id that `new_id` makes,
    where the client names none.

    :raises ParameterError: a parameter is missing, unknown, given twice, or does not do.
    """
    values = _merged(query, body, _OFFER_PARAMETERS, limits)
    for name in ("event", "actor"):
        if name not in values:
            raise ParameterError(name, "expected a value, got none; it is required")
    output = _output(values.pop("output")) if "output" in values else None
    selector = _selector(values.pop("selector"), limits) if "selector" in values else None
    named = "id" in values
    offer = make_offer(
        at_ns=at_ns,
        id=values.pop("id") if named else new_id(),
        events=values.pop("event"),
        timeout_s=values.pop("timeout", None),
        linger_s=values.pop("linger", None),
        selector=selector,
        named=named,
        owner=owner,
        limits=limits,
        **values,
    )
    return OfferRequest(offer, output)


def read_abort(query: Texts, body: Texts | Values, *, at_ns: int, owner: str = "", limits: Limits = LIMITS) -> Abort:
    """Return what a request to `/abort` asks for. A client with a token (`owner`) aborts in the name of that.

    :raises ParameterError: a parameter is missing, unknown, given twice, or does not do.
    """
    values = _merged(query, body, _ABORT_PARAMETERS, limits)
    events = values.pop("event", None)
    if events is not None and len(events) != 1:
        raise ParameterError("event", f"expected one event, got {len(events)}")
    if owner and values.get("by", owner) != owner:
        raise ParameterError("by", f"expected the name of the token, {owner}, or nothing; got {shown(values['by'])}")
    return make_abort(
        at_ns=at_ns,
        by=owner or values.pop("by", ""),
        reason=values.pop("reason", ""),
        event=events[0] if events else None,
        limits=limits,
        **{name: value for name, value in values.items() if name != "by"},
    )


def read_withdrawal(query: Texts) -> tuple[str, str]:
    """Return the namespace and the id of the offer that is to be withdrawn.

    :raises ParameterError: there is no id, or a parameter does not do.
    """
    values = _from_texts(query, ("id", "namespace"))
    if "id" not in values:
        raise ParameterError("id", "expected a value, got none; it is required")
    return check_namespace(values.get("namespace", DEFAULT_NAMESPACE)), check_id(values["id"])


def read_trace(query: Texts) -> TraceRequest:
    """Return which part of the trace a request wants: all that is kept, up to 1,000 syncs, unless it says otherwise.

    :raises ParameterError: a parameter does not do.
    """
    values = _from_texts(query, ("namespace", "after", "limit"))
    syncs_max = values.get("limit", _TRACE_LIMIT)
    if not 1 <= syncs_max <= _TRACE_LIMIT:
        raise ParameterError("limit", f"expected a whole number from 1 to {_TRACE_LIMIT}, got {syncs_max}")
    return TraceRequest(check_namespace(values.get("namespace", DEFAULT_NAMESPACE)), values.get("after", 0), syncs_max)


def read_namespace(query: Texts) -> str:
    """Return the namespace that a request names, for paths that take no other parameter.

    :raises ParameterError: it is no name, given twice, or something else is given.
    """
    values = _from_texts(query, ("namespace",))
    return check_namespace(values.get("namespace", DEFAULT_NAMESPACE))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the nearest known one, or all of them."""
    nearest = get_close_matches(word, list(known), n=1)
    return f'did you mean "{nearest[0]}"?' if nearest else f"expected one of {', '.join(known)}"


# --- texts, from a query or a form -------------------------------------------------------------------------


def _from_texts(texts: Texts, known: Iterable[str], limits: Limits = LIMITS) -> Values:
    _check_known(texts, known)
    values: Values = {}
    for name, given in texts.items():
        if name == "event":
            values[name] = given
        elif len(given) > 1:
            raise ParameterError(name, f"expected once, got it {len(given)} times")
        else:
            values[name] = _TEXT_READERS[name](given[0], limits)
    return values


def _check_known(names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ParameterError(readable(name), f"unknown parameter; {did_you_mean(name, known)}")


def _mates_from_text(text: str, limits: Limits) -> int:
    if not _DIGITS.fullmatch(text):
        raise ParameterError("mates", f"expected {_mates_wanted(limits)}, got {shown(text)}")
    return int(text)


def _mates_wanted(limits: Limits) -> str:
    return f"a whole number from 0 to {limits.mates_max}"


def _number_from_text(name: str) -> Callable[[str, Limits], int]:
    def read(text: str, _: Limits) -> int:
        if not _DIGITS.fullmatch(text):
            raise ParameterError(name, f"expected a whole number, 0 or more, got {shown(text)}")
        return int(text)

    return read


def _duration_from_text(name: str) -> Callable[[str, Limits], float]:
    return lambda text, _: parse_duration_s(name, text)


def _names_from_text(text: str, _: Limits) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _labels_from_text(text: str, limits: Limits) -> dict[str, str]:
    labels: dict[str, str] = {}
    pairs = text.split(",") if text.strip() else []
    if len(pairs) > limits.labels_per_offer_max:
        raise ParameterError("labels", f"expected at most {limits.labels_per_offer_max} labels, got {len(pairs)}")
    for position, pair in enumerate(pairs, 1):
        key, equals, value = (part.strip() for part in pair.partition("="))
        where = f"(label {position} of {len(pairs)})"
        if not equals:
            raise ParameterError("labels", f"expected key=value, got {shown(pair)} {where}")
        if key in labels:
            raise ParameterError("labels", f"expected keys that differ, got {shown(key)} twice {where}")
        labels[key] = value
    return labels


def _as_is(text: str, _: Limits) -> str:
    return text


_TEXT_READERS: Final[dict[str, Callable[[str, Limits], Any]]] = {
    "event": _as_is,
    "actor": _as_is,
    "mates": _mates_from_text,
    "expect": _names_from_text,
    "labels": _labels_from_text,
    "selector": _as_is,
    "payload": lambda text, _: msgspec.json.encode(text),
    "timeout": _duration_from_text("timeout"),
    "linger": _duration_from_text("linger"),
    "id": _as_is,
    "namespace": _as_is,
    "output": _as_is,
    "reason": _as_is,
    "by": _as_is,
    "after": _number_from_text("after"),
    "limit": _number_from_text("limit"),
}

_OFFER_PARAMETERS: Final = (
    *("event", "actor", "mates", "expect", "labels", "selector", "payload"),
    *("timeout", "id", "linger", "namespace", "output"),
)
_ABORT_PARAMETERS: Final = ("event", "actor", "id", "reason", "by", "namespace")
_TRACE_LIMIT: Final = 1_000


# --- values, from JSON or YAML -----------------------------------------------------------------------------


def _from_values(given: Values, known: Iterable[str], limits: Limits) -> Values:
    _check_known(given, known)
    return {name: _VALUE_CHECKS[name](name, value, limits) for name, value in given.items()}


def _wrong_kind(name: str, expected: str, value: object) -> ParameterError:
    got = msgspec.json.encode(value).decode() if not isinstance(value, int) or abs(value) < 2**63 else "a huge number"
    return ParameterError(name, f"expected {expected}, got {readable(got)}")


def _text(name: str, value: object, _: Limits) -> str:
    if not isinstance(value, str):
        raise _wrong_kind(name, "a text", value)
    return value


def _texts(name: str, value: object, _: Limits) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_kind(name, "a text or a list of texts", value)
    return value


def _events(name: str, value: object, _: Limits) -> list[str]:
    return [value] if isinstance(value, str) else _texts(name, value, _)


def _names(name: str, value: object, limits: Limits) -> list[str]:
    return _names_from_text(value, limits) if isinstance(value, str) else _texts(name, value, limits)


def _mates(name: str, value: object, limits: Limits) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_kind(name, _mates_wanted(limits), value)
    return value


def _labels(name: str, value: object, _: Limits) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong_kind(name, "a map of texts", value)
    return value


def _payload(_: str, value: bytes, __: Limits) -> bytes:
    return value


def _duration(name: str, value: object, _: Limits) -> float:
    if isinstance(value, str):
        return parse_duration_s(name, value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_kind(name, "a duration such as 250ms, 5s, 2m or a number of seconds", value)
    return value


_VALUE_CHECKS: Final[dict[str, Callable[[str, Any, Limits], Any]]] = {
    "event": _events,
    "actor": _text,
    "mates": _mates,
    "expect": _names,
    "labels": _labels,
    "selector": _text,
    "payload": _payload,
    "timeout": _duration,
    "linger": _duration,
    "id": _text,
    "reason": _text,
    "by": _text,
    "namespace": _text,
    "output": _text,
}


# --- what both come to -------------------------------------------------------------------------------------


def _merged(query: Texts, body: Texts | Values, known: Iterable[str], limits: Limits) -> Values:
    values = _from_texts(query, known, limits)
    for name in body:
        if name in values:
            raise ParameterError(readable(name), "expected once, got it both in the query and in the body")
    return values | (_from_texts(body, known, limits) if isinstance(body, Texts) else _from_values(body, known, limits))


def _selector(text: str, limits: Limits) -> Selector:
    try:
        return parse_selector(text, limits.selector_characters_max)
    except SelectorError as error:
        raise ParameterError("selector", f"{error}, in {shown(text)}") from None


def _output(name: str) -> str:
    if name not in _OUTPUTS:
        raise ParameterError("output", f"expected json or yaml, got {shown(name)}")
    return name
