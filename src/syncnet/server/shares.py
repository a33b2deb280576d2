"""Fair shares: how much processor time each client may use, over time, for requests that take long (G8).

Work is counted in steps; a step takes half a microsecond to one (`core/steps.py`). Each client has a token bucket of
steps, which refills at a steady rate. A request that takes many steps is charged to its client after it was processed.
So is a refused request, because a client that sends nothing else uses time too. While the bucket of a client is empty,
its requests are refused. Ordinary requests cost nothing here.

A client is the name of its token, or else its address. Without tokens all clients behind one proxy are one client.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from syncnet.core.limits import Limits
from syncnet.server.responses import Header

__all__ = ["REFUSAL_STEPS", "Shares"]

REFUSAL_STEPS: Final = 50
"""What a refused request is charged: about the time that it takes."""

_CLIENTS_MAX: Final = 10_000  # more have sent nothing dear for a long time, or are an attack from many addresses


class Shares:
    """The buckets of all clients; any thread may call. `monotonic` is a clock in seconds."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._steps_max = limits.client_steps_max
        self._steps_per_s = limits.client_steps_per_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # steps left, and when that was
        self.debtors: set[str] = set()
        """The clients whose buckets were empty when they were last looked at."""

    def charge(self, client: str, steps: int) -> None:
        """Charge a client for work that was done for it."""
        with self._lock:
            left = self._left(client) - steps
            self._levels[client] = left, self._monotonic()
            self._levels.move_to_end(client)
            if left <= 0:
                self.debtors.add(client)
            if len(self._levels) > _CLIENTS_MAX:
                forgotten, _ = self._levels.popitem(last=False)
                self.debtors.discard(forgotten)

    def wait_s(self, client: str) -> float:
        """Return in how many seconds the requests of a client are accepted again, 0 where they are."""
        if client not in self.debtors:
            return 0.0
        with self._lock:
            left = self._left(client)
            if left > 0:
                self.debtors.discard(client)
                return 0.0
            return (1 - left) / self._steps_per_s

    def headers(self, wait_s: float) -> list[Header]:
        """Return the headers of a refusal (draft-ietf-httpapi-ratelimit-headers, and Retry-After of RFC 9110)."""
        seconds = math.ceil(wait_s)
        window_s = math.ceil(self._steps_max / self._steps_per_s)
        return [
            ("ratelimit-policy", f'"steps";q={self._steps_max};w={window_s}'),
            ("ratelimit", f'"steps";r=0;t={seconds}'),
            ("retry-after", str(seconds)),
        ]

    def _left(self, client: str) -> float:
        """Return how many steps a client has left now. A debt is at most a bucket, so that it is paid in time."""
        if client not in self._levels:
            return float(self._steps_max)
        left, at = self._levels[client]
        left = max(left, -float(self._steps_max))
        return min(float(self._steps_max), left + (self._monotonic() - at) * self._steps_per_s)
