"""The command line: `syncnet :8000`, `syncnet event coin`. One file per subcommand; no other package imports this one.

A subcommand is imported when it is called, so that `syncnet event` need not wait for the imports of the server.
"""

from __future__ import annotations

import importlib
import re
from typing import Final, NoReturn

import click

from syncnet.cli.version import version_option

__all__ = ["main"]

_HELP = """\
Synchronous events between processes, over HTTP.

A process sends "I am VM, I am ready for coin, together with one other". Its request blocks until the others have sent
theirs; then all of them are answered at the same moment, each with the payloads of all.

\b
Start a server:
  syncnet :8000

\b
In a second terminal, the vending machine waits for a coin:
  curl 'localhost:8000/event?event=coin&actor=VM'

\b
In a third, a customer inserts one, and both requests are answered:
  curl 'localhost:8000/event?event=coin&actor=CUST'

\b
The same without curl; it retries while the server restarts:
  syncnet event coin --actor CUST

\b
More parameters, added to the URL with &:
  mates=2                three parties instead of two
  expect=A,B,C           exactly these actors
  event=coin&event=note  a choice: the first that can happen
  labels=tier=gold       Kubernetes labels of this offer
  selector=tier=gold     the labels that the others must have
  payload=hello          sent to every member
  timeout=5s             give up after that long

To require tokens: syncnet token --help, and --token-file in syncnet serve --help

To list the pending offers: syncnet stats. To learn why they wait: syncnet why

To watch what happens: syncnet watch

To try out several servers that act as one: syncnet cluster up
"""


_OWN_OPTIONS = ("-h", "--help", "--version")
_COMMAND_NAME: Final = re.compile(r"[A-Za-z_-]+")
"""What can be meant as the name of a subcommand. An address has a colon or a digit in it."""

_SUBCOMMANDS: Final = {
    "abort": "syncnet.cli.abort",
    "bench": "syncnet.cli.bench.command",
    "cluster": "syncnet.cli.cluster",
    "completion": "syncnet.cli.completion",
    "event": "syncnet.cli.event",
    "serve": "syncnet.cli.serve",
    "stats": "syncnet.cli.stats",
    "token": "syncnet.cli.token",
    "trace": "syncnet.cli.trace",
    "watch": "syncnet.cli.watch",
    "why": "syncnet.cli.why",
}
"""Subcommands, and the modules that have a click command of the same name."""


class _LazyGroup(click.Group):
    """Imports a subcommand when it is called, and reads `syncnet ADDRESS …` as `syncnet serve ADDRESS …`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_SUBCOMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SUBCOMMANDS:
            command: click.Command = getattr(importlib.import_module(_SUBCOMMANDS[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in _SUBCOMMANDS and args[0] not in _OWN_OPTIONS:
            if _COMMAND_NAME.fullmatch(args[0]) and not args[0].startswith("-"):
                self._refuse(ctx, args[0])
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def _refuse(self, ctx: click.Context, name: str) -> NoReturn:
        from difflib import get_close_matches  # only an error needs it

        nearest = get_close_matches(name, _SUBCOMMANDS, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the subcommands are {', '.join(_SUBCOMMANDS)}"
        ctx.fail(f'expected a subcommand or an address such as :8000, got "{name}"; {hint}')


@click.group(cls=_LazyGroup, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Run a subcommand; `_HELP` is the help text."""
