"""Which syncnet this is: its version, and whether its core is compiled."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

import click

import syncnet

__all__ = ["build", "version_option"]

_COMPILED: Final = "syncnet._compiled__mypyc"
"""The extension module that holds the code of all compiled modules; hatch_build.py names it."""


def build() -> Literal["compiled", "pure Python"]:
    """Return what this interpreter loads for the modules that can be compiled."""
    return "pure Python" if find_spec(_COMPILED) is None else "compiled"


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
