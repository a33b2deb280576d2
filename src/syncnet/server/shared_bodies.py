"""Large answers that several clients get, kept once.

Granian copies the body of every answer, and keeps the copy until the client has read it. A large sync would take its
size times its members, and slow readers would keep that. So the body of a large sync is put into a file in memory
(memfd_create(2)), and granian sends that file to each member, a piece at a time. The kernel frees it when the last
member has it, or has lost its connection. Where that is not possible, the answers are copied.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
from pathlib import Path
from typing import Final

__all__ = ["SharedBodies"]

_OPENED_WITHIN_S: Final = 5.0  # granian opens a file some milliseconds after it was named
_READERS_MIN: Final = 4  # for fewer, copies take less time than a file
_SPARE_FILES: Final = 64
_DESCRIPTORS: Final = Path("/proc/self/fd")


class SharedBodies:
    """The files of the latest large answers. `loop` closes each some seconds after it was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._body: bytes | None = None
        self._path: str | None = None

    def path_of(self, body: bytes, readers: int) -> str | None:
        """Return the path of a file with this body, which `readers` clients get; None where there can be no file."""
        with self._lock:
            if body is not self._body:
                self._body, self._path = body, None
                if readers >= _READERS_MIN and _can_open(readers):
                    with contextlib.suppress(AttributeError, OSError, RuntimeError):
                        self._path = self._put(body)
            return self._path

    def _put(self, body: bytes) -> str:
        descriptor = os.memfd_create("syncnet-answer")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(body)
            self._loop.call_soon_threadsafe(self._loop.call_later, _OPENED_WITHIN_S, self._close, descriptor, body)
        except BaseException:
            os.close(descriptor)
            raise
        return str(_DESCRIPTORS / str(descriptor))

    def _close(self, descriptor: int, body: bytes) -> None:
        with self._lock:
            os.close(descriptor)
            if body is self._body:
                self._body = self._path = None


def _can_open(readers: int) -> bool:
    """Return whether granian can open a file for each reader."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        opened = len(os.listdir(_DESCRIPTORS))
    except OSError:  # no such folder: not Linux
        return False
    return soft - opened > readers + _SPARE_FILES
