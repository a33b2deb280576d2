"""`syncnet completion bash`: the script with which a shell completes this command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

_HELP = """\
Print the script with which SHELL completes this command line. To install it:

\b
bash:  syncnet completion bash > ~/.local/share/bash-completion/completions/syncnet
zsh:   syncnet completion zsh > ~/.zfunc/_syncnet    (a folder of your fpath)
fish:  syncnet completion fish > ~/.config/fish/completions/syncnet.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script; `_HELP` is the help text."""
    make = get_completion_class(shell)
    assert make is not None  # noqa: S101 - click has those three
    click.echo(make(ctx.find_root().command, {}, "syncnet", "_SYNCNET_COMPLETE").source())
