"""Makes docs/watch.svg, the picture of `syncnet watch`: `python scripts/pictures.py [--check]`.

It starts a server and `syncnet watch` on a terminal, makes the offers of the vending machine, and draws what comes out.
The lanes are drawn as lines, because the box characters of many fonts leave gaps between rows. With `--check` it writes
nothing, and exits with status 1 if the picture would change.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

from syncnet import Client

_PICTURE: Final = Path(__file__).parent.parent / "docs" / "watch.svg"
_SYNCNET: Final = (sys.executable, "-m", "syncnet")
_COMMAND: Final = "$ syncnet watch"

_CELL: Final = 9  # pixels
_ROW: Final = 20
_MARGIN: Final = 20
_COLUMNS: Final = 56
_LANES: Final = {
    "│": "M4.5 0v20",
    "┌": "M4.5 20v-10h4.5",
    "└": "M4.5 0v10h4.5",
    "┴": "M4.5 0v10M0 10h9",
    "─": "M0 10h9",
}
"""The path of each sign in a cell of 9 by 20 pixels."""
_COLOURS: Final = {"": "#e6edf3", "31": "#ff7b72", "32": "#3fb950", "33": "#d29922", "36": "#39c5cf"}
"""By the number in the control sequence (ECMA-48, SGR)."""
_STYLED: Final = re.compile(r"\x1b\[(?P<style>[0-9;]*)m")


def main() -> int:
    """Write the picture, or check it; return the exit status."""
    drawn = as_svg([_COMMAND, *recorded().rstrip().splitlines()])
    if sys.argv[1:] == ["--check"]:
        return int(_PICTURE.read_text() != drawn)
    _PICTURE.write_text(drawn)
    return 0


def recorded() -> str:
    """Return what `syncnet watch` writes to a terminal while the vending machine is used."""
    with subprocess.Popen([*_SYNCNET, "127.0.0.1:0", "--log-format", "none"], stderr=subprocess.PIPE) as server:
        url = next(iter(server.stderr or ())).split()[-1].decode()
        ours, theirs = pty.openpty()
        environment = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
        with subprocess.Popen([*_SYNCNET, "watch", "--url", url], stdout=theirs, env=environment) as watch:
            os.close(theirs)
            seen = b""
            with Client(url) as net:
                for wanted in _use(net):
                    while not _STYLED.sub("", seen.decode(errors="replace")).endswith(f"{wanted}\r\n"):
                        seen += os.read(ours, 1_000)
            watch.terminate()
            server.terminate()
        os.close(ours)
    return seen.decode()


def _use(net: Client) -> Iterator[str]:
    """Make one offer after the other; yield how the output ends then."""
    for event in ("coin", "choc"):
        net.send(event, actor="VM")
        yield f"VM:{event}"
        net.sync(event, actor="CUST")
        yield f"CUST:{event} VM:{event}\r\n"
    offer = net.send("coin", "note", actor="VM")
    yield "VM:coin|note"
    net.send("tea", actor="ANNA", timeout=0.5)
    yield "ANNA:tea"
    yield "ANNA:tea timed out after 0.5 s; nobody came"
    net.sync("note", actor="CUST")
    yield "CUST:note VM:note\r\n"
    offer.result()


def as_svg(lines: list[str]) -> str:
    """Return the lines of a terminal as an SVG document."""
    width, height = 2 * _MARGIN + _COLUMNS * _CELL, 2 * _MARGIN + len(lines) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>syncnet watch draws the vending machine</title>",
        "<style>text{font:15px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
        "path{fill:none;stroke:#8b949e;stroke-width:1.5}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
    ]
    for number, line in enumerate(lines):
        parts += _row(line, _MARGIN + number * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(line: str, y: int) -> Iterator[str]:
    """Draw one line: signs of lanes as lines, all else as text of the colour that it has."""
    x, colour = _MARGIN, ""
    for part in re.split(r"(\x1b\[[0-9;]*m|[│┌└┴─])", line):
        if style := _STYLED.fullmatch(part):
            colour = style["style"].removeprefix("0")
        elif part in _LANES:
            yield f'<path d="{_LANES[part]}" transform="translate({x} {y})"/>'
            x += _CELL
        else:
            if text := part.strip():
                at = x + part.index(text) * _CELL
                size = f'textLength="{len(text) * _CELL}"'
                yield f'<text x="{at}" y="{y + 15}" fill="{_COLOURS[colour]}" {size}>{escape(text)}</text>'
            x += len(part) * _CELL


if __name__ == "__main__":
    sys.exit(main())
