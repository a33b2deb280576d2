"""The running digest of a node's state in one namespace, by which nodes notice that their states differ."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

__all__ = ["Digests"]

_KEPT: Final = 1_000
_BYTES: Final = 8


class Digests:
    """The digests after the latest entries. `latest` is the newest; empty before the first entry."""

    def __init__(self, position: int = 0, latest: bytes = b"") -> None:
        self.latest: bytes = latest
        self._by_position: dict[int, bytes] = {position: latest}

    def add(self, position: int, fingerprint: bytes) -> None:
        """Add the state after the entry at `position`."""
        self.latest = blake2b(self.latest + fingerprint, digest_size=_BYTES).digest()
        self._by_position[position] = self.latest
        if len(self._by_position) > _KEPT:
            del self._by_position[next(iter(self._by_position))]

    def differ(self, position: int, digest: bytes) -> bool:
        """Return whether another node had a different state there, as far as this is still known."""
        return self._by_position.get(position, digest) != digest
