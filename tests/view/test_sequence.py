"""Sequence diagrams: golden files for the vending machine, and names that try to be more than names.

`pytest tests/view/test_sequence.py --rewrite` writes the golden files; look at them, and at the picture.
"""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.view.sequence import Row, as_mermaid, as_svg, as_text, rows_of

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"
VENDING = [
    {
        "sync": number,
        "event": event,
        "at": f"2026-01-02T03:04:0{number}.000000Z",
        "members": [{"actor": "VM"}, {"actor": "CUST"}],
    }
    for number, event in ((1, "coin"), (2, "choc"))
]
AT = "2026-01-02T03:04:05.000000Z"
MORE = [
    Row(8, AT, "start", ("db", "cache", "app")),
    Row(9, AT, "migrate", ("db", "app")),
    Row(10, AT, "vote", ("app", "app", "cache")),
    Row(11, AT, "alone", ("cache",)),
    Row(12, AT, "a/rather-long.name-of-an-event-that-is-cut-in-the-picture", ("app", "an-actor-with-a-long-name")),
]
HOSTILE = [
    'a"b',
    "<script>alert(1)</script>",
    "]]>&amp;&#10;",
    "a\nNote over p0: injected",
    "a; participant evil",
    "a\r\nend",
    "%%{init: {}}%%",
    "a\u2028b",
    "\u202eright-to-left",
    "\x1b[31mred",
    "a\x00b\ufffe",
    "#59;",
    "p0->>p1: hello",
    "日本語",
    "e\u0301",
    "",
    " ",
]


@pytest.mark.parametrize(
    ("name", "draw"), [("vending.txt", as_text), ("vending.mmd", as_mermaid), ("vending.svg", as_svg)]
)
def test_the_vending_machine(name: str, draw: Callable[[list[Row]], str], request: pytest.FixtureRequest) -> None:
    drawn = draw(rows_of(VENDING))
    if request.config.getoption("--rewrite"):
        (GOLDEN / name).write_text(drawn)
    assert drawn == (GOLDEN / name).read_text()


@pytest.mark.parametrize(("name", "draw"), [("more.txt", as_text), ("more.mmd", as_mermaid), ("more.svg", as_svg)])
def test_several_parties(name: str, draw: Callable[[list[Row]], str], request: pytest.FixtureRequest) -> None:
    """Members that stand apart, two of one name, one alone, and names that are too long."""
    drawn = draw(MORE)
    if request.config.getoption("--rewrite"):
        (GOLDEN / name).write_text(drawn)
    assert drawn == (GOLDEN / name).read_text()


def test_a_note_of_mermaid_names_its_members_where_it_spans_others_or_one_is_there_twice() -> None:
    rows = [Row(1, AT, "all", ("A", "B", "C")), Row(2, AT, "twice", ("A", "A", "C")), Row(3, AT, "two", ("B", "A"))]
    notes = [line.partition(": ")[2] for line in as_mermaid(rows).splitlines() if "Note" in line]
    assert notes == ["1: all", "2: twice (A, A, C)", "3: two"]


def rows_named(event: str, actor: str) -> list[Row]:
    return [Row(1, AT, event, ("A", actor)), Row(2, AT, "plain", ("A", "B"))]


def check(event: str, actor: str) -> None:
    rows = rows_named(event, actor)
    plain = rows_named("event", "actor")
    text = as_text(rows)
    assert text.count("\n") == 3
    assert text.replace("\n", "").isprintable() or "\ufffd" in text or " " in text
    assert not any(c in text for c in "\x1b\r\x00\u2028\u202e")

    mermaid = as_mermaid(rows).splitlines()
    assert [line.split(" ")[:7] for line in as_mermaid(plain).splitlines() if "Note" in line] == [
        line.split(" ")[:7] for line in mermaid if line.startswith("    Note")
    ]
    actors = {"A", actor, "B"}
    assert len(mermaid) == 1 + len(actors) + 2
    for line in mermaid:
        assert not set(line.partition(" as ")[2]) & set("<>\"'`{}[]()%\\:|&=\r\x1b\u2028\u202e"), line

    root = ElementTree.fromstring(as_svg(rows))
    allowed = {"svg", "style", "rect", "line", "text", "g", "title", "circle"}
    assert {element.tag for element in root.iter()} <= {SVG + name for name in allowed}
    assert not any(name.startswith("on") or "href" in name for element in root.iter() for name in element.attrib)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(name: str) -> None:
    check(name, "actor")
    check("event", name)
    check(name, name)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_name_stays_a_name(event: str, actor: str) -> None:
    check(event, actor)


def test_the_svg_shows_the_names_as_they_are() -> None:
    root = ElementTree.fromstring(as_svg([Row(1, AT, "<b>&", ("A", '"x"'))]))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "1  <b>&" in texts
    assert '"x"' in texts
    assert [element.text for element in root.iter(f"{SVG}title")] == [f'1 <b>&: A, "x", {AT}']


@pytest.mark.parametrize("draw", [as_text, as_mermaid, as_svg])
def test_no_syncs(draw: Callable[[list[Row]], str]) -> None:
    assert draw([])
