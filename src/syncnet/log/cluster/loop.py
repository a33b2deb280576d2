"""The event loop and the clocks of this process, as the log of a cluster wants them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

__all__ = ["Loop"]


class Loop:
    """The event loop and the clocks (see `Scheduler`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function soon, on the thread of the loop; any thread may ask for it."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function after a delay, on the thread of the loop."""
        self._loop.call_later(delay_s, function)

    def monotonic_ns(self) -> int:
        """Return the time of a clock that is never set."""
        return time.monotonic_ns()

    def time_ns(self) -> int:
        """Return the time, in nanoseconds since the Unix epoch."""
        return time.time_ns()

    def new_name(self) -> str:
        """Return a name for a node that no other has."""
        return secrets.token_hex(8)
