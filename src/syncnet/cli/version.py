"""Which syncnet this is: its version, and whether its core is compiled."""

from __future__ import annotations

from typing import Final

import click

import syncnet
from syncnet.server.build import build

__all__ = ["version_option"]


def _print(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        click.echo(f"syncnet, version {syncnet.__version__} ({build()})")
        ctx.exit()


version_option: Final = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print,
    help="Show the version, and whether the core is compiled, and exit.",
)
