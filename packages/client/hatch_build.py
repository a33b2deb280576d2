"""The build hook of syncnet-client: takes the packages that a client needs from the source of syncnet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path(__file__).resolve().parents[2] / "src"
FILES = ("syncnet/__init__.py", "syncnet/py.typed", "syncnet/errors.py")
PACKAGES = ("syncnet/core", "syncnet/wire", "syncnet/client")


class ClientBuildHook(BuildHookInterface[Any]):
    """Puts the files into the wheel. Compiled modules, which may lie next to them, stay outside."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling names it
        """Name the files, and their places in the wheel."""
        files = [SOURCE / name for name in FILES]
        for package in PACKAGES:
            files += sorted((SOURCE / package).rglob("*.py"))
        for file in files:
            build_data["force_include"][str(file)] = file.relative_to(SOURCE).as_posix()
