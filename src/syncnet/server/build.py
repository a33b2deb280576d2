"""Whether this is a compiled build."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

__all__ = ["build"]

_COMPILED: Final = "syncnet._compiled__mypyc"
"""The extension module that holds the code of all compiled modules; hatch_build.py names it."""


def build() -> Literal["compiled", "pure Python"]:
    """Return what this interpreter loads for the modules that can be compiled."""
    return "pure Python" if find_spec(_COMPILED) is None else "compiled"
