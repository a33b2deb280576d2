"""Ids for offers whose clients chose none: 16 hexadecimal digits that cannot be guessed."""

from __future__ import annotations

import secrets

__all__ = ["random_ids"]

_ID_BYTES = 8
_IDS_AT_ONCE = 256  # asking the system for randomness costs the same for many as for one


def random_ids() -> list[str]:
    """Return some hundred new ids."""
    return secrets.token_bytes(_ID_BYTES * _IDS_AT_ONCE).hex(" ", _ID_BYTES).split()
