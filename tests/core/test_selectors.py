"""Selectors have exactly the grammar and the meaning of labels.Parse in k8s.io/apimachinery."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncnet.core.labels import check_key, check_value
from syncnet.core.limits import LIMITS
from syncnet.core.selectors import (
    Selector,
    _parse_simple,
    _Parser,
    bound_met,
    check_met,
    not_actor,
    parse_selector,
)
from syncnet.errors import LabelError, SelectorError
from tests.core import plain_selectors

# selector, canonical form, labels that match, labels that do not match
MEANINGS: list[tuple[str, str, list[dict[str, str]], list[dict[str, str]]]] = [
    ("", "", [{}, {"x": "a"}], []),
    ("  \t\r\n", "", [{}], []),
    ("x=a", "x=a", [{"x": "a"}, {"x": "a", "y": "b"}], [{}, {"x": "b"}, {"x": ""}]),
    ("x==a", "x=a", [{"x": "a"}], [{"x": "b"}]),
    ("x!=a", "x!=a", [{}, {"x": "b"}, {"x": ""}], [{"x": "a"}]),
    ("x in (a,b)", "x in (a,b)", [{"x": "a"}, {"x": "b"}], [{}, {"x": "c"}]),
    ("x in (b,a,b)", "x in (a,b)", [{"x": "a"}], [{}]),
    ("x notin (a,b)", "x notin (a,b)", [{}, {"x": "c"}], [{"x": "a"}]),
    ("x", "x", [{"x": ""}, {"x": "a"}], [{}, {"y": "a"}]),
    ("!x", "!x", [{}, {"y": "a"}], [{"x": ""}]),
    ("! x", "!x", [{}], [{"x": "a"}]),
    ("x>1", "x>1", [{"x": "2"}, {"x": "10"}], [{}, {"x": "1"}, {"x": "a"}, {"x": ""}]),
    ("x<5", "x<5", [{"x": "4"}, {"x": "004"}], [{}, {"x": "5"}, {"x": "1.5"}]),
    ("z<5,x>1", "x>1,z<5", [{"x": "2", "z": "4"}], [{"x": "2"}]),
    ("x=a,y!=b", "x=a,y!=b", [{"x": "a"}], [{"x": "a", "y": "b"}]),
    ("y=b,x=a,x=a", "x=a,y=b", [{"x": "a", "y": "b"}], [{"x": "a"}]),
    ("x=a,x=b", "x=a,x=b", [], [{"x": "a"}, {"x": "b"}]),
    # empty values
    ("x=", "x=", [{"x": ""}], [{}, {"x": "a"}]),
    ("x= ,z= ", "x=,z=", [{"x": "", "z": ""}], [{"x": ""}]),
    ("x!=", "x!=", [{}, {"x": "a"}], [{"x": ""}]),
    ("x in ()", "x=", [{"x": ""}], [{}, {"x": "a"}]),
    ("x notin ()", "x!=", [{}, {"x": "a"}], [{"x": ""}]),
    ("x in (,)", "x=", [{"x": ""}], [{}]),
    ("x in (,a)", "x in (,a)", [{"x": ""}, {"x": "a"}], [{}]),
    ("x in (a,)", "x in (,a)", [{"x": ""}, {"x": "a"}], [{}]),
    ("x in (a,,b)", "x in (,a,b)", [{"x": ""}, {"x": "b"}], [{}]),
    ("x in (a,,,b)", "x in (,a,b)", [{"x": ""}], [{}]),
    # keywords of the grammar as keys and values
    ("x in (,,)", "x=", [{"x": ""}], [{}, {"x": "a"}]),
    ("x in (a,,)", "x in (,a)", [{"x": ""}, {"x": "a"}], [{}, {"x": "b"}]),
    ("x notin (a,,)", "x notin (,a)", [{}, {"x": "b"}], [{"x": ""}, {"x": "a"}]),
    ("in in (in)", "in=in", [{"in": "in"}], [{}]),
    ("notin notin (notin,in)", "notin notin (in,notin)", [{}], [{"notin": "in"}]),
    ("in", "in", [{"in": ""}], [{}]),
    ("!notin", "!notin", [{}], [{"notin": ""}]),
    ("x=in,in=notin", "in=notin,x=in", [{"x": "in", "in": "notin"}], [{}]),
    ("x,in", "in,x", [{"x": "", "in": ""}], [{"x": ""}]),
    # whitespace between tokens
    (" x\t=\na , y\r in ( b , c ) ", "x=a,y in (b,c)", [{"x": "a", "y": "c"}], [{"x": "a"}]),
    ("x in(a)", "x=a", [{"x": "a"}], [{}]),
    ("!x,y", "!x,y", [{"y": ""}], [{"x": "", "y": ""}]),
    # integers at the limits of 64 bits, in the label and in the selector
    ("x<9223372036854775807", "x<9223372036854775807", [{"x": "9223372036854775806"}], [{"x": "9223372036854775808"}]),
    ("x>0", "x>0", [{"x": "9223372036854775807"}], [{"x": "9223372036854775808"}, {"x": "99999999999999999999999"}]),
    ("x>0000000000000000000000000001", "x>1", [{"x": "2"}, {"x": "0" * 60 + "2"}], [{"x": "01"}]),
    # keys with a prefix
    ("example.com/x=a", "example.com/x=a", [{"example.com/x": "a"}], [{"x": "a"}]),
    ("!k8s.io/a_b.c-d", "!k8s.io/a_b.c-d", [{}], [{"k8s.io/a_b.c-d": ""}]),
]


@pytest.mark.parametrize(("text", "canonical", "matching", "others"), MEANINGS, ids=[row[0] for row in MEANINGS])
def test_a_selector_has_its_canonical_form_and_meaning(
    text: str, canonical: str, matching: list[dict[str, str]], others: list[dict[str, str]]
) -> None:
    selector = parse_selector(text)
    assert str(selector) == canonical
    assert [labels for labels in matching if not selector.matches(labels)] == []
    assert [labels for labels in others if selector.matches(labels)] == []


REFUSED = [
    (",", 1, "expected '!' or a label key, got \",\""),
    ("x,", 3, "expected '!' or a label key, got the end"),
    (",x", 1, "expected '!' or a label key"),
    ("x=a,,y=b", 5, "expected '!' or a label key"),
    ("x=,", 4, "expected '!' or a label key, got the end"),
    ("!", 2, "expected a label key, got the end"),
    ("!!x", 2, 'expected a label key, got "!"'),
    ("!x=a", 3, "expected ',' or the end, got \"=\""),
    ("x y", 3, "expected '=', '==', '!='"),
    ("x=a b", 5, "expected ',' or the end, got \"b\""),
    ("x=a=b", 4, "expected ',' or the end, got \"=\""),
    ("x===a", 4, 'expected a label value, got "="'),
    ("x=!a", 3, 'expected a label value, got "!"'),
    ("x=(a)", 3, 'expected a label value, got "("'),
    ("x in a", 6, "expected '(', got \"a\""),
    ("x in", 5, "expected '(', got the end"),
    ("x in (a", 8, "expected ',' or ')', got the end"),
    ("x in (a b)", 9, "expected ',' or ')', got \"b\""),
    ("x in (,", 8, "expected ',' or a label value, got the end"),
    ("x in (=)", 7, "expected ',' or a label value, got \"=\""),
    ("x in (a))", 9, "expected ',' or the end, got \")\""),
    ("x>", 3, "expected a whole number of at most 64 bits after '>', got \"\""),
    ("x>a", 3, "expected a whole number of at most 64 bits"),
    ("x>=5", 3, 'expected a label value, got "="'),
    ("x>1.5", 3, "expected a whole number of at most 64 bits"),
    ("x>9223372036854775808", 3, "expected a whole number of at most 64 bits"),
    ("x<-1", 3, "expected a label value"),
    ("x=-a", 3, "beginning and ending with a letter or digit"),
    ("x=a_", 3, "expected a label value"),
    ("x=" + "a" * 64, 3, "expected a label value (1 to 63"),
    ("x in (a,ü)", 9, "expected a label value"),
    ("-x=a", 1, "expected a label key"),
    ("a/b/c=d", 1, "expected a label key whose prefix is a DNS subdomain"),
    ("/b=c", 1, "expected a label key whose prefix"),
    ("Ab.c/x", 1, "expected a label key whose prefix"),
    ("a/=c", 1, "expected a label key"),
    ("a..b/x", 1, "expected a label key whose prefix"),
    ("x\x00=a", 1, 'got "x\\x00"'),
    ("x\x0b=a", 1, 'got "x\\x0b"'),
    (
        "x=a" + ",x=a" * LIMITS.selector_characters_max,
        LIMITS.selector_characters_max + 1,
        "expected at most 4096 characters",
    ),
]


@pytest.mark.parametrize(("text", "character", "message"), REFUSED, ids=[row[0][:20] for row in REFUSED])
def test_an_invalid_selector_raises_an_error_with_its_position(text: str, character: int, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_selector(text)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f" at character {character}")
    assert caught.value.position == character - 1


VALUES = ["", "a", "A-1_b.c", "0", "7", "42", "9223372036854775807", "9223372036854775808", "in", "x" * 63]
KEYS = ["k", "actor", "in", "notin", "example.com/Name_1"]


Part = tuple[str, str, list[str]]
"""A key, an operator, and the values."""


def parts() -> st.SearchStrategy[Part]:
    keys = st.sampled_from(KEYS)
    values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4)
    one_value = st.lists(st.sampled_from(VALUES), min_size=1, max_size=1)
    number = st.lists(st.sampled_from(["0", "7", "42", "9223372036854775807"]), min_size=1, max_size=1)
    return st.one_of(
        st.tuples(keys, st.sampled_from(["in", "notin"]), values),
        st.tuples(keys, st.sampled_from(["=", "==", "!="]), one_value),
        st.tuples(keys, st.sampled_from([">", "<"]), number),
        st.tuples(keys, st.sampled_from(["exists", "!"]), st.just([])),
    )


def written(part: Part, blank: str = "") -> str:
    """Return the text of one part, with `blank` between any two tokens."""
    key, operator, values = part
    match operator:
        case "in" | "notin":
            tokens = [key, f" {operator} ", "(", f"{blank},{blank}".join(values), ")"]
        case "exists":
            tokens = [key]
        case "!":
            tokens = ["!", key]
        case _:
            tokens = [key, operator, *values]
    return blank.join(tokens)


def selector_of(those: list[Part]) -> Selector:
    return parse_selector(",".join(map(written, those)))


def oracle(those: list[Part], labels: Mapping[str, str]) -> bool:
    """Evaluate a selector as the Kubernetes documentation defines each operator."""
    return all(plain_selectors.met(key, operator, values, labels.get(key)) for key, operator, values in those)


SELECTORS = st.lists(parts(), max_size=5)


@given(SELECTORS, st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)))
def test_evaluation_agrees_with_the_oracle(those: list[Part], labels: dict[str, str]) -> None:
    """The evaluators of one requirement, of a whole selector and of its printed text agree with the oracle."""
    selector = selector_of(those)
    expected = oracle(those, labels)
    assert selector.matches(labels) == expected
    assert plain_selectors.selects(str(selector), labels) == expected
    met = [check_met(each, labels) for each in selector.requirements]
    within = [bound_met(each, labels) for each in selector.bounds]
    assert (all(met) and all(within)) == expected


@given(SELECTORS)
def test_a_printed_selector_parses_to_the_same_selector(those: list[Part]) -> None:
    selector = selector_of(those)
    again = parse_selector(str(selector))
    assert again == selector
    assert hash(again) == hash(selector)
    assert (again.steps, again.weight_bytes) == (selector.steps, selector.weight_bytes)


@given(SELECTORS, st.randoms(use_true_random=False))
def test_the_order_of_the_parts_and_repetitions_make_no_difference(those: list[Part], chance: random.Random) -> None:
    shuffled = [*those, *those[:2]]
    chance.shuffle(shuffled)
    assert selector_of(shuffled) == selector_of(those)
    assert str(selector_of(shuffled)) == str(selector_of(those))


@given(SELECTORS, st.sampled_from([" ", "\t", "\r\n", "  "]))
def test_whitespace_between_tokens_is_ignored(those: list[Part], blank: str) -> None:
    loose = f"{blank},{blank}".join(written(part, blank) for part in those)
    assert parse_selector(f"{blank}{loose}{blank}") == selector_of(those)


@given(SELECTORS.map(lambda those: ",".join(map(written, those))) | st.text(alphabet="xyn,=!<> ()1-", max_size=12))
@example("x=a,y!=b")
@example("in==notin")
@example("x=" + "a" * 64)
def test_the_simple_parser_accepts_only_what_the_full_parser_accepts_with_an_equal_result(text: str) -> None:
    simple = _parse_simple(text)
    if simple is None:
        return
    full = _Parser(text).selector()
    assert simple == full
    assert str(simple) == str(full)
    assert (simple.steps, simple.weight_bytes) == (full.steps, full.weight_bytes)


@pytest.mark.parametrize("text", ["x=a", "x==a", "x!=a", "x=a,y!=b,x=c", "in=notin"])
def test_the_simple_parser_parses_lists_of_equalities(text: str) -> None:
    assert _parse_simple(text) is not None


@pytest.mark.parametrize("text", ["", ",", "x", "x=", "x =a", "x=a,", "a.b/x=a", "x=a\n", "x>1", "x in (a)", "!x"])
def test_the_simple_parser_leaves_every_other_text_to_the_full_parser(text: str) -> None:
    assert _parse_simple(text) is None


@given(st.text(alphabet="xyin,=!()<> \t1aé-", max_size=30))
def test_random_text_is_parsed_or_raises_an_error_with_a_position(text: str) -> None:
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse_selector(str(selector)) == selector


def test_the_default_selector_excludes_offers_of_the_same_actor() -> None:
    assert str(not_actor("VM")) == "actor!=VM"
    parsed = parse_selector("actor!=VM")
    assert not_actor("VM") == parsed
    assert (not_actor("VM").steps, not_actor("VM").weight_bytes) == (parsed.steps, parsed.weight_bytes)


@pytest.mark.parametrize("key", ["a", "A.b-c_d", "example.com/a", "a" * 63, "x" * 253 + "/a", "1"])
def test_valid_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "-a", "a-", "a" * 64, "x" * 254 + "/a", "a b", "a\n", "é", "a/b/c", "/a", "a/"])
def test_invalid_keys(key: str) -> None:
    with pytest.raises(LabelError, match="expected a label key"):
        check_key(key)


@pytest.mark.parametrize("value", ["a\n", "_", ".a", "a b", "a" * 64, "ä", "a/b"])
def test_invalid_values(value: str) -> None:
    with pytest.raises(LabelError, match="expected a label value"):
        check_value(value)
