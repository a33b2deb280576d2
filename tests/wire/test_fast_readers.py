"""The fast readers accept ordinary requests, and only what the table-driven reader accepts, with an equal result."""

import json
import sys
from collections.abc import Callable
from types import FrameType
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import BadBodyError, ParameterError
from syncnet.wire.bodies import Texts, decode_body, decode_form
from syncnet.wire.json_body import read_json_body
from syncnet.wire.parameters import OFFER_PARAMETERS, Asked, read_offer
from syncnet.wire.query import read_query

BOUNDS = {
    "mates_max": [1, 2],
    "events_per_offer_max": [1, 2],
    "event_characters_max": [1, 4, 4_096],
    "events_characters_max": [1, 4],
    "labels_per_offer_max": [1, 2],
    "selector_characters_max": [1, 8],
    "payload_bytes_max": [1, 2, 8],
    "timeout_s_max": [1, 5],
    "linger_s_max": [10],
    "parameters_max": [1, 2, 3, 5],
}
LIMITS_LOWERED = st.one_of(
    st.just(LIMITS),
    st.fixed_dictionaries({}, optional={name: st.sampled_from(bounds) for name, bounds in BOUNDS.items()}).map(
        lambda bounds: Limits(**bounds)
    ),
)

# Ordinary texts of each parameter, and texts that are odd for some or all of them.
TEXTS = {
    "event": ["e", "coin", "a/b:c", "é", "a b", "x" * 256, "x" * 257],
    "actor": ["A", "x.y-z_1", "x" * 63, "x" * 64, "A-", "é"],
    "mates": ["0", "1", "2", "007", "9999", "10000", "99", "100", "1.0", "-1", "+1", "٢", "9" * 20, "9" * 21],
    "expect": ["A", "B", "A,B", "B,C,D", "B,B", "B, C", ",", "B,", "é"],
    "labels": [
        *("a=1", "a=1,b=2", "b=1,a=", "a=1,a=2", "a=1,", "actor=X", "a = 1", "a==1", "a", " ", "example.org/a=1"),
        *("/a=1", "a/b/c=1", "A.b/c=1", "a.-b/c=1", "x" * 254 + "/a=1", "x" * 253 + "/a=1", "a=" + "x" * 64, "a=é"),
    ],
    "selector": ["a", "!a", "a=1", "a!=1,b", "a in (1,2)", "a notin (1)", "a>1", "a in", "=", "a=é", "a,,b", "x" * 9],
    "payload": ["hello", '{"a": 1}', "\n\t\0", "é😀", "%", "=", "==", "a+b", "x" * 300, "\x7f"],
    "timeout": ["5s", "250ms", "1h30m", "0", "1.5", "3600s0.000000001ms", "99999h", "1e3", "-1", "x", "0s" * 20],
    "linger": ["5s", "0", "1h", "3600s0.000000001ms", "2h", "x"],
    "id": ["1", "a-b_c", "x" * 128, "x" * 129, "a b", "é", '"\\'],
    "namespace": ["default", "ci", "a b", "-"],
    "output": ["json", "yaml", "xml", "JSON"],
}
ODD = [
    "",
    "%",
    "%4",
    "%zz",
    "%ff",
    "%C3",
    "%%34",
    "a%",
    "+",
    "%0A",
    "%0d%0a",
    "=\n",
    "=3D",
    "%3d",
    "\udcff",
    "é",
    ";",
    "=",
]
ESCAPES: list[Callable[[str], str]] = [
    lambda text: text,
    quote,
    quote_plus,
    lambda text: quote(text, safe=",=()!"),
    lambda text: quote(text).lower(),
]


def texts_of(name: str) -> st.SearchStrategy[str]:
    """Texts of a parameter, mostly the first ones of the list, which are valid."""
    texts = TEXTS.get(name, ["x"])
    return st.sampled_from(texts[:2]) | st.sampled_from(texts[:3]) | st.sampled_from(texts)


@st.composite
def pairs_of_a_query(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from([*OFFER_PARAMETERS[2:]] * 5 + ["event", "actor", "reason", "", "%65vent"]))
    if draw(st.integers(0, 9)) == 0:
        text = draw(st.lists(st.sampled_from(ODD), max_size=2).map("".join))
        return draw(st.sampled_from([f"{name}={text}", name, f"{name}=={text}"]))
    text = draw(texts_of(name))
    return f"{name}={draw(st.sampled_from(ESCAPES))(text)}"


