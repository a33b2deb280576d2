"""`syncnet watch`: draw what happens on a running server."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Final

import click

from syncnet.cli.common import client_options, exit_on_error, targets_of
from syncnet.cli.following import follow
from syncnet.errors import UnavailableError
from syncnet.view.graph_log import GraphLog
from syncnet.view.replay import effect_of

__all__ = ["watch"]

_LANES: Final = re.compile(r"[┌└┴│─ +0-9]*(?= )")
_COLOURS: Final = {"pending": "cyan", "synced": "green", "timed-out": "yellow", "aborted": "red", "missed": "red"}


@click.command()
@click.option("--namespace", help='The namespace to watch; "*" is all.  [default: default]')
@click.option("--output", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@client_options
def watch(namespace: str | None, output: str, **options: Any) -> None:
    """Draw what happens on a server, as it happens, until Ctrl-C.

    It begins with the offers that are pending. A lost connection is opened again; nothing is lost meanwhile, unless it
    takes more than a minute or the server was restarted: a line then says so.
    """
    with exit_on_error():
        reconnect_s = options.pop("reconnect")
        targets = targets_of(options)
        picture = _Picture()
        for described in follow(targets, namespace, reconnect_s, _note):
            if output == "jsonl":
                _write([json.dumps(described, ensure_ascii=False, separators=(",", ":"))])
            else:
                _write(picture.lines(described))


class _Picture:
    """The graph log, in colour on a terminal."""

    def __init__(self) -> None:
        self._graph = GraphLog()
        self._has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def lines(self, described: dict[str, Any]) -> list[str]:
        """Return the lines that one more object of the live trace adds."""
        happening = described["happening"]
        if happening == "open":  # lanes from before a gap may have ended meanwhile
            self._graph = GraphLog()
            left_out = described["pending"] - described["listed"]
            return [f"… {left_out} more pending offers are not shown"] if left_out else []
        if happening == "gap":
            self._graph = GraphLog()
            missed = described["missed"]
            return [f"… missed {'an unknown number of' if missed is None else missed} happenings"]
        effect = effect_of(described)
        lines = [] if effect is None else self._graph.lines(effect)
        return [self._coloured(line, happening) for line in lines] if self._has_colour else lines

    def _coloured(self, line: str, happening: str) -> str:
        """Return a line whose text has the colour of what happened; the lanes stay as they are."""
        lanes = _LANES.match(line)
        start = lanes.end() if lanes else 0
        return line[:start] + click.style(line[start:], fg=_COLOURS.get(happening, "yellow")) if line else line


def _note(error: UnavailableError | None) -> None:
    click.echo("connected again" if error is None else f"{error}; retrying", err=True)


def _write(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
