"""`syncnet completion bash`: what a shell must be told to complete the words of this command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

_HELP = """\
Print what SHELL must be told to complete the words of this command line. To switch it on for good:

\b
bash:  syncnet completion bash > ~/.local/share/bash-completion/completions/syncnet
zsh:   syncnet completion zsh > ~/.zfunc/_syncnet    (a folder of your fpath)
fish:  syncnet completion fish > ~/.config/fish/completions/syncnet.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print it; see `_HELP`."""
    make = get_completion_class(shell)
    assert make is not None  # noqa: S101 - click has those three
    click.echo(make(ctx.find_root().command, {}, "syncnet", "_SYNCNET_COMPLETE").source())