QUERIES = st.tuples(
    st.sampled_from(["event=e&actor=A", "actor=A&event=coin"] * 4 + ["event=e&event=f&actor=A", ""]),
    st.lists(pairs_of_a_query(), max_size=5, unique_by=lambda pair: pair.partition("=")[0] or pair)
    | st.lists(pairs_of_a_query(), max_size=3),
).map(lambda parts: "&".join(filter(None, [parts[0], *parts[1]])))


def by_table(query: str, body: bytes, limits: Limits) -> Asked | str:
    """What the table-driven reader returns, or its message."""
    try:
        texts = decode_form(query, limits.parameters_max)
        return read_offer(texts, decode_body("application/json", body), owner="ci", limits=limits)
    except (ParameterError, BadBodyError) as error:
        return str(error)


def assert_equal_to_the_table(asked: Asked, expected: Asked | str) -> None:
    assert asked == expected
    assert not isinstance(expected, str)
    assert [*asked[0].labels] == [*expected[0].labels]  # the order is that of the answer
    assert asked[0].weight_bytes == expected[0].weight_bytes
    assert type(asked[1]) is bytes


@settings(max_examples=500)
@given(QUERIES, LIMITS_LOWERED)
@example("event=e&actor=A", Limits(payload_bytes_max=1))
@example("event=abc&actor=A", Limits(events_characters_max=1))
@example("event=e&actor=A&timeout=3600s0.000000001ms", Limits(timeout_s_max=3600))
@example("event=e&actor=A&mates=&mates=2", LIMITS)
@example("event=e&actor=A&expect=B&mates=", LIMITS)
@example("event=e&actor=A&payload=%3D%3D%0A", LIMITS)
@example("event=e&actor=A&payload=\ud800", LIMITS)
@example("&event=e&actor=A", LIMITS)
@example("event=e&actor=A&mates=10000", LIMITS)
@example("event=e&actor=A&expect=B,B", LIMITS)
@example("event=e&actor=A&labels=a=1,a=2", LIMITS)
@example("event=e&actor=A&labels=b=1,a=2", LIMITS)
@example("event=e&actor=A&payload=%zz", LIMITS)
@example("event=e&event=f&actor=A", Limits(parameters_max=2))
def test_a_query_that_the_fast_reader_accepts_is_read_alike_by_the_table(text: str, limits: Limits) -> None:
    asked = read_query(text, limits, "ci")
    if asked is not None:
        assert_equal_to_the_table(asked, by_table(text, b"", limits))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*"aA=+ %41é\n\0&;", "%3D", "%3d", "%C3%A9", "%ff", "%", "%0A", "=41"])).map("".join))
def test_escapes_are_read_as_the_table_reads_them(payload: str) -> None:
    text = f"event=e&actor=A&payload={payload}"
    asked = read_query(text, LIMITS, "ci")
    if asked is not None:
        assert_equal_to_the_table(asked, by_table(text, b"", LIMITS))


ORDINARY_QUERIES = [
    "event=coin&actor=VM",
    "actor=VM&event=coin",
    'event=a/b:c"d&actor=x.y-z_1',
    "event=a%20b&actor=VM",
    "event=%C3%A9t%C3%A9&actor=VM",
    "event=coin&event=note&actor=VM",
    "event=coin&actor=VM&mates=0",
    "event=coin&actor=VM&mates=9999",
    "event=coin&actor=VM&mates=&labels=&selector=",
    "event=coin&actor=VM&expect=CUST",
    "event=coin&actor=VM&expect=VM,CUST,BANK",
    "event=coin&actor=VM&labels=tier=gold",
    "event=coin&actor=VM&labels=tier%3Dgold%2Cexample.org%2Fzone%3Deu",
    "event=coin&actor=VM&labels=tier=&selector=tier",
    "event=coin&actor=VM&selector=tier%20in%20(gold,silver),actor%21%3DVM",
    "event=coin&actor=VM&selector=tier+in+%28gold%2Csilver%29",
    "event=coin&actor=VM&payload=hello",
    "event=coin&actor=VM&payload=",
    "event=coin&actor=VM&payload=%7B%22a%22%3A+%5B1%2C2%5D%7D",
    "event=coin&actor=VM&timeout=5s",
    "event=coin&actor=VM&timeout=0",
    "event=coin&actor=VM&timeout=1.5&linger=250ms",
    "event=coin&actor=VM&id=4f0c9d2e-6b1a-4c3f-8f0e-1d2c3b4a5f6e",
    "event=coin&actor=VM&namespace=ci&output=yaml",
    "event=coin&actor=VM&mates=1&labels=a=b,c=d&selector=a&payload=x&timeout=5s&id=x&linger=1s&namespace=n&output=json",
]


