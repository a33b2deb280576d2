"""Threads for work that takes long, a few for each kind of work, so that one kind does not delay another (G8).

More threads would not help: they share one processor's worth of Python. Each pool has a bounded queue, and so has the
memory that waits in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from syncnet.errors import BusyError

__all__ = ["Pool"]

_T = TypeVar("_T")

_QUEUED_MAX: Final = 64


class Pool:
    """One thread for work of the kind `name`, and its queue."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor = ThreadPoolExecutor(1, f"syncnet-{name}")
        self.queued: int = 0

    async def run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Return what a function returns, called in the thread.

        :raises BusyError: the queue is full.
        """
        if self.queued >= _QUEUED_MAX:
            raise BusyError(f"the server is busy: {self.queued} requests wait for the thread for {self._name}")
        self.queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        finally:
            self.queued -= 1
