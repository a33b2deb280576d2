"""Parameters of a request in, a valid offer out.

A parameter comes as text (from a query or a form) or as a value (from JSON or YAML). Texts are read into values by
the table `_TEXT_READERS`, values are checked for their kind by `_VALUE_CHECKS`, and `make_offer` judges the meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from syncnet.core.commands import DEFAULT_NAMESPACE, Offer, check_namespace, make_offer
from syncnet.core.labels import readable, shown
from syncnet.core.limits import LABELS_PER_OFFER_MAX, MATES_MAX
from syncnet.core.selectors import Selector, parse_selector
from syncnet.errors import ParameterError, SelectorError
from syncnet.wire.bodies import Texts, Values
from syncnet.wire.durations import parse_duration_s

__all__ = ["OfferRequest", "did_you_mean", "read_namespace", "read_offer"]

_OUTPUTS: Final = ("json", "yaml")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class OfferRequest:
    """The offer that a request makes, and in which format its client wants the answer (None: as `Accept` says)."""

    offer: Offer
    output: str | None


def read_offer(query: Texts, body: Texts | Values, *, at_ns: int, offer_id: str) -> OfferRequest:
    """Return what a request to `/event` asks for.

    `at_ns` (nanoseconds since the Unix epoch) and `offer_id` go into the offer.

    :raises ParameterError: a parameter is missing, unknown, given twice, or does not do.
    """
    values = _merged(query, body)
    for name in ("event", "actor"):
        if name not in values:
            raise ParameterError(name, "expected a value, got none; it is required")
    output = _output(values.pop("output")) if "output" in values else None
    selector = _selector(values.pop("selector")) if "selector" in values else None
    offer = make_offer(
        at_ns=at_ns,
        id=offer_id,
        events=values.pop("event"),
        timeout_s=values.pop("timeout", None),
        selector=selector,
        **values,
    )
    return OfferRequest(offer, output)


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


def _from_texts(texts: Texts, known: Iterable[str]) -> Values:
    _check_known(texts, known)
    values: Values = {}
    for name, given in texts.items():
        if name == "event":
            values[name] = given
        elif len(given) > 1:
            raise ParameterError(name, f"expected once, got it {len(given)} times")
        else:
            values[name] = _TEXT_READERS[name](given[0])
    return values


def _check_known(names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ParameterError(readable(name), f"unknown parameter; {did_you_mean(name, known)}")


def _mates_from_text(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ParameterError("mates", f"expected a whole number from 0 to {MATES_MAX}, got {shown(text)}")
    return int(text)


def _names_from_text(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _labels_from_text(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    pairs = text.split(",") if text.strip() else []
    if len(pairs) > LABELS_PER_OFFER_MAX:
        raise ParameterError("labels", f"expected at most {LABELS_PER_OFFER_MAX} labels, got {len(pairs)}")
    for position, pair in enumerate(pairs, 1):
        key, equals, value = (part.strip() for part in pair.partition("="))
        where = f"(label {position} of {len(pairs)})"
        if not equals:
            raise ParameterError("labels", f"expected key=value, got {shown(pair)} {where}")
        if key in labels:
            raise ParameterError("labels", f"expected keys that differ, got {shown(key)} twice {where}")
        labels[key] = value
    return labels


def _as_is(text: str) -> str:
    return text


_TEXT_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "event": _as_is,
    "actor": _as_is,
    "mates": _mates_from_text,
    "expect": _names_from_text,
    "labels": _labels_from_text,
    "selector": _as_is,
    "payload": msgspec.json.encode,
    "timeout": lambda text: parse_duration_s("timeout", text),
    "namespace": _as_is,
    "output": _as_is,
}


# --- values, from JSON or YAML -----------------------------------------------------------------------------


def _from_values(given: Values) -> Values:
    _check_known(given, _VALUE_CHECKS)
    return {name: _VALUE_CHECKS[name](name, value) for name, value in given.items()}


def _wrong_kind(name: str, expected: str, value: object) -> ParameterError:
    got = msgspec.json.encode(value).decode() if not isinstance(value, int) or abs(value) < 2**63 else "a huge number"
    return ParameterError(name, f"expected {expected}, got {readable(got)}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong_kind(name, "a text", value)
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong_kind(name, "a text or a list of texts", value)
    return value


def _events(name: str, value: object) -> list[str]:
    return [value] if isinstance(value, str) else _texts(name, value)


def _names(name: str, value: object) -> list[str]:
    return _names_from_text(value) if isinstance(value, str) else _texts(name, value)


def _mates(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_kind(name, f"a whole number from 0 to {MATES_MAX}", value)
    return value


def _labels(name: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong_kind(name, "a map of texts", value)
    return value


def _payload(_: str, value: bytes) -> bytes:
    return value


def _timeout(name: str, value: object) -> float:
    if isinstance(value, str):
        return parse_duration_s(name, value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_kind(name, "a duration such as 250ms, 5s, 2m or a number of seconds", value)
    return value


_VALUE_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "event": _events,
    "actor": _text,
    "mates": _mates,
    "expect": _names,
    "labels": _labels,
    "selector": _text,
    "payload": _payload,
    "timeout": _timeout,
    "namespace": _text,
    "output": _text,
}


# --- what both come to -------------------------------------------------------------------------------------


def _merged(query: Texts, body: Texts | Values) -> Values:
    values = _from_texts(query, _TEXT_READERS)
    for name in body:
        if name in values:
            raise ParameterError(readable(name), "expected once, got it both in the query and in the body")
    return values | (_from_texts(body, _TEXT_READERS) if isinstance(body, Texts) else _from_values(body))


def _selector(text: str) -> Selector:
    try:
        return parse_selector(text)
    except SelectorError as error:
        raise ParameterError("selector", f"{error}, in {shown(text)}") from None


def _output(name: str) -> str:
    if name not in _OUTPUTS:
        raise ParameterError("output", f"expected json or yaml, got {shown(name)}")
    return name
