"""`syncnet trace`: a sequence diagram of the last syncs."""

from __future__ import annotations

from collections import deque
from typing import Any

import click

from syncnet.cli.common import client_options, exit_on_error, formatted, namespace_option, targets_of
from syncnet.cli.following import read_syncs
from syncnet.view.sequence import as_mermaid, as_svg, as_text, rows_of

__all__ = ["trace"]


@click.command()
@namespace_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "mermaid", "svg"]),
    default="text",
    show_default=True,
    help="A table, the syncs as JSON, a diagram for Mermaid, or a picture.",
)
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many syncs.")
@client_options
def trace(namespace: str | None, format_: str, last: int, **options: Any) -> None:
    """Print the last syncs of a namespace: who met, and when, the oldest first."""
    with exit_on_error():
        options.pop("reconnect")
        syncs = list(deque(read_syncs(targets_of(options), namespace), maxlen=last))
    if format_ == "json":
        click.echo(formatted(syncs, "json"))
    elif not syncs:
        click.echo("no syncs", err=True)
    else:
        draw = {"text": as_text, "mermaid": as_mermaid, "svg": as_svg}[format_]
        click.echo(draw(rows_of(syncs)), nl=False)