@pytest.mark.parametrize("text", ORDINARY_QUERIES)
def test_an_ordinary_query_is_read_by_the_fast_reader(text: str) -> None:
    asked = read_query(text, LIMITS, "ci")
    assert asked is not None
    assert_equal_to_the_table(asked, by_table(text, b"", LIMITS))


@pytest.mark.parametrize(
    "text",
    ["", "event=coin", "actor=VM", "event=coin&actor=VM&mate=1", "event=coin&actor=VM&actor=VM", "event=e&actor=VM&"],
)
def test_an_odd_query_is_left_to_the_table(text: str) -> None:
    assert read_query(text, LIMITS, "") is None


@pytest.mark.parametrize(
    ("text", "calls_max"),
    [
        ("event=coin&actor=VM&mates=1", 16),
        ("event=coin&actor=VM&mates=1&timeout=5s&id=x", 26),
        ("event=coin&actor=VM&mates=1&labels=tier%3Dgold&selector=tier%3Dgold", 44),
    ],
)
def test_the_fast_reader_makes_few_calls(text: str, calls_max: int) -> None:
    """Calls, of Python and of C, are what reading costs; unlike time they can be counted exactly."""
    read_query(text, LIMITS, "")  # fills the caches
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        read_query(text, LIMITS, "")
    finally:
        sys.setprofile(None)
    assert calls <= calls_max


# --- bodies ------------------------------------------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "é", '"', "event"]), inner),
    max_leaves=5,
)
NUMBERS = [0, 1, 2, 5, 2.0, 1.5, -1, -0.0, 9999, 10_000, 1e30, 2**70, True, None]
VALUES = {name: texts_of(name) for name in TEXTS} | {
    "event": st.sampled_from(TEXTS["event"]) | st.lists(st.sampled_from(TEXTS["event"]), max_size=3),
    "mates": st.sampled_from(NUMBERS[:3]) | st.sampled_from(NUMBERS),
    "expect": st.sampled_from(TEXTS["expect"]) | st.lists(st.sampled_from(["A", "B", "C", "é", ""]), max_size=3),
    "labels": st.dictionaries(
        st.sampled_from(["a", "b", "actor", "example.org/a", "", "a,b", "a=b"]),
        st.sampled_from(["1", "", "é", "a,b=1"]),
    ),
    "payload": ANY_JSON,
    "timeout": st.sampled_from(NUMBERS) | texts_of("timeout"),
    "linger": st.sampled_from(NUMBERS) | texts_of("linger"),
}
RAW_VALUES = [
    *("NaN", "1e999", "-0", "01", '"\\ud800"', '"\\u0041"', '"\\q"', '"\x01"', "[1,]", '{"a":1,"a":2}', "tru", ""),
    *('{"a":1,"\\u0061":2}', '[{"a":1},{"a":2}]', "9" * 4_000, "-" + "9" * 4_000, "9" * 4_001, "[" * 64 + "]" * 64),
    *(
        "[" * 63 + "]" * 63,
        " 1.50 ",
        '"a:\\":"',
        '{"x":["a:",":"]}',
        "1 2",
        '"' + "9" * 5_000 + '"',
        "0." + "0" * 5_000,
    ),
]


@st.composite
def fields_of_a_body(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from([*OFFER_PARAMETERS[2:]] * 5 + ["event", "actor", "reason", "", "\\u0065vent"]))
    kind = draw(st.integers(0, 19))
    if kind == 0 or name not in VALUES:
        value = draw(st.sampled_from(RAW_VALUES))
    elif kind == 1:
        value = json.dumps(draw(ANY_JSON))
    else:
        value = json.dumps(draw(VALUES[name]), ensure_ascii=draw(st.booleans()))
    return f'"{name}":{draw(st.sampled_from(["", " "]))}{value}'


