"""Options that name a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

__all__ = ["FOLDER"]


class _Folder(click.Path):
    """A folder, which need not exist yet. An empty name is refused: `pathlib` takes it for the current folder."""

    name = "folder"

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected the name of a folder, got an empty text; is a shell variable unset?", param, ctx)
        return super().convert(value, param, ctx)


FOLDER: Final = _Folder()
