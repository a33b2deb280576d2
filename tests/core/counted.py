"""Texts that count how often they are looked up or compared: a measure of a search that works in compiled code too.

It sees the loops of C too, such as that of `value in values`.
"""

from typing import ClassVar


class CountedKey(str):
    """A name, or the key or value of a label. `lookups` is how often any of them was hashed or compared."""

    __slots__ = ()
    lookups: ClassVar[int] = 0

    def __hash__(self) -> int:
        CountedKey.lookups += 1
        return str.__hash__(self)

    def __lt__(self, other: object) -> bool:
        CountedKey.lookups += 1
        return str.__lt__(self, other)  # type: ignore[operator]

    def __eq__(self, other: object) -> bool:
        CountedKey.lookups += 1
        return str.__eq__(self, other)
