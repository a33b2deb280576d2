"""The build hook: compiles the modules that pyproject.toml names with mypyc, where SYNCNET_COMPILED=1 asks for it.

Without that variable it does nothing, and a wheel is pure Python and needs no compiler. `make compiled` calls this file
as a script; the extension modules then lie next to their sources in `src`, where Python prefers them.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
GROUP = "syncnet._compiled"  # mypyc adds __mypyc: syncnet/_compiled__mypyc.*.so holds the code of all modules


class CompiledBuildHook(BuildHookInterface[Any]):
    """Puts compiled modules into the wheel, and gives it the tag of this platform."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what building needs in addition to hatchling."""
        return list(_settings()["requires"]) if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, where it is asked for; an editable installation gets the modules next to their sources."""
        if not _is_wanted():
            return
        if version == "editable":
            compile_modules(ROOT / "src")
            return
        target = ROOT / "build" / f"compiled-{sysconfig.get_platform()}"
        for file in compile_modules(target):
            build_data["force_include"][str(file)] = file.relative_to(target).as_posix()
        build_data["infer_tag"] = True
        build_data["pure_python"] = False


def compile_modules(target: Path) -> list[Path]:
    """Compile all modules of the list into the folder `target`, and return the extension modules.

    Only what has changed since the last call is compiled.

    :raises SystemExit: a module cannot be compiled; standard error says why.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    os.chdir(ROOT)  # the paths in pyproject.toml are relative to it
    sources = [f"src/{name.replace('.', '/')}.py" for name in _settings()["modules"]]
    extensions = mypycify(
        ["--config-file=pyproject.toml", "--cache-dir=build/mypyc/cache", "--follow-imports=silent", *sources],
        opt_level=os.environ.get("MYPYC_OPT_LEVEL", "3"),
        debug_level=os.environ.get("MYPYC_DEBUG_LEVEL", "0"),
        target_dir="build/mypyc",
        group_name=GROUP,
    )
    command = build_ext(Distribution({"name": "syncnet-server", "ext_modules": extensions}))
    command.build_lib = str(target)
    command.build_temp = "build/mypyc/objects"
    command.ensure_finalized()
    for old in [*(target / "syncnet").rglob("*.so"), *(target / "syncnet").rglob("*.pyd")]:
        old.unlink()  # else a module that has left the list would stay compiled
    command.run()
    return [Path(file).absolute() for file in command.get_outputs()]


def _is_wanted() -> bool:
    return os.environ.get("SYNCNET_COMPILED", "0") not in ("", "0")


def _settings() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings: dict[str, list[str]] = tomllib.load(file)["tool"]["syncnet"]["compiled"]
    return settings


if __name__ == "__main__":
    print(f"compiled {len(compile_modules(ROOT / 'src'))} extension modules with {sys.version.partition(' ')[0]}")  # noqa: T201
