"""`syncnet stats`: list the pending offers."""

from __future__ import annotations

from typing import Any

import click

from syncnet.cli.common import client_options, exit_on_error, formatted, make_client, namespace_option

__all__ = ["stats"]


@click.command()
@namespace_option
@click.option("--output", type=click.Choice(["json", "yaml", "text"]), default="text", show_default=True)
@client_options
def stats(namespace: str | None, output: str, **options: Any) -> None:
    """List the pending offers: event, actor, wanted mates, who or how many are missing, time of arrival and id."""
    with exit_on_error(), make_client(options) as client:
        pending = client.stats(namespace)
    if output == "text":
        _print_table(pending)
    else:
        click.echo(formatted(pending, output))


def _print_table(pending: dict[str, Any]) -> None:
    rows = [
        ("|".join(entry["params"]["event"]), actor, _mates(entry["params"]), _missing(entry), entry["created_at"], id)
        for by_actor in pending.values()
        for actor, by_id in by_actor.items()
        for id, entry in by_id.items()
    ]
    if not rows:
        click.echo("no pending offers", err=True)
        return
    rows.insert(0, ("EVENT", "ACTOR", "MATES", "MISSING", "SINCE", "ID"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _mates(params: dict[str, Any]) -> str:
    """Return the roster, or else the number of mates."""
    return ",".join(params["expect"]) if "expect" in params else str(params["mates"])


def _missing(entry: dict[str, Any]) -> str:
    """Return the actors that the roster misses, or else how many more are needed; nothing from an older server."""
    return ",".join(entry.get("missing_actors", ())) or str(entry.get("missing", ""))
