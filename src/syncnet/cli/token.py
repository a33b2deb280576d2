"""`syncnet token`: make a token for `--token-file`."""

from __future__ import annotations

from typing import Final

import click

from syncnet.server.tokens import ROLES, TokenFileError, new_token

__all__ = ["token"]


_HELP: Final = """\
Make a new token called NAME, and the entry of the token file that knows it.

The entry, which has only the token's hash, goes to standard output; the token itself is shown once, on standard error:

\b
  syncnet token ci-runner --namespace 'ci-*' >> tokens.yaml
  syncnet :8000 --token-file tokens.yaml
  curl --oauth2-bearer "$TOKEN" 'localhost:8000/event?event=coin&actor=VM&namespace=ci-17'
"""


@click.command(help=_HELP)
@click.argument("name")
@click.option(
    "--namespace",
    "namespaces",
    metavar="PATTERN",
    multiple=True,
    default=["*"],
    show_default=True,
    help="A namespace in which it counts; * stands for any characters. May be given several times.",
)
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    default=["sync"],
    show_default=True,
    help="sync: make offers; observe: /stats and the like; admin: everything. May be given several times.",
)
def token(name: str, namespaces: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Make a new token; `_HELP` teaches how."""
    try:
        secret, entry = new_token(name, namespaces, roles)
    except TokenFileError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"syncnet: the token of {name}, shown this once:\n{secret}", err=True)
    click.echo(entry)
