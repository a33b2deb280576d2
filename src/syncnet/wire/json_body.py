"""The JSON body of a request to `/event` in, what it asks for out, in one pass.

This reader accepts ordinary bodies only, by the same law as `query.py`: what it returns is equal to what
`parameters.read_offer` returns for the same body. Where a body is invalid or unusual it returns None.

msgspec keeps the last of two equal names in an object. As that hides a mistake, we refuse them, in every object of the
body. The check for that is slow, so one regular expression finds the bodies that need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from syncnet.core.commands import NO_PAYLOAD
from syncnet.core.limits import NESTING_MAX, Limits
from syncnet.core.selectors import parse_selector
from syncnet.core.validation import bound_mates, check_id, check_payload, make_spec
from syncnet.wire.bodies import DIGITS_MAX, check_json
from syncnet.wire.durations import parse_duration_s
from syncnet.wire.offer_body import OfferBody
from syncnet.wire.parameter_table import OUTPUTS
from syncnet.wire.parameters import Asked

__all__ = ["read_json_body"]

_decode: Callable[[str], OfferBody] = msgspec.json.Decoder(OfferBody).decode
_strings: Callable[[str], list[tuple[str, str]]] = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"([ \t\r\n]*:)?').findall
_has_long_number: Callable[[str], Any] = re.compile(rf"(?<![0-9])[0-9]{{{DIGITS_MAX}}}").search


def read_json_body(body: bytes, limits: Limits, owner: str) -> Asked | None:
    """Return what a body asks for, None where it is invalid or unusual. `owner` is the name of the client's token."""
    try:
        text = body.decode()
        fields = _decode(text)
        if _is_suspicious(text):
            check_json(text)
        selector = fields.selector
        id = None if fields.id is UNSET else check_id(fields.id)
        output = None if fields.output is UNSET else fields.output
        if output is not None and output not in OUTPUTS:
            return None
        spec = make_spec(
            events=[fields.event] if isinstance(fields.event, str) else fields.event,
            actor=fields.actor,
            namespace=fields.namespace,
            mates=None if fields.mates is UNSET else fields.mates,
            expect=_roster(fields.expect),
            labels=None if fields.labels is UNSET else fields.labels,
            selector=None if selector is UNSET else parse_selector(selector, limits.selector_characters_max),
            timeout_s=_seconds(fields.timeout),
            linger_s=_seconds(fields.linger),
            named=id is not None,
            owner=owner,
            limits=limits,
        )
        payload = _payload(fields.payload, limits)
        bound_mates(spec, payload, limits)
    except (ValueError, msgspec.MsgspecError, RecursionError):  # ParameterError and SelectorError are ValueErrors
        return None
    return spec, payload, id, output


def _is_suspicious(text: str) -> bool:
    """Return whether `check_json` might refuse `text`, which is JSON.

    It might where there are many brackets, a long number, a name that appears twice (perhaps in two objects, which is
    valid), or an escaped name.
    """
    if text.count("[") + text.count("{") > NESTING_MAX or (len(text) > DIGITS_MAX and _has_long_number(text)):
        return True
    names = [string for string, colon in _strings(text) if colon]
    return len({*names}) < len(names) or ("\\" in text and "\\" in "".join(names))


def _payload(raw: msgspec.Raw, limits: Limits) -> bytes:
    """Return the payload without the blanks between its tokens; the rest stays as the client wrote it."""
    written = bytes(raw)
    payload = msgspec.json.format(written, indent=-1) if written else NO_PAYLOAD
    return check_payload(payload, limits)


def _roster(expect: Any) -> list[str] | None:
    if expect is UNSET:
        return None
    names: list[str] = [name.strip() for name in expect.split(",")] if isinstance(expect, str) else expect
    return names


def _seconds(duration: Any) -> float | None:
    if duration is UNSET:
        return None
    return parse_duration_s("", duration) if isinstance(duration, str) else duration
