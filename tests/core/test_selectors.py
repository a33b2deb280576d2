"""Selectors have exactly the grammar and the meaning of labels.Parse in k8s.io/apimachinery."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.core.labels import check_key, check_value
from syncnet.core.limits import LIMITS
from syncnet.core.selectors import Requirement, Selector, not_actor, parse_selector
from syncnet.errors import LabelError, SelectorError

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
    ("x in ()", "x in ()", [{"x": ""}], [{}, {"x": "a"}]),
    ("x notin ()", "x notin ()", [{}, {"x": "a"}], [{"x": ""}]),
    ("x in (,)", "x in ()", [{"x": ""}], [{}]),
    ("x in (,a)", "x in (,a)", [{"x": ""}, {"x": "a"}], [{}]),
    ("x in (a,)", "x in (,a)", [{"x": ""}, {"x": "a"}], [{}]),
    ("x in (a,,b)", "x in (,a,b)", [{"x": ""}, {"x": "b"}], [{}]),
    ("x in (a,,,b)", "x in (,a,b)", [{"x": ""}], [{}]),
    # keywords of the grammar as keys and values
    ("in in (in)", "in in (in)", [{"in": "in"}], [{}]),
    ("notin notin (notin,in)", "notin notin (in,notin)", [{}], [{"notin": "in"}]),
    ("in", "in", [{"in": ""}], [{}]),
    ("!notin", "!notin", [{}], [{"notin": ""}]),
    ("x=in,in=notin", "in=notin,x=in", [{"x": "in", "in": "notin"}], [{}]),
    ("x,in", "in,x", [{"x": "", "in": ""}], [{"x": ""}]),
    # whitespace between tokens
    (" x\t=\na , y\r in ( b , c ) ", "x=a,y in (b,c)", [{"x": "a", "y": "c"}], [{"x": "a"}]),
    ("x in(a)", "x in (a)", [{"x": "a"}], [{}]),
    ("!x,y", "!x,y", [{"y": ""}], [{"x": "", "y": ""}]),
    # integers at the limits of 64 bits, in the label and in the selector
    ("x<9223372036854775807", "x<9223372036854775807", [{"x": "9223372036854775806"}], [{"x": "9223372036854775808"}]),
    ("x>0", "x>0", [{"x": "9223372036854775807"}], [{"x": "9223372036854775808"}, {"x": "99999999999999999999999"}]),
    (
        "x>0000000000000000000000000001",
        "x>0000000000000000000000000001",
        [{"x": "2"}, {"x": "0" * 60 + "2"}],
        [{"x": "01"}],
    ),
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
    ("x in (,,)", 9, "expected ',' or a label value, got \")\""),
    ("x in (a,,)", 10, "expected ',' or a label value, got \")\""),
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


def requirements() -> st.SearchStrategy[Requirement]:
    keys = st.sampled_from(KEYS)
    values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique=True).map(sorted).map(tuple)
    return st.one_of(
        st.builds(Requirement, keys, st.sampled_from(["in", "notin"]), values),
        st.builds(Requirement, keys, st.sampled_from(["=", "!="]), st.tuples(st.sampled_from(VALUES))),
        st.builds(Requirement, keys, st.sampled_from([">", "<"]), st.tuples(st.sampled_from(["0", "7", "42"]))),
        st.builds(Requirement, keys, st.sampled_from(["exists", "!"])),
    )


def selectors() -> st.SearchStrategy[Selector]:
    return st.lists(requirements(), max_size=5, unique=True).map(lambda parts: Selector(tuple(sorted(parts))))


def oracle(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Evaluate a selector as the Kubernetes documentation defines each operator."""
    for r in selector.requirements:
        present = r.key in labels
        value = labels.get(r.key, "")
        number = int(value) if value.isdecimal() and int(value) < 2**63 else None
        matches = {
            "=": present and value == r.values[0] if r.values else False,
            "!=": not present or value != r.values[0] if r.values else False,
            "in": present and value in set(r.values),
            "notin": not present or value not in set(r.values),
            "exists": present,
            "!": not present,
            ">": present and number is not None and number > int(r.values[0]) if r.operator == ">" else False,
            "<": present and number is not None and number < int(r.values[0]) if r.operator == "<" else False,
        }[r.operator]
        if not matches:
            return False
    return True


@given(selectors(), st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)))
def test_evaluation_agrees_with_the_oracle(selector: Selector, labels: dict[str, str]) -> None:
    assert selector.matches(labels) == oracle(selector, labels)


@given(selectors())
def test_a_printed_selector_parses_to_the_same_selector(selector: Selector) -> None:
    assert parse_selector(str(selector)) == selector


@given(selectors(), st.sampled_from([" ", "\t", "\r\n", "  "]))
def test_whitespace_between_tokens_is_ignored(selector: Selector, blank: str) -> None:
    loose = str(selector)
    for symbol in ("(", ")", ",", "!=", "=", ">", "<"):
        loose = loose.replace(symbol, f"{blank}{symbol}{blank}")
    loose = loose.replace(f"!{blank}{blank}=", "!=").replace(f"!{blank}=", "!=")
    assert parse_selector(loose) == selector


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
    assert not_actor("VM") == parse_selector("actor!=VM")


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
