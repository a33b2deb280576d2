"""Timers that any thread may set, and no event loop need serve: one thread, begun when the first timer is set.

Knows nothing of offers. The thread ends with `close`, and by itself where no timer has been set for a while.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["Timer", "Timers"]

_IDLE_S: Final = 10.0
_CANCELLED_KEPT: Final = 1_000


class Timer:
    """A call that is to come at `due_s`, unless it is cancelled before."""

    __slots__ = ("_timers", "call", "due_s")

    def __init__(self, timers: Timers, due_s: float, call: Callable[[], None]) -> None:
        self._timers = timers
        self.due_s = due_s
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Let it not come, and forget the call; nothing happens where it has come."""
        if self.call is not None:
            self.call = None
            self._timers.one_was_cancelled()

    def __lt__(self, other: Timer) -> bool:
        return self.due_s < other.due_s


class Timers:
    """The timers of one hub. Calls come from one thread, one after the other, and must be quick."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._heap: list[Timer] = []
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._is_open = True

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Call `call` after so many seconds; never where this is closed before."""
        timer = Timer(self, monotonic() + delay_s, call)
        with self._changed:
            heapq.heappush(self._heap, timer)
            if self._thread is None and self._is_open:
                self._thread = threading.Thread(target=self._run, name="syncnet timers", daemon=True)
                self._thread.start()
            elif self._heap[0] is timer:
                self._changed.notify()
        return timer

    def one_was_cancelled(self) -> None:
        """Note that a timer of the heap will not come; many such are thrown out together."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > _CANCELLED_KEPT and self._cancelled > len(self._heap) // 2:
                self._heap = [timer for timer in self._heap if timer.call is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def close(self) -> None:
        """Let no timer come any more, and wait for the thread to end."""
        with self._changed:
            self._is_open = False
            self._heap.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next call; None where there is none for long, or this is closed."""
        with self._changed:
            while self._is_open:
                if not self._heap:
                    if self._changed.wait(_IDLE_S) or self._heap:
                        continue
                    break
                left_s = self._heap[0].due_s - monotonic()
                if left_s > 0:
                    self._changed.wait(min(left_s, threading.TIMEOUT_MAX))
                    continue
                timer = heapq.heappop(self._heap)
                call, timer.call = timer.call, None
                if call is not None:
                    return call
                self._cancelled = max(0, self._cancelled - 1)
            self._thread = None
            return None
