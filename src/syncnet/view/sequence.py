"""Sequence diagrams of syncs: a column for each actor, a row for each sync, as text, Mermaid or SVG.

Pure functions of the pages of `/trace`. The names come from clients, and are escaped: whatever an actor or an event is
called, it is shown and never interpreted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final, NamedTuple

__all__ = ["Row", "as_mermaid", "as_svg", "as_text", "rows_of"]

_LINE_ENDS: Final = ("Cc", "Cf", "Zl", "Zp", "Cs")
_REPLACED: Final = "\ufffd"

_COLUMN: Final = 140  # pixels
_ROW: Final = 36
_MARGIN: Final = 24
_LABELS: Final = 220  # for the events, left of the columns
_BOX_HEIGHT: Final = 28
_DOT: Final = 5
_CHARACTER: Final = 7.3  # the width of a monospace character of 12 pixels
_STYLE: Final = (
    "text{font:12px ui-monospace,monospace;fill:#1f2328}.box{fill:#f6f8fa;stroke:#59636e}"
    ".life{stroke:#d1d9e0;stroke-dasharray:4 3}.sync{stroke:#0969da;stroke-width:2}.dot{fill:#0969da}"
    ".time{fill:#59636e}"
)


class Row(NamedTuple):
    """One sync: its number, its time (RFC 3339), its event, and the actors of its members in order of arrival."""

    sync: int
    at: str
    event: str
    actors: tuple[str, ...]


def rows_of(syncs: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of the syncs of a page of `/trace`."""
    return [
        Row(sync["sync"], sync["at"], sync["event"], tuple(member["actor"] for member in sync["members"]))
        for sync in syncs
    ]


# --- text ------------------------------------------------------------------------------------------------------


def as_text(rows: Iterable[Row]) -> str:
    """Return a table: number, time and event, then a column for each actor, with `●` where it was a member.

    Two members of one name are `●2`. Members that stand apart are joined by a line.
    """
    rows = list(rows)
    actors = _actors(rows)
    heads = [("SYNC", "AT", "EVENT")] + [(str(row.sync), row.at, _one_line(row.event)) for row in rows]
    widths = [max(_width(head[column]) for head in heads) for column in range(3)]
    names = [_one_line(actor) for actor in actors]
    lines = []
    for head, row in zip(heads, [None, *rows], strict=True):
        cells = names if row is None else _text_cells(row, actors, names)
        left = "  ".join(_padded(text, width) for text, width in zip(head, widths, strict=True))
        lines.append(f"{left}  {''.join(cells) if row else '  '.join(cells)}".rstrip())
    return "\n".join(lines) + "\n"


def _text_cells(row: Row, actors: list[str], names: list[str]) -> list[str]:
    at = [actors.index(actor) for actor in row.actors]
    cells = []
    for column, (actor, name) in enumerate(zip(actors, names, strict=True)):
        times = row.actors.count(actor)
        fill = "─" if min(at) <= column < max(at) else " "
        sign = "●" if times == 1 else f"●{times}" if times else "┼" if min(at) < column < max(at) else "│"
        cells.append(sign + fill * (max(1, _width(name)) + 2 - len(sign)))
    return cells


# --- Mermaid ---------------------------------------------------------------------------------------------------


def as_mermaid(rows: Iterable[Row]) -> str:
    """Return a sequence diagram for Mermaid (mermaid.js.org): a note over the members of each sync.

    A note spans the participants between the first and the last one, so it names its members where it spans others. A
    long text runs over its edges: with `wrap:`, Mermaid 11 would break lines within entity codes.
    """
    rows = list(rows)
    actors = _actors(rows)
    lines = ["sequenceDiagram"]
    lines += [f"    participant p{number} as {_for_mermaid(actor)}" for number, actor in enumerate(actors)]
    for row in rows:
        at = sorted([actors.index(actor) for actor in row.actors])
        span = f"p{at[0]}" if at[0] == at[-1] else f"p{at[0]},p{at[-1]}"
        text = f"{row.sync}: {_for_mermaid(row.event)}"
        if at != list(range(at[0], at[-1] + 1)):
            text += f" ({', '.join(map(_for_mermaid, row.actors))})"
        lines.append(f"    Note over {span}: {text}")
    return "\n".join(lines) + "\n"


