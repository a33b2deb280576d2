"""What a sync is to a program that took part in it: the same small values in a program and over the network.

They are frozen structures of msgspec, because making one takes a seventh of the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, final

import msgspec

__all__ = ["Happened", "Member", "Sync", "SyncParts"]


@final
class Member(msgspec.Struct, frozen=True):
    """One offer of a sync."""

    id: str
    actor: str
    labels: Mapping[str, str]
    payload: Any


class Happened(msgspec.Struct, frozen=True):
    """What a sync is to all of its members alike; see `Sync`."""

    event: str
    number: int
    payloads: Mapping[str, Any]
    members: tuple[Member, ...]


class SyncParts(Protocol):
    """What has the parts of a `Happened`, perhaps put together only when somebody asks: most never look at all."""

    @property
    def event(self) -> str:
        """See `Happened`."""

    @property
    def number(self) -> int:
        """See `Happened`."""

    @property
    def payloads(self) -> Mapping[str, Any]:
        """See `Happened`."""

    @property
    def members(self) -> tuple[Member, ...]:
        """See `Happened`."""


@final
class Sync(msgspec.Struct, frozen=True, eq=False):
    """It happened: `event`, as the `number`-th sync of its namespace (1, 2, 3 …).

    `members` are in order of arrival, and `payloads` maps their actors to their payloads; where two bear one name, the
    later one's. `rank` is the place of whoever asked, 0 for the first to arrive.
    """

    _parts: SyncParts
    rank: int

    @property
    def event(self) -> str:
        """The event under which it happened."""
        return self._parts.event

    @property
    def number(self) -> int:
        """Its number among the syncs of its namespace."""
        return self._parts.number

    @property
    def payloads(self) -> Mapping[str, Any]:
        """The payloads by actor."""
        return self._parts.payloads

    @property
    def members(self) -> tuple[Member, ...]:
        """All members in order of arrival."""
        return self._parts.members

    @property
    def leader(self) -> bool:
        """Return whether whoever asked arrived first: one and only one member of every sync did."""
        return self.rank == 0

    def happened(self) -> Happened:
        """Return what it is to all of its members alike."""
        return Happened(self.event, self.number, self.payloads, self.members)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Sync:
            return NotImplemented
        return self.rank == other.rank and self.happened() == other.happened()

    def __repr__(self) -> str:
        names = ("event", "number", "payloads", "members", "rank")
        return f"Sync({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Sync, (self.happened(), self.rank)
