"""`syncnet abort`: end the pending offers of an event, of an actor or of one id."""

from __future__ import annotations

from typing import Any

import click

from syncnet.cli.common import client_options, exit_on_error, make_client, namespace_option

__all__ = ["abort"]


@click.command()
@click.option("--event", help="End all offers of this event.")
@click.option("--actor", help="End all offers of this actor.")
@click.option("--id", help="End the offer of this id.")
@click.option("--reason", required=True, help="The reason, which the clients of these offers get.")
@click.option("--by", help="The name of the one who aborts, which the clients get too.")
@namespace_option
@client_options
def abort(
    event: str | None,
    actor: str | None,
    id: str | None,
    reason: str,
    by: str | None,
    namespace: str | None,
    **options: Any,
) -> None:
    """End pending offers, all at once, and print how many there were."""
    if [event, actor, id].count(None) != 2:
        raise click.UsageError("expected one of --event, --actor and --id")
    with exit_on_error(), make_client(options) as client:
        click.echo(client.abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace))
