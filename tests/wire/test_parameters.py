"""Parameters arrive as texts or values. They are read, or refused with what was expected, what came, and where."""

from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncnet.errors import BadBodyError, ParameterError
from syncnet.wire.bodies import Texts, decode_body, decode_form
from syncnet.wire.durations import parse_duration_s
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import Asked, read_offer, read_page

JSON, YAML, FORM = "application/json", "application/yaml", "application/x-www-form-urlencoded"


def read(query: str = "", body: bytes = b"", content_type: str = JSON) -> Asked:
    return read_offer(decode_form(query), decode_body(content_type, body))


def test_all_parameters_as_texts() -> None:
    spec, payload, id, output = read(
        "event=coin&event=note&actor=VM&mates=2&labels=a=1,b.c/d=&selector=a+in+(1,2)&payload=%7B%22x%22&timeout=1.5s"
        "&id=x&namespace=ci&output=yaml"
    )
    assert (spec.events, spec.actor, spec.mates, spec.namespace) == (("coin", "note"), "VM", 2, "ci")
    assert spec.labels == {"actor": "VM", "a": "1", "b.c/d": ""}
    assert str(spec.selector) == "a in (1,2)"
    assert (spec.timeout_ns, spec.linger_ns) == (1_500_000_000, 10_000_000_000)
    assert (payload, id, output) == (b'"{\\"x\\""', "x", "yaml")


def test_the_defaults() -> None:
    spec, payload, id, output = read("event=coin&actor=VM")
    assert (spec.mates, spec.labels, str(spec.selector), spec.namespace) == (1, {"actor": "VM"}, "actor!=VM", "default")
    assert (spec.timeout_ns, spec.linger_ns, payload, id, output) == (None, 0, b'""', None, None)


@pytest.mark.parametrize("content_type", ["", FORM])
def test_an_empty_text_of_mates_labels_or_selector_is_the_default(content_type: str) -> None:
    text = "event=coin&actor=VM&mates=&labels=&selector="
    spec, *_ = read("", text.encode(), content_type) if content_type else read(text)
    assert spec == read("event=coin&actor=VM")[0]


def test_an_empty_text_in_the_query_leaves_the_parameter_to_the_body() -> None:
    assert read("event=e&actor=A&mates=", b'{"mates": 2}')[0].mates == 2


@pytest.mark.parametrize("content_type", [JSON, YAML])
def test_an_empty_selector_in_a_body_matches_everything(content_type: str) -> None:
    spec, *_ = read("", b'{"event": "e", "actor": "A", "selector": "", "labels": {}}', content_type)
    assert (str(spec.selector), spec.labels) == ("", {"actor": "A"})


def test_an_empty_roster_excludes_nothing() -> None:
    assert read("event=e&actor=A&expect=B&mates=&selector=")[0].roster == ("A", "B")


SAME = {
    JSON: b"""{"event": ["coin", "note"], "actor": "VM", "mates": 2, "labels": {"a": "1"}, "selector": "a in (1,2)",
               "payload": {"x": [1.50, 12345678901234567890, null]}, "timeout": 1.5, "namespace": "ci"}""",
    YAML: b"""
event: [coin, note]
actor: VM
mates: 2
labels:
  a: "1"
selector: a in (1,2)
payload: {x: [1.5, 12345678901234567890, null]}
timeout: 1500ms
namespace: ci
""",
    FORM: b"event=coin&event=note&actor=VM&mates=2&labels=a=1&selector=a in (1,2)&payload=x&timeout=1.5&namespace=ci",
}


@pytest.mark.parametrize("content_type", SAME)
def test_all_parameters_in_a_body(content_type: str) -> None:
    spec, payload, _, _ = read("", SAME[content_type], content_type)
    assert (spec.events, spec.actor, spec.mates, spec.namespace) == (("coin", "note"), "VM", 2, "ci")
    assert (spec.labels, str(spec.selector)) == ({"actor": "VM", "a": "1"}, "a in (1,2)")
    assert spec.timeout_ns == 1_500_000_000
    assert (
        payload
        == {
            JSON: b'{"x":[1.50,12345678901234567890,null]}',
            YAML: b'{"x":[1.5,12345678901234567890,null]}',
            FORM: b'"x"',
        }[content_type]
    )


def test_a_query_and_a_body_together() -> None:
    spec, payload, _, _ = read("event=coin&actor=VM", b'{"payload": true}')
    assert (spec.events, payload) == (("coin",), b"true")


def test_the_owner_is_part_of_the_spec() -> None:
    assert read_offer(decode_form("event=e&actor=A"), Texts(), owner="ci")[0].owner == "ci"


