"""`syncnet stats`: who waits for what."""

from __future__ import annotations

from typing import Any

import click

from syncnet.cli.common import asking, client_options, make_client, namespace_option, printed

__all__ = ["stats"]


@click.command()
@namespace_option
@click.option("--output", type=click.Choice(["json", "yaml", "text"]), default="text", show_default=True)
@client_options
def stats(namespace: str | None, output: str, **options: Any) -> None:
    """Show who waits for what, and since when."""
    with asking(), make_client(options) as net:
        pending = net.stats(namespace)
    if output == "text":
        _print_table(pending)
    else:
        click.echo(printed(pending, output))


def _print_table(pending: dict[str, Any]) -> None:
    rows = [
        (event, actor, _others(entry["params"]), entry["created_at"], id)
        for event, by_actor in pending.items()
        for actor, by_id in by_actor.items()
        for id, entry in by_id.items()
    ]
    if not rows:
        click.echo("nobody waits", err=True)
        return
    rows.insert(0, ("EVENT", "ACTOR", "WITH", "SINCE", "ID"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _others(params: dict[str, Any]) -> str:
    return ",".join(params["expect"]) if "expect" in params else str(params["mates"])
