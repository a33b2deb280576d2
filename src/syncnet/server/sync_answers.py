"""The answer to a sync, made once for all of its members (law 6 of the house).

The members of a sync are told one after the other, and between them nobody else is. So it is enough to remember the
answer that was asked for last; each member that was told holds on to its own.
"""

from __future__ import annotations

import asyncio
from typing import Final

from syncnet.core.effects import Synced
from syncnet.server.responses import Header
from syncnet.wire.answers import as_yaml, encode_sync

__all__ = ["RANKS", "SyncAnswer", "SyncAnswers"]

RANKS: Final[tuple[Header, ...]] = tuple(("syncnet-rank", str(rank)) for rank in range(100))
"""The headers that tell members their ranks, those of most."""


class SyncAnswer:
    """The bodies of one sync: `json`, and YAML where somebody asks for it."""

    __slots__ = ("_yaml", "json")

    def __init__(self, json: bytes) -> None:
        self.json = json
        self._yaml: asyncio.Future[bytes] | None = None

    async def yaml(self) -> bytes:
        """Return the body as YAML, which takes its time, in a thread. All members ask on one loop."""
        if self._yaml is None:
            self._yaml = asyncio.ensure_future(asyncio.to_thread(as_yaml, self.json))
        return await asyncio.shield(self._yaml)


class SyncAnswers:
    """Gives the members of one sync one answer, as long as they ask one after the other."""

    def __init__(self) -> None:
        self._synced: Synced | None = None
        self._answer = SyncAnswer(b"")
        self._ranks: dict[str, int] = {}

    def of(self, synced: Synced, id: str) -> tuple[SyncAnswer, Header]:
        """Return the answer to a sync, and the header that tells the member of that id its rank."""
        if self._synced is not synced:
            self._answer = SyncAnswer(encode_sync(synced))
            self._ranks = {member.id: rank for rank, member in enumerate(synced.members)}
            self._synced = synced
        rank = self._ranks[id]
        return self._answer, RANKS[rank] if rank < len(RANKS) else ("syncnet-rank", str(rank))
