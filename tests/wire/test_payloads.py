"""Payloads are JSON, or objects of this program that are encoded on demand."""

import pytest

from syncnet.core.commands import OBJECT, Offer, OfferSpec
from syncnet.core.selectors import EVERYTHING
from syncnet.wire.payloads import json_of, value_of

SPEC = OfferSpec("default", ("coin",), "A", 1, (), {"actor": "A"}, EVERYTHING, None, 0, "", 4)


def holding(value: object) -> Offer:
    return Offer(SPEC, "1", 0, value, OBJECT, False)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


class Shown:
    def __repr__(self) -> str:
        return "shown"


def nested(levels: int) -> object:
    value: object = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({"a": (1, None)}, b'{"a":[1,null]}'),
        (b'"x"', b'"Ingi"'),  # bytes of this program are an object too: base64
        (2**70, str(2**70).encode()),
        ({1: Shown()}, b'{"1":"shown"}'),
        (Broken(), b'"<Broken>"'),
        (nested(100_000), b'"<list>"'),
    ],
    ids=["map", "bytes", "huge", "repr", "broken", "deep"],
)
def test_an_object_as_json(value: object, encoded: bytes) -> None:
    assert json_of(holding(value)) == encoded


def test_the_value_of_an_object_is_the_object() -> None:
    value = Broken()
    assert value_of(holding(value)) is value


def test_a_payload_of_json() -> None:
    offer = Offer(SPEC, "1", 0, b'{"a":[1]}', 9, False)
    assert json_of(offer) == b'{"a":[1]}'
    assert value_of(offer) == {"a": [1]}
