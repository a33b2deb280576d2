"""Keys of labels that count how often they are looked up: a measure of a search that works in compiled code too."""

from typing import ClassVar


class CountedKey(str):
    """The key of a label. `lookups` is how often any of them was hashed or compared."""

    __slots__ = ()
    lookups: ClassVar[int] = 0

    def __hash__(self) -> int:
        CountedKey.lookups += 1
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        CountedKey.lookups += 1
        return str.__eq__(self, other)