def test_a_roster_as_text_and_as_list() -> None:
    assert read("event=e&actor=A&expect=B, C")[0].roster == ("A", "B", "C")
    assert read("", b'{"event": "e", "actor": "A", "expect": ["B", "C"]}')[0].roster == ("A", "B", "C")
    assert read("", b'{"event": "e", "actor": "A", "expect": "B,C"}')[0].roster == ("A", "B", "C")


def test_yaml_is_the_core_schema_of_1_2() -> None:
    """What is a boolean, a date or a sexagesimal number in YAML 1.1 is a text."""
    body = b"event: 12:30:45\nactor: NO\npayload: [yes, off, 2001-01-01, 1_000, 0o17, 0x1f, ~, True, -1.5e3, '1']\n"
    spec, payload, _, _ = read("", body, YAML)
    assert (spec.events, spec.actor) == (("12:30:45",), "NO")
    assert payload == b'["yes","off","2001-01-01","1_000",15,31,null,true,-1500.0,"1"]'


REFUSED_TEXTS = [
    ("actor=VM", "event", "event: expected a value, got none; it is required"),
    ("event=e", "actor", "actor: expected a value, got none; it is required"),
    ("event=&actor=A", "event", "event: expected the name of an event, got an empty one"),
    ("event=e&actor=", "actor", "actor: expected the name of an actor, got an empty one"),
    ("event=e&actor=a b", "actor", "actor: expected the name of an actor (1 to 63 letters"),
    ("event=e&actor=A&mates=-1", "mates", 'mates: expected a whole number from 0 to 9999, got "-1"'),
    ("event=e&actor=A&mates=two", "mates", 'mates: expected a whole number from 0 to 9999, got "two"'),
    ("event=e&actor=A&mates=&mates=", "mates", "mates: expected once, got it 2 times"),
    ("event=e&actor=A&mates=1.0", "mates", 'got "1.0"'),
    ("event=e&actor=A&mates=%D9%A2", "mates", 'got "٢"'),
    ("event=e&actor=A&mates=99999999999", "mates", "from 0 to 9999, got 99999999999"),
    ("event=e&actor=A&mates=" + "9" * 5000, "mates", "expected a whole number from 0 to 9999"),
    ("event=e&actor=A&selector=x in a", "selector", 'selector: expected \'(\', got "a" at character 6, in "x in a"'),
    ("event=e&actor=A&labels=a", "labels", 'labels: expected key=value, got "a" (label 1 of 1)'),
    ("event=e&actor=A&labels=a=1,", "labels", 'labels: expected key=value, got "" (label 2 of 2)'),
    ("event=e&actor=A&labels=a=1,a=2", "labels", 'labels: expected keys that differ, got "a" twice (label 2 of 2)'),
    ("event=e&actor=A&labels=" + "," * 64, "labels", "labels: expected at most 64 labels, got 65"),
    ("event=e&actor=A&expect=" + "," * 9999, "expect", "expect: expected at most 9999 actors, got 10000"),
    ("event=e&actor=A&labels=-=1", "labels", "labels: expected a label key"),
    ("event=e&actor=A&expect=", "expect", "expect: expected the name of an actor, got an empty one"),
    ("event=e&actor=A&mate=2", "mate", 'mate: unknown parameter; did you mean "mates"?'),
    ("event=e&actor=A&zzz=2", "zzz", "zzz: unknown parameter; expected one of event, actor, mates,"),
    ("event=e&actor=A&id=", "id", "id: expected 1 to 128 visible ASCII characters, got none"),
    ("event=e&actor=A&id=a%20b", "id", 'id: expected 1 to 128 visible ASCII characters, got "a b"'),
    ("event=e&actor=A&id=%C3%A4", "id", "id: expected 1 to 128 visible ASCII characters"),
    ("event=e&actor=A&linger=2h", "linger", "linger: expected 0 to 3600 seconds, got 7200"),
    ("event=e&actor=A&linger=x", "linger", "linger: expected a duration"),
    ("event=e&actor=A&reason=x", "reason", "reason: unknown parameter"),
    ("event=e&actor=A&actor=B", "actor", "actor: expected once, got it 2 times"),
    ("event=e&actor=A&timeout=soon", "timeout", "timeout: expected a duration such as 250ms, 5s, 2m or a number"),
    ("event=e&actor=A&timeout=-1", "timeout", 'got "-1"'),
    ("event=e&actor=A&timeout=1e9", "timeout", 'got "1e9"'),
    ("event=e&actor=A&timeout=999999h", "timeout", "expected 0 to 31622400 seconds"),
    ("event=e&actor=A&output=xml", "output", 'output: expected json or yaml, got "xml"'),
    ("event=e&actor=A&payload=%FF", "payload", "payload: expected UTF-8, got the byte 0xff at character 1"),
    ("event=e%C3&actor=A", "event", "event: expected UTF-8, got the byte 0xc3 at character 2"),
]