def _for_mermaid(text: str) -> str:
    """Return a text in which every character that Mermaid could interpret is an entity code: `#59;` is a semicolon."""
    text = _one_line(text)
    return "".join(c if c.isalnum() or c in " -_./" else f"#{ord(c)};" for c in text) or "#32;"


# --- SVG -------------------------------------------------------------------------------------------------------


def as_svg(rows: Iterable[Row]) -> str:
    """Return an SVG document: a life line for each actor, and a bar with a dot for each member of a sync."""
    rows = list(rows)
    actors = _actors(rows)
    width = 2 * _MARGIN + _LABELS + _COLUMN * len(actors)
    height = 2 * _MARGIN + _BOX_HEIGHT + _ROW * (len(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, actor in enumerate(actors):
        x = _x(number)
        parts += [
            f'<line class="life" x1="{x}" y1="{_MARGIN + _BOX_HEIGHT}" x2="{x}" y2="{height - _MARGIN}"/>',
            f'<rect class="box" x="{x - _COLUMN // 2 + 4}" y="{_MARGIN}" width="{_COLUMN - 8}" '
            f'height="{_BOX_HEIGHT}" rx="4"/>',
            _svg_text(x, _MARGIN + 18, actor, _COLUMN - 16, 'text-anchor="middle"'),
        ]
    for number, row in enumerate(rows):
        parts += _svg_row(row, _MARGIN + _BOX_HEIGHT + _ROW * (number + 1), [actors.index(a) for a in row.actors])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _svg_row(row: Row, y: int, at: list[int]) -> list[str]:
    members = ", ".join(row.actors)
    title = f"<title>{_for_xml(f'{row.sync} {row.event}: {members}, {row.at}')}</title>"
    bar = f'<line class="sync" x1="{_x(min(at))}" y1="{y}" x2="{_x(max(at))}" y2="{y}"/>'
    dots = [f'<circle class="dot" cx="{_x(column)}" cy="{y}" r="{_DOT}"/>' for column in sorted(set(at))]
    counts = [
        _svg_text(_x(column) + 8, y - 6, f"×{at.count(column)}", _COLUMN, 'class="time"')
        for column in sorted(set(at))
        if at.count(column) > 1
    ]
    return [
        f"<g>{title}",
        _svg_text(_MARGIN, y - 2, f"{row.sync}  {row.event}", _LABELS - 8),
        _svg_text(_MARGIN, y + 12, row.at, _LABELS - 8, 'class="time"'),
        bar,
        *dots,
        *counts,
        "</g>",
    ]


def _svg_text(x: int, y: int, text: str, width: int, attributes: str = "") -> str:
    """Return a text, cut to a width; the titles have the whole."""
    space = " " if attributes else ""
    return f'<text x="{x}" y="{y}"{space}{attributes}>{_for_xml(_cut(_one_line(text), int(width / _CHARACTER)))}</text>'


def _x(column: int) -> int:
    return _MARGIN + _LABELS + _COLUMN * column + _COLUMN // 2


def _for_xml(text: str) -> str:
    return escape(_one_line(text), quote=True)


# --- both ------------------------------------------------------------------------------------------------------


def _actors(rows: list[Row]) -> list[str]:
    """Return the actors in the order in which they first occur."""
    return list(dict.fromkeys(actor for row in rows for actor in row.actors))


def _one_line(text: str) -> str:
    """Return a text without control and format characters, which could end a line or turn its direction."""
    return "".join(_REPLACED if unicodedata.category(c) in _LINE_ENDS or c in "\ufffe\uffff" else c for c in text)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(text: str, width: int) -> str:
    """Return the beginning of a text that takes at most so many columns."""
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return text + "…"
