"""Payloads that are objects of this program, in the place of the bytes that the core carries.

In a world inside a program a payload stays the very object that was handed in. To the core it is bytes like all others,
none of them; a server that shares the world writes it as JSON when a client needs it, and not before.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["Held", "json_of", "value_of"]


class Held(bytes):
    """No bytes, and an object: `value`. It weighs nothing, being the program's own."""

    value: Any

    def __new__(cls, value: Any) -> Held:
        """Hold an object."""
        held = super().__new__(cls)
        held.value = value
        return held

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same; of objects that cannot be compared, whether they are one."""
        if not isinstance(other, Held):
            return False
        if self.value is other.value:
            return True
        try:
            return bool(self.value == other.value)
        except Exception:  # an object's own idea of equality must not stop a world
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other  # that of bytes would look at the bytes

    def __hash__(self) -> int:
        return hash(Held)  # objects that are equal need not be hashable


def json_of(payload: bytes) -> bytes:
    """Return a payload as JSON. Of an object for which JSON has no form, what `repr` says of it, as a text."""
    if not isinstance(payload, Held):
        return payload
    try:
        return msgspec.json.encode(payload.value, enc_hook=repr)
    except Exception:  # too large a number, too deep, or an object that breaks when it is looked at
        return _plainly(payload.value)


def value_of(payload: bytes) -> Any:
    """Return a payload as an object of Python: the very one that was handed in, or what the JSON says."""
    return payload.value if isinstance(payload, Held) else json.loads(payload)


def _plainly(value: object) -> bytes:
    try:
        return json.dumps(value, default=repr, allow_nan=False).encode()
    except Exception:  # see above; a member that has synced is told so, whatever its mates handed over (G7)
        return json.dumps(f"<{type(value).__qualname__}>").encode()