@pytest.mark.parametrize(("query", "parameter", "message"), REFUSED_TEXTS, ids=[row[0][:40] for row in REFUSED_TEXTS])
def test_texts_that_are_refused(query: str, parameter: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read(query)
    assert caught.value.parameter == parameter
    assert message in str(caught.value)


REFUSED_VALUES = [
    (b'{"mates": "2"}', "mates", 'mates: expected a whole number from 0 to 9999, got "2"'),
    (b'{"mates": true}', "mates", "got true"),
    (b'{"mates": 2.0}', "mates", "got 2.0"),
    (b'{"mates": 99999999999}', "mates", "got 99999999999"),
    (b'{"mates": 1' + b"0" * 400 + b"}", "mates", "got one of more than 20 digits"),
    (b'{"labels": "a=1"}', "labels", 'labels: expected a map of texts, got "a=1"'),
    (b'{"labels": {"a": 1}}', "labels", 'labels: expected a map of texts, got {"a":1}'),
    (b'{"event": ["a", 2]}', "event", "event: expected a text or a list of texts"),
    (b'{"event": []}', "event", "event: expected the name of an event, got none"),
    (b'{"actor": null}', "actor", "actor: expected a text, got null"),
    (b'{"selector": {}}', "selector", "selector: expected a text, got {}"),
    (b'{"expect": [1]}', "expect", "expect: expected a text or a list of texts"),
    (b'{"timeout": -0.5}', "timeout", "expected 0 to 31622400 seconds, got -0.5"),
    (b'{"timeout": 1' + b"0" * 400 + b"}", "timeout", "got one of more than 20 digits"),
    (b'{"timeout": [1]}', "timeout", "timeout: expected a duration"),
    (b'{"output": 1}', "output", "output: expected a text, got 1"),
    (b'{"mate": 1}', "mate", 'mate: unknown parameter; did you mean "mates"?'),
    (b'{"mates": 1, "mates": 2}', "mates", "mates: expected once, got it twice in one object"),
    (b'{"labels": {"a": "1", "a": "2"}}', "a", "a: expected once, got it twice in one object"),
]


@pytest.mark.parametrize(
    ("fields", "parameter", "message"), REFUSED_VALUES, ids=[str(row[0][:40]) for row in REFUSED_VALUES]
)
def test_values_that_are_refused(fields: bytes, parameter: str, message: str) -> None:
    given = {"event": b'"event": "e"', "actor": b'"actor": "A"'}
    needed = [field for name, field in given.items() if name != parameter]
    body = b"{" + b", ".join([*needed, fields[1:]])
    with pytest.raises(ParameterError) as caught:
        read("", body)
    assert caught.value.parameter == parameter
    assert message in str(caught.value)


@given(
    st.lists(st.sampled_from(["a", "b", "=", "&", ";", "+", "%41", "%", "%ff", " ", "\n", "é", "/", "x=1"])).map(
        "".join
    )
)
@example("=&")
def test_a_form_is_read_as_the_standard_library_reads_it(text: str) -> None:
    """Also without escapes, where `decode_form` does not call the standard library."""
    expected: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        expected.setdefault(name, []).append(value)
    is_utf8 = not any("\udc80" <= character <= "\udcff" for character in unquote_plus(text, errors="surrogateescape"))
    if is_utf8:
        assert decode_form(text) == expected
    else:
        with pytest.raises(ParameterError, match="expected UTF-8"):
            decode_form(text)


@pytest.mark.parametrize("text", ["a=1&b=2&c=3", "a=%31&b=2&c=3", "&&", "%20&&"])
def test_too_many_parameters(text: str) -> None:
    assert len(decode_form(text, 3)) <= 3
    with pytest.raises(BadBodyError, match="expected at most 2 parameters, got more"):
        decode_form(text, 2)


def test_a_parameter_in_the_query_and_in_the_body_is_given_twice() -> None:
    with pytest.raises(ParameterError, match="actor: expected once, got it both in the query and in the body"):
        read("event=e&actor=A", b'{"actor": "A"}')


BOMB = b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (98 + n, 98 + n, 97 + n, 97 + n) for n in range(20))

