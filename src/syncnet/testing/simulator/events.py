"""The event queue: the only source of time, order and chance in a simulation.

What happens is a function of the seed alone. Everything that is worth a line is noted; `digest` is a hash of all lines,
so that two runs of a seed can be compared.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

__all__ = ["MS", "SECOND", "Events", "LivelockError"]

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
"""In nanoseconds."""


_EVENTS_MAX: Final = 60_000
"""A run has some 5,000, and 20,000 at most."""


class LivelockError(Exception):
    """So much happens that something must go round in a circle."""


class Events:
    """What is to happen, by time. `now_ns` is the true time, which no part of the simulated system can read."""

    def __init__(self, seed: int, note: Callable[[str], None] | None = None) -> None:
        self.random: random.Random = random.Random(seed)  # noqa: S311 - it is to be predictable
        self.now_ns: int = 0
        self.happened_total: int = 0
        self._note = note
        self._hash = blake2b(digest_size=16)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._added = 0

    @property
    def digest(self) -> str:
        """A hash of everything that was noted."""
        return self._hash.hexdigest()

    def note(self, text: str) -> None:
        """Note that something happened."""
        line = f"{self.now_ns / SECOND:11.6f} {text}"
        self._hash.update(line.encode())
        if self._note is not None:
            self._note(line)

    def later(self, delay_ns: int, function: Callable[[], None]) -> None:
        """Call a function after a delay. Of those that are due at one time, the first added is called first."""
        self._added += 1
        heapq.heappush(self._queue, (self.now_ns + max(0, delay_ns), self._added, function))

    def run(self, duration_ns: int) -> None:
        """Let time pass, and everything happen that is due."""
        end_ns = self.now_ns + duration_ns
        queue = self._queue
        while queue and queue[0][0] <= end_ns:
            self.now_ns, _, function = heapq.heappop(queue)
            self.happened_total += 1
            if self.happened_total > _EVENTS_MAX:
                raise LivelockError(f"{self.happened_total} events in {self.now_ns / SECOND} s")
            function()
        self.now_ns = end_ns

    # --- chance --------------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return probability > 0 and self.random.random() < probability

    def between(self, least_s: float, most_s: float) -> int:
        """Return a duration, of which short ones are more frequent, in nanoseconds."""
        share = self.random.random() ** 2
        return int((least_s + (most_s - least_s) * share) * SECOND)
