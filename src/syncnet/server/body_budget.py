"""How many bytes of large bodies may be on their way at once, over all clients and for each.

Granian collects a body in memory before we get it, so its size is reserved before it is read. Small bodies are not
counted: they take no more memory than the connection that brings them.
"""

from __future__ import annotations

import threading
from typing import Final

from syncnet.errors import BusyError

__all__ = ["BodyBudget"]

_COUNTED_BYTES_MIN: Final = 16_384
_SHARES: Final = 4  # one client may reserve a quarter


class BodyBudget:
    """The bytes that are reserved; any thread may call."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._reserved: dict[str, int] = {}
        self.bytes_total: int = 0

    def reserve(self, client: str, body_bytes: int) -> int:
        """Reserve so many bytes for a body of a client; return what to release later.

        :raises BusyError: the bodies on their way are too many; nothing was reserved.
        """
        if body_bytes <= _COUNTED_BYTES_MIN:
            return 0
        with self._lock:
            of_client = self._reserved.get(client, 0)
            if self.bytes_total + body_bytes > self._bytes_max:
                raise BusyError(f"{self.bytes_total} bytes of bodies are on their way, which is about the limit")
            if of_client and of_client + body_bytes > self._bytes_max // _SHARES:
                raise BusyError(f"{of_client} bytes of bodies of this client are on their way, about its share")
            self._reserved[client] = of_client + body_bytes
            self.bytes_total += body_bytes
            return body_bytes

    def release(self, client: str, body_bytes: int) -> None:
        """Release what `reserve` returned."""
        if not body_bytes:
            return
        with self._lock:
            self.bytes_total -= body_bytes
            left = self._reserved[client] - body_bytes
            if left:
                self._reserved[client] = left
            else:
                del self._reserved[client]
