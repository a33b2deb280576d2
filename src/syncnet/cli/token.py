"""`syncnet token`: make a token for `--token-file`."""

from __future__ import annotations

from typing import Final

import click

from syncnet.server.tokens import ROLES, TokenFileError, new_token

__all__ = ["token"]


_HELP: Final = """\
Make a new token called NAME, and its entry for the token file.

The entry, which holds only a hash of the token, goes to standard output. The token itself is shown once, on standard
error:

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
    help="A namespace in which the token is valid; * matches any characters. May be repeated.",
)
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    default=["sync"],
    show_default=True,
    help="sync: make offers; observe: read /stats and the like; admin: everything. May be repeated.",
)
def token(name: str, namespaces: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Make a new token; `_HELP` is the help text."""
    try:
        secret, entry = new_token(name, namespaces, roles)
    except TokenFileError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"syncnet: the token of {name}, shown this once:\n{secret}", err=True)
    click.echo(entry)
