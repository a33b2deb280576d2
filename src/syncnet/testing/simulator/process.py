"""A simulated process: an event loop that may be slow, stop for a while, or end at any moment, and its clocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from syncnet.testing.simulator.events import Events

__all__ = ["EPOCH_NS", "Process"]

EPOCH_NS: Final = 1_700_000_000_000_000_000
"""What the clocks show at the beginning."""


class Process:
    """The process of a node (a `Scheduler`). A node that is started again is another process."""

    def __init__(self, events: Events, name: str) -> None:
        self.events: Events = events
        self.name: str = name
        self.is_alive: bool = True
        self.is_paused: bool = False
        self.lag_ns: int = 0
        """How much later than others a slow process does everything."""
        self.skew_ns: int = 0
        """By how much its clock is wrong."""
        self._started_ns = events.now_ns
        self._names = 0
        self._waiting: list[Callable[[], None]] = []

    # --- what the node calls (see Scheduler) ---------------------------------------------------------------

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function soon."""
        self.call(0, function)

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function after a delay."""
        self.call(int(delay_s * 1e9), function)

    def monotonic_ns(self) -> int:
        """Return the time since the start of the process."""
        return self.events.now_ns - self._started_ns

    def time_ns(self) -> int:
        """Return what the clock shows."""
        return EPOCH_NS + self.events.now_ns + self.skew_ns

    def new_name(self) -> str:
        """Return a name for a node."""
        self._names += 1
        return f"{self.name}-{self._names}"

    # --- what happens to it --------------------------------------------------------------------------------

    def call(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Let the process call a function after a delay, unless it has ended by then."""
        self.events.later(delay_ns + self.lag_ns, partial(self._call, function))

    def _call(self, function: Callable[[], None]) -> None:
        if not self.is_alive:
            return
        if self.is_paused:
            self._waiting.append(function)
        else:
            function()

    def pause(self) -> None:
        """Do nothing from now on."""
        self.is_paused = True

    def resume(self) -> None:
        """Do what was due meanwhile, all at once, and go on."""
        self.is_paused = False
        waiting, self._waiting = self._waiting, []
        for function in waiting:
            self._call(function)

    def kill(self) -> None:
        """End the process."""
        self.is_alive = False
        self._waiting = []
