"""Payloads of offers, as JSON and as objects of Python.

A payload is JSON, or, in a program that uses syncnet in-process, any object of that program (`OBJECT`). Such an object
is encoded only when a client over HTTP needs it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from syncnet.core.commands import OBJECT, Offer

__all__ = ["json_of", "value_of"]


def json_of(offer: Offer) -> bytes:
    """Return the payload of an offer as JSON. An object that has no form in JSON becomes a text, its `repr`."""
    payload: bytes = offer.payload if offer.payload_bytes != OBJECT else _encoded(offer.payload)
    return payload


def value_of(offer: Offer) -> Any:
    """Return the payload of an offer as an object of Python: the very one that was given, or what the JSON means."""
    return offer.payload if offer.payload_bytes == OBJECT else json.loads(offer.payload)


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=repr)
    except Exception:  # a number too large, nesting too deep, or an error in a method of the object
        return _encoded_slowly(value)


def _encoded_slowly(value: object) -> bytes:
    try:
        return json.dumps(value, default=repr, allow_nan=False).encode()
    except Exception:  # as above; the members of a sync must learn of it whatever their mates gave them (G7)
        return json.dumps(f"<{type(value).__qualname__}>").encode()