REFUSED_BODIES = [
    (JSON, b"{", "expected a JSON object with parameters, but: "),
    (JSON, b"[1]", "Expected `object`, got `array`"),
    (JSON, b'"x"', "Expected `object`, got `str`"),
    (JSON, b'{"payload": NaN}', "malformed"),
    (JSON, b'{"payload": "\\ud800"}', "expected a JSON object with parameters, but: "),
    (JSON, b'{"payload": ' + b"[" * 65 + b"]" * 65 + b"}", "expected at most 64 levels of nesting, got more"),
    (JSON, b'{"payload": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "expected at most 64 levels of nesting, got very"),
    (JSON, b"[" * 99 + b'"' + b'\\"' * 200_000, "expected a JSON object with parameters, but: "),
    (JSON, b'{"payload": ' + b"9" * 5000 + b"}", "expected whole numbers of at most 4000 digits, got one of 5000"),
    (JSON, b'{"a": "\xff"}', "expected UTF-8, got the byte 0xff at byte 8"),
    (YAML, b"a: [1", "expected YAML, but: did not find expected ',' or ']', at line 2, column 1"),
    (YAML, b"- a", "expected a YAML map with parameters, got a list"),
    (YAML, b"text", "expected a YAML map with parameters, got a str"),
    (YAML, BOMB, "expected no anchors in YAML, got one, at line 1, column 4"),
    (YAML, b"a: *a", "expected no aliases in YAML, got one, at line 1, column 4"),
    (YAML, b"a: !!python/object/apply:os.system [ls]", "expected no tags in YAML, got one, at line 1, column 4"),
    (YAML, b"payload: !x y", "expected no tags in YAML"),
    (YAML, b"a: 1\n---\nb: 2", "expected one YAML document, got another, at line 2"),
    (YAML, b"1: 2", "expected a text as name in a map, got something else; put it in quotes, at line 1, column 1"),
    (YAML, b"[a]: b", "expected a text as name in a map"),
    (YAML, b"payload: .inf", 'expected a number that JSON has, got ".inf"'),
    (YAML, b"payload: 1e999", 'expected a number that JSON has, got "1e999"'),
    (YAML, b"payload: " + b"[" * 64 + b"]" * 64, "expected at most 64 levels of nesting, got more"),
    (YAML, b"a: \x01", "expected YAML, but: "),
    (YAML, b"\xff\xfe", "expected UTF-8"),
    (FORM, b'{"event": "e"}', "say so with the header 'Content-Type: application/json'"),
    (FORM, b"&".join([b"event=e"] * 257), "expected at most 256 parameters, got more"),
    ("text/csv", b"a,b", 'expected the content type application/json, application/yaml or application/x-www-form-'),
    ("", b"a", "got none"),
    ("application/json; charset=latin-1", b"{}", 'expected the charset utf-8, got "latin-1"'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body", "message"), REFUSED_BODIES, ids=[str(r[1][:20]) for r in REFUSED_BODIES]
)
def test_bodies_that_are_refused(content_type: str, body: bytes, message: str) -> None:
    with pytest.raises(BadBodyError) as caught:
        decode_body(content_type, body)
    assert message in str(caught.value)


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "0o" + "7" * 5000])
def test_a_number_of_thousands_of_digits_is_a_text_in_yaml(number: str) -> None:
    assert decode_body(YAML, f"payload: {number}".encode()) == {"payload": f'"{number}"'.encode()}


def test_a_name_twice_in_yaml() -> None:
    with pytest.raises(ParameterError, match="a: expected once, got it twice in one map"):
        decode_body(YAML, b"a: 1\na: 2")


@pytest.mark.parametrize("content_type", [JSON, YAML, FORM, "text/csv", ""])
def test_an_empty_body_has_no_parameters(content_type: str) -> None:
    assert decode_body(content_type, b"") == {}


@pytest.mark.parametrize("body", [b"# nothing\n", b"---\n", b"~"])
def test_an_empty_yaml_document_has_no_parameters(body: bytes) -> None:
    assert decode_body(YAML, body) == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5),
        ("2m", 120),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1m0.5s", 60.5),
        ("7", 7),
        ("0", 0),
        ("0.25", 0.25),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s("timeout", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 s", "5d", "-5s", "+5", "1e3", ".5", "5.", "nan", "5s5", "٥"])
def test_texts_that_are_not_durations(text: str) -> None:
    with pytest.raises(ParameterError, match="expected a duration"):
        parse_duration_s("timeout", text)


@pytest.mark.parametrize(
    ("accept", "output"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/yaml", "yaml"),
        ("text/yaml", "yaml"),
        ("Application/YAML; q=0.9, */*; q=0.1", "yaml"),
        ("application/yaml, application/json", "json"),
        ("application/json;q=0.5, application/yaml;q=0.8", "yaml"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("image/png", "json"),
        ("application/yaml;q=nonsense", "yaml"),
    ],
)
def test_the_format_that_a_client_prefers(accept: str, output: str) -> None:
    assert preferred_output(accept) == output


def test_the_page_of_a_request() -> None:
    assert read_page(Texts()) == ("default", 0, 1_000)
    assert read_page(decode_form("namespace=ci&after=7&limit=1")) == ("ci", 7, 1)
    with pytest.raises(ParameterError, match='namespac: unknown parameter; did you mean "namespace"'):
        read_page(decode_form("namespac=ci"))
