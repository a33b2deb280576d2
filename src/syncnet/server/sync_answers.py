"""The answer to a sync, made once for all of its members (law 6 of the house), when the first of them needs it.

The members of a sync are told one after the other, and between them nobody else is. So it is enough to remember the
answer that was asked for last; each member that was told holds on to its own.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeAlias

from syncnet.core.commands import Offer
from syncnet.core.effects import Synced
from syncnet.wire.answers import encode_sync

__all__ = ["SyncAnswer", "SyncAnswers"]

Header: TypeAlias = tuple[str, str]

_RANKS: Final[tuple[Header, ...]] = tuple(("syncnet-rank", str(rank)) for rank in range(100))


class SyncAnswer:
    """The bodies of one sync, and the rank of each member."""

    __slots__ = ("_json", "_ranks", "_yaml", "synced")

    def __init__(self, synced: Synced) -> None:
        self.synced = synced
        self._json = b""
        self._yaml: asyncio.Future[bytes] | None = None
        self._ranks: dict[str, int] | None = None

    def json(self) -> bytes:
        """Return the body as JSON."""
        if not self._json:
            self._json = encode_sync(self.synced, "json")
        return self._json

    async def yaml(self) -> bytes:
        """Return the body as YAML, which takes its time, in a thread."""
        if self._yaml is None:
            self._yaml = asyncio.ensure_future(asyncio.to_thread(encode_sync, self.synced, "yaml"))
        return await asyncio.shield(self._yaml)

    def rank_of(self, offer: Offer) -> Header:
        """Return the header that tells a member its rank, by the id of its offer."""
        members = self.synced.members
        if members[0].id == offer.id:
            return _RANKS[0]
        if len(members) == 2:
            return _RANKS[1]
        if self._ranks is None:
            self._ranks = {member.id: rank for rank, member in enumerate(members)}
        rank = self._ranks[offer.id]
        return _RANKS[rank] if rank < len(_RANKS) else ("syncnet-rank", str(rank))


class SyncAnswers:
    """Gives the members of one sync one answer, as long as they ask one after the other."""

    def __init__(self) -> None:
        self._latest: SyncAnswer | None = None

    def of(self, synced: Synced) -> SyncAnswer:
        """Return the answer to a sync."""
        latest = self._latest
        if latest is None or latest.synced is not synced:
            latest = self._latest = SyncAnswer(synced)
        return latest
