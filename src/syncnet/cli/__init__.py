"""The command line: `syncnet :8000`, `syncnet event coin`. One file per subcommand; nothing imports this room.

A subcommand is loaded when it is called, because an event should be asked for at once, and a server takes its time.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from syncnet.cli.version import version_option

__all__ = ["main"]

_HELP = """\
The place where processes meet.

A process says over HTTP "I am VM, I am ready for coin, together with one other", and its request blocks until the
others are there; then all of them go on at the same moment, each with everybody's payload.

\b
Start a server:
  syncnet :8000

\b
In a second terminal, the vending machine waits for a coin:
  curl 'localhost:8000/event?event=coin&actor=VM'

\b
In a third, a customer inserts one, and both go on:
  curl 'localhost:8000/event?event=coin&actor=CUST'

\b
The same without curl, riding through restarts of the server:
  syncnet event coin --actor CUST

\b
More to ask for, added to the URL with &:
  mates=2                three parties instead of two
  expect=A,B,C           exactly these actors
  event=coin&event=note  whichever can happen first
  labels=tier=gold       Kubernetes labels of this offer
  selector=tier=gold     which labels the others must have
  payload=hello          handed to every member
  timeout=5s             give up after that long

Keep strangers out: syncnet token --help, and --token-file of syncnet serve --help

Who waits for whom: curl localhost:8000/stats
"""


_OWN_OPTIONS = ("-h", "--help", "--version")

_SUBCOMMANDS: Final = {
    "abort": "syncnet.cli.abort",
    "bench": "syncnet.cli.bench.command",
    "completion": "syncnet.cli.completion",
    "event": "syncnet.cli.event",
    "serve": "syncnet.cli.serve",
    "stats": "syncnet.cli.stats",
    "token": "syncnet.cli.token",
}
"""Subcommands, and the modules that have a click command of the same name."""


class _LazyGroup(click.Group):
    """Loads a subcommand when it is called, and takes `syncnet …` for `syncnet serve …` where it names no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_SUBCOMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SUBCOMMANDS:
            command: click.Command = getattr(importlib.import_module(_SUBCOMMANDS[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.list_commands(ctx) and args[0] not in _OWN_OPTIONS:
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_LazyGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Start here; see `_HELP`."""
