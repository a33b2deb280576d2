"""`syncnet why`: say why the pending offers have not synced."""

from __future__ import annotations

from typing import Any

import click

from syncnet.cli.common import client_options, exit_on_error, formatted, make_client, namespace_option
from syncnet.wire.explanations import text_of

__all__ = ["why"]


@click.command()
@click.argument("actor", required=False)
@click.option("--event", help="Only the offers of this event.")
@click.option("--id", help="Only the offer of this id.")
@namespace_option
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@client_options
def why(
    actor: str | None, event: str | None, id: str | None, namespace: str | None, output: str, **options: Any
) -> None:
    """Say why pending offers (of ACTOR, if given) have not synced.

    For each: for whom it waits, who is here, who gave up, who never came, and why those that are here do not fit.
    """
    with exit_on_error(), make_client(options) as client:
        explained = client.explain(actor=actor, event=event, id=id, namespace=namespace)
    click.echo(text_of(explained) if output == "text" else formatted(explained, output), nl=output != "text")
