"""A timer wheel: what is due is kept in slots of about four milliseconds, so that most timers cost two dict operations.

Most offers end long before their timeout, so setting and removing a timer must be cheap and exact firing need not be: a
timer fires at the end of its slot, up to 4.2 ms late and never early. A slot is a dict; a removed timer leaves nothing
behind, and an emptied slot one number in the heap. When these are too many they are removed, all at once.

The owner's lock protects everything here, and `fire` is called while it is held. One thread, started with the first
timer, sleeps until the first slot is due; it ends by itself where no timer has been set for a while. A simulator runs
without the thread and calls `fire_due` itself.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["Timers"]

_TICK_BITS = 22  # a slot is 2**22 ns, 4.2 ms
_IDLE_S = 10.0
_EMPTIED_MAX = 1_024

Key: TypeAlias = tuple[str, str]

_log = logging.getLogger("syncnet")


class Timers:
    """The timers of one coordinator. `monotonic_ns` is its clock."""

    def __init__(
        self, lock: Any, fire: Callable[[Any], None], monotonic_ns: Callable[[], int], *, threaded: bool = True
    ) -> None:
        self._changed = threading.Condition(lock)
        self._fire = fire
        self._monotonic_ns = monotonic_ns
        self._slots: dict[int, dict[Key, Any]] = {}
        self._ticks: list[int] = []  # a heap of the slots, and of emptied ones that are not due yet
        self._emptied = 0  # the numbers of emptied slots in the heap; a tick may be there several times
        self._emptied_max = _EMPTIED_MAX
        self._sleeps_until = 0  # the tick for which the thread waits; 0: it waits for any
        self._is_open = threaded
        self._runner: threading.Thread | None = None

    def add(self, delay_ns: int, key: Key, what: Any) -> int:
        """Let `what` fire after a delay; return its slot. A key is used once per slot."""
        tick = ((self._monotonic_ns() + (delay_ns if delay_ns > 0 else 0)) >> _TICK_BITS) + 1
        slots = self._slots
        if tick not in slots:
            slots[tick] = {}
            heapq.heappush(self._ticks, tick)
            if self._is_open and (self._runner is None or tick < self._sleeps_until or not self._sleeps_until):
                self._wake_thread()
        slots[tick][key] = what
        return tick

    def remove(self, tick: int, key: Key) -> None:
        """Remove a timer; nothing happens where it has fired."""
        if tick in self._slots:
            slot = self._slots[tick]
            if key in slot:
                del slot[key]
                if not slot:
                    del self._slots[tick]
                    self._emptied += 1
                    if self._emptied > self._emptied_max:
                        self._forget_emptied()

    def fire_due(self) -> int:
        """Fire what is due; return in how many nanoseconds the next slot is due, -1 where there is none."""
        while self._ticks:
            tick = self._ticks[0]
            slot = self._slots.get(tick)
            left_ns = (tick << _TICK_BITS) - self._monotonic_ns()
            if slot is not None and left_ns > 0:
                return left_ns
            heapq.heappop(self._ticks)
            if slot is None:
                self._emptied -= 1
            else:
                del self._slots[tick]
                for what in list(slot.values()):
                    self._fire_one(what)
        return -1

    def clear(self) -> None:
        """Remove all timers."""
        self._slots.clear()
        self._ticks.clear()
        self._emptied = 0

    def close(self) -> None:
        """Let no timer fire any more, and wait for the thread to end. To be called without the lock."""
        with self._changed:
            self._is_open = False
            self.clear()
            self._changed.notify()
            thread = self._runner
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _forget_emptied(self) -> None:
        """Remove the emptied slots from the heap, seldom enough that it costs little for each."""
        self._ticks = list(self._slots)
        heapq.heapify(self._ticks)
        self._emptied = 0
        self._emptied_max = max(_EMPTIED_MAX, len(self._ticks))

    def _fire_one(self, what: Any) -> None:
        try:
            self._fire(what)
        except Exception:  # a bug in one callback must not stop the timers of all others
            _log.exception("a bug: a timer could not be handled")

    def _wake_thread(self) -> None:
        if self._runner is None:
            self._runner = threading.Thread(target=self._run, name="syncnet-timers", daemon=True)
            self._runner.start()
        else:
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._is_open:
                left_ns = self.fire_due()
                self._sleeps_until = self._ticks[0] if self._ticks else 0
                if left_ns >= 0:
                    self._changed.wait(min(left_ns / 1e9, threading.TIMEOUT_MAX))
                elif not self._changed.wait(_IDLE_S) and not self._ticks:
                    break
            self._runner = None
