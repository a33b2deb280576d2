"""The query of a request to `/event` in, what it asks for out, in one pass.

This reader accepts ordinary queries only. Its law: what it returns is equal to what `parameters.read_offer` returns for
the same query; a test compares the two. Where a query is invalid or merely unusual it returns None. The caller then
calls `read_offer`, which has the messages.

A call of a function costs more than most of the checks. So a text is checked by one regular expression where that is
possible, and a parameter that is absent costs no call.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Callable
from typing import Any, Final

import msgspec

from syncnet.core.commands import DEFAULT_NAMESPACE, NO_PAYLOAD, OfferSpec
from syncnet.core.labels import NAME_PATTERN
from syncnet.core.limits import ID_CHARACTERS_MAX, LABEL_PREFIX_CHARACTERS_MAX, LINGER_NAMED_S, Limits
from syncnet.core.selectors import EVERYTHING, NOT_ACTOR_BYTES, Selector, parse_selector
from syncnet.core.validation import bound_mates
from syncnet.wire.durations import parse_duration
from syncnet.wire.parameter_table import OUTPUTS
from syncnet.wire.parameters import OFFER_PARAMETERS, Asked

__all__ = ["read_query"]

_NAMES: Final = frozenset(OFFER_PARAMETERS)
_NAMES_TOTAL: Final = len(OFFER_PARAMETERS)
_NO_PAYLOAD_BYTES: Final = len(NO_PAYLOAD)
_LINGER_NAMED_NS: Final = round(LINGER_NAMED_S * 1e9)
_MATES: Final = {"": 1} | {str(number): number for number in range(100)}
"""Usual texts of `mates`; an empty one is the default."""

_DOMAIN_PART: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_PREFIX: Final = rf"(?=[^/,=]{{1,{LABEL_PREFIX_CHARACTERS_MAX}}}/){_DOMAIN_PART}(?:\.{_DOMAIN_PART})*/"
_LABEL: Final = rf"(?:{_PREFIX})?{NAME_PATTERN}=(?:{NAME_PATTERN})?"

_Match = Callable[[str], Any]
_is_name: _Match = re.compile(NAME_PATTERN).fullmatch
_is_id: _Match = re.compile(rf"[!-~]{{1,{ID_CHARACTERS_MAX}}}").fullmatch
_is_number: _Match = re.compile(r"[0-9]{1,20}").fullmatch
_are_names: _Match = re.compile(rf"{NAME_PATTERN}(?:,{NAME_PATTERN})*").fullmatch
_are_labels: _Match = re.compile(rf"{_LABEL}(?:,{_LABEL})*").fullmatch
_label_pairs: _Match = re.compile(r"([^=,]+)=([^,]*)").findall
_is_escaped: _Match = re.compile(r"[ -$&-~]*(?:%[0-9A-Fa-f]{2}[ -$&-~]*)*").fullmatch
_encode_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def read_query(text: str, limits: Limits, owner: str) -> Asked | None:  # noqa: C901 - one branch per parameter
    """Return what a query asks for, None where it is not clearly valid. `owner` is the name of the client's token."""
    texts: dict[str, str] = {}
    more_events: tuple[str, ...] = ()
    try:
        for pair in text.split("&"):
            name, _, value = pair.partition("=")
            if "%" in value or "+" in value:
                value = _unescaped(value)
            if name in _NAMES and name not in texts:
                texts[name] = value
            elif name == "event":
                more_events += (value,)
            else:
                return None

        characters, actor = texts["event"], texts["actor"]
        events: tuple[str, ...] = (characters,)
        if more_events:
            events += more_events
            characters = "".join(events)
            if (total := len(events)) > limits.events_per_offer_max or len({"", *events}) <= total:
                return None  # too many, one twice, or an empty one
        event_characters = len(characters)
        if not 0 < event_characters <= limits.event_characters_max or not characters.isprintable():
            return None
        if event_characters > limits.events_characters_max or _is_name(actor) is None:
            return None
        if (more_events or limits.parameters_max < _NAMES_TOTAL) and text.count("&") >= limits.parameters_max:
            return None
        mates = 1
        if "mates" in texts:
            mates = _mates(texts["mates"], limits.mates_max)
        roster: tuple[str, ...] = ()
        if "expect" in texts:
            roster = _roster(actor, texts, limits.mates_max)
            mates, selector = len(roster) - 1, EVERYTHING
        elif "selector" in texts and texts["selector"]:  # noqa: RUF019 - `get` is a call
            selector = parse_selector(texts["selector"], limits.selector_characters_max)
        else:
            selector = Selector((("actor", True, (actor,)),), (), 1, NOT_ACTOR_BYTES)
        labels = {"actor": actor}
        if "labels" in texts:
            labels = _labels(actor, texts["labels"], limits.labels_per_offer_max)
        namespace = _checked(_is_name, texts["namespace"]) if "namespace" in texts else DEFAULT_NAMESPACE
        output = _output(texts["output"]) if "output" in texts else None
        id = _checked(_is_id, texts["id"]) if "id" in texts else None
        linger_ns = 0 if id is None else _LINGER_NAMED_NS
        if "linger" in texts:
            linger_ns = _nanoseconds(texts["linger"], limits.linger_s_max)
        timeout_ns = _nanoseconds(texts["timeout"], limits.timeout_s_max) if "timeout" in texts else None
        spec = OfferSpec(
            namespace, events, actor, mates, roster, labels, selector, timeout_ns, linger_ns, owner, event_characters
        )
        payload = NO_PAYLOAD
        if "payload" in texts or limits.payload_bytes_max < _NO_PAYLOAD_BYTES:
            payload = _payload(texts, spec, limits)
    except (LookupError, ValueError):  # ParameterError, SelectorError and UnicodeError are kinds of ValueError
        return None
    return spec, payload, id, output


