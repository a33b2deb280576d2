"""The parameters of an offer in a JSON body, as msgspec decodes them.

In a module of its own, because mypyc erases the unions in annotations and msgspec reads those: this module is not
compiled.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = ["OfferBody"]

_NO_RAW: Final = Raw(b"")


class OfferBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The ordinary types of every parameter; `parameter_table.py` has their meaning.

    A parameter that is absent is `UNSET`, because `null` is invalid; `payload` is empty then, which no JSON is.
    """

    event: str | list[str]
    actor: str
    mates: int | UnsetType = UNSET
    expect: str | list[str] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    selector: str | UnsetType = UNSET
    payload: Raw = _NO_RAW
    timeout: float | str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    linger: float | str | UnsetType = UNSET
    namespace: str = "default"
    output: str | UnsetType = UNSET