BODIES = st.tuples(
    st.sampled_from([['"event":"e"', '"actor":"A"'], ['"actor": "A"', '"event":["e","f"]']] * 4 + [[]]),
    st.lists(fields_of_a_body(), max_size=4, unique_by=lambda field: field.partition(":")[0])
    | st.lists(fields_of_a_body(), max_size=3),
    st.sampled_from([b""] * 20 + [b" ", b",", b"\xff", b"x"]),
).map(lambda parts: ("{" + ", ".join([*parts[0], *parts[1]]) + "}").encode() + parts[2])


@settings(max_examples=500)
@given(BODIES, LIMITS_LOWERED)
@example(b'{"event":"e","actor":"A","payload":{"a":1,"a":2}}', LIMITS)
@example(b'{"event":"e","actor":"A","payload":{"a":1,"\\u0061":2}}', LIMITS)
@example(b'{"event":"e","actor":"A","mates":2.0}', LIMITS)
@example(b'{"event":"e","actor":"A","payload":"\xff"}', LIMITS)
@example(b'\xef\xbb\xbf{"event":"e","actor":"A"}', LIMITS)
@example(b'{"event":"e","actor":"A","payload":-' + b"9" * 4_000 + b"}", LIMITS)
@example(b'{"event":"e","actor":"A","payload":' + b"[" * 64 + b"]" * 64 + b"}", LIMITS)
def test_a_body_that_the_fast_reader_accepts_is_read_alike_by_the_table(body: bytes, limits: Limits) -> None:
    asked = read_json_body(body, limits, "ci")
    if asked is not None:
        assert_equal_to_the_table(asked, by_table("", body, limits))


ORDINARY_BODIES = [
    {"event": "coin", "actor": "VM"},
    {"event": ["coin", "note"], "actor": "VM", "mates": 2},
    {"event": "coin", "actor": "VM", "expect": ["CUST", "BANK"]},
    {"event": "coin", "actor": "VM", "expect": "CUST, BANK"},
    {"event": "coin", "actor": "VM", "labels": {"tier": "gold", "example.org/zone": "eu"}, "selector": "tier=gold"},
    {"event": "coin", "actor": "VM", "labels": {}, "selector": ""},
    {"event": "coin", "actor": "VM", "payload": {"address": ["10.0.0.1", 8080], "note": 'a "quoted" word', "x": None}},
    {"event": "coin", "actor": "VM", "payload": None},
    {"event": "coin", "actor": "VM", "payload": "a" * 10_000},
    {"event": "coin", "actor": "VM", "timeout": 5, "linger": 0.5},
    {"event": "coin", "actor": "VM", "timeout": "5s", "linger": "250ms", "id": "4f0c9d2e", "namespace": "ci"},
    {"event": "coin", "actor": "VM", "labels": {"actor": "B"}, "payload": [{"event": 1}, {"event": 2}]},
    {"event": "coin", "actor": "VM", "payload": [[n] for n in range(100)]},
    {"event": "été", "actor": "VM", "output": "yaml"},
]


@pytest.mark.parametrize("fields", ORDINARY_BODIES, ids=str)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_ordinary_body_is_read_by_the_fast_reader(fields: dict[str, object], indent: int | None) -> None:
    body = json.dumps(fields, ensure_ascii=False, indent=indent).encode()
    asked = read_json_body(body, LIMITS, "ci")
    assert asked is not None
    assert_equal_to_the_table(asked, by_table("", body, LIMITS))


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"e","actor":"A","actor":"A"}',
        b'{"event":"e","actor":"A","labels":{"a":"1","a":"2"}}',
        b'{"event":"e","actor":"A","\\u0061ctor":"A"}',
        b'{"event":"e","actor":"A","mates":null}',
        b'{"event":"e","actor":"A","mate":1}',
        b'["e"]',
        b"",
    ],
)
def test_an_odd_body_is_left_to_the_table(body: bytes) -> None:
    assert read_json_body(body, LIMITS, "") is None


def test_the_fast_readers_know_every_parameter() -> None:
    query = "&".join(f"{name}={TEXTS[name][0]}" for name in OFFER_PARAMETERS if name != "expect")
    assert read_query(query, LIMITS, "") is not None
    assert by_table(query, b"", LIMITS) == read_query(query, LIMITS, "ci")
    assert by_table("", b"", LIMITS) == by_table("", b"{}", LIMITS)
    assert Texts(decode_form(query)).keys() == {*OFFER_PARAMETERS} - {"expect"}