# The functions below are for what most queries do not contain. They raise ValueError where a text is not clearly valid.


def _unescaped(text: str) -> str:
    """Return the text that `text` is the escaped form of.

    A URL escapes with `%41` what quoted-printable (RFC 2045) escapes with `=41`, and the standard library decodes the
    latter in one call of C. The two differ in a sign that escapes nothing and in line ends; `_is_escaped` refuses both.

    :raises ValueError: a sign escapes nothing, a character is not visible ASCII, or the result is not UTF-8.
    """
    if _is_escaped(text) is None:
        raise ValueError
    if "=" in text:
        text = text.replace("=", "=3D")
    if "+" in text:
        text = text.replace("+", " ")
    return str(a2b_qp(text.replace("%", "=")), "utf-8")


def _mates(text: str, mates_max: int) -> int:
    mates = _MATES[text] if text in _MATES else int(_checked(_is_number, text))
    if mates > mates_max:
        raise ValueError
    return mates


def _roster(actor: str, texts: dict[str, str], actors_max: int) -> tuple[str, ...]:
    """Return the roster of `expect`, which excludes `mates` and `selector`."""
    if ("mates" in texts and texts["mates"]) or ("selector" in texts and texts["selector"]):  # noqa: RUF019 - see above
        raise ValueError
    expect = texts["expect"]
    if _are_names(expect) is None:
        raise ValueError
    names = expect.split(",")
    roster = {*names}
    total = len(names)
    if len(roster) < total or total > actors_max:
        raise ValueError
    return tuple(sorted({actor, *roster}))


def _labels(actor: str, text: str, labels_max: int) -> dict[str, str]:
    """Return the labels of an offer, sorted by key, with the default one, which is the only one of an empty text."""
    if not text:
        return {"actor": actor}
    if _are_labels(text) is None:
        raise ValueError
    pairs = _label_pairs(text)
    given = dict(pairs)
    labels = {"actor": actor, **given}
    if len(given) < len(pairs) or len(labels) > labels_max:
        raise ValueError
    return dict(sorted(labels.items()))


def _payload(texts: dict[str, str], spec: OfferSpec, limits: Limits) -> bytes:
    """Return the payload as JSON: a text, empty where none is given."""
    payload = _encode_json(texts["payload"]) if "payload" in texts else NO_PAYLOAD
    if len(payload) > limits.payload_bytes_max:
        raise ValueError
    bound_mates(spec, payload, limits)
    return payload


def _nanoseconds(text: str, seconds_max: int) -> int:
    seconds, nanoseconds = parse_duration(text)
    if seconds > seconds_max:
        raise ValueError
    return nanoseconds


def _output(text: str) -> str:
    if text not in OUTPUTS:
        raise ValueError
    return text


def _checked(matches: _Match, text: str) -> str:
    if matches(text) is None:
        raise ValueError
    return text
