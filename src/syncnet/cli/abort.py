"""`syncnet abort`: end what waits, for all of them at once."""

from __future__ import annotations

from typing import Any

import click

from syncnet.cli.common import asking, client_options, make_client, namespace_option

__all__ = ["abort"]


@click.command()
@click.option("--event", help="End every offer of this event,")
@click.option("--actor", help="of this actor,")
@click.option("--id", help="or of this id.")
@click.option("--reason", required=True, help="Why; those who wait are told.")
@click.option("--by", help="Who does it; they are told that too.")
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
    """End what waits, all at once, and print how many offers that were."""
    if [event, actor, id].count(None) != 2:
        raise click.UsageError("expected one of --event, --actor and --id")
    with asking(), make_client(options) as net:
        click.echo(net.abort(event=event, actor=actor, id=id, reason=reason, by=by, namespace=namespace))
