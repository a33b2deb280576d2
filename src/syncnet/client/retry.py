"""When a client sends a request again, and when it gives up.

`RetryState` is pure: it is given the time, and its caller does the waiting. All times are seconds of one monotonic
clock.

- Sending a request again is safe, because it has the same id and the same parameters (G7).
- The deadline of the server decides as long as the server can be reached, because only its answer says who was
  missing. So the client waits for an answer longer than the timeout: 5 s after the first request, 1 s after later ones.
- The server may be unavailable for `reconnect_s` at a time. A request that was pending for at least a second ends such
  an outage.
- Where there are several servers, a request whose server fails goes to the next one at once. Only after all have failed
  the client waits.
- A request whose connection was lost may reach the server after the request that repeats it, and replace that one. So
  the client ignores one "replaced" for each connection that was lost.
"""

from __future__ import annotations

import random
from typing import Final

from syncnet.errors import SyncnetError, UnavailableError

__all__ = ["CONNECT_S_MAX", "RetryState", "is_of_server", "is_retryable"]

CONNECT_S_MAX: Final = 10.0
"""How long opening a connection may take."""

_GRACES_S: Final = (5.0, 1.0)
_STABLE_S: Final = 1.0
_FIRST_DELAY_S_MAX: Final = 0.025
_DELAY_S_MAX: Final = 1.0
_DOUBLINGS_MAX: Final = 16
_CODES_OF_SERVERS: Final = frozenset(("unavailable", "cluster", "draining"))


class RetryState:
    """The attempts at one request.

    `timeout_s` bounds the whole, and `reconnect_s` bounds each outage of the server; None is no bound. `graces_s` says
    how long to wait for an answer after the timeout: for the first attempt, and for later ones. `servers_total` is how
    many servers there are.
    """

    def __init__(
        self,
        now_s: float,
        timeout_s: float | None,
        reconnect_s: float | None,
        graces_s: tuple[float, float] = _GRACES_S,
        servers_total: int = 1,
    ) -> None:
        self._graces_s = graces_s
        self._deadline_s = None if timeout_s is None else now_s + timeout_s
        self._started_s = now_s
        self._reconnect_s = reconnect_s
        self._sent_s: float | None = None
        self._outage_since_s: float | None = None
        self._failures = 0
        self._servers_total = servers_total
        self._servers_failed = 0  # since the last wait
        self._lost_requests = 0
        self._is_first_attempt = True

    @property
    def failures(self) -> int:
        """The failed attempts of the present outage."""
        return self._failures

    def answer_deadline_s(self) -> float | None:
        """Return when to stop waiting for an answer to the present attempt, or None for never."""
        if self._deadline_s is None:
            return None
        return self._deadline_s + self._graces_s[0 if self._is_first_attempt else 1]

    def is_past_deadline(self, now_s: float) -> bool:
        """Return whether the timeout has passed."""
        return self._deadline_s is not None and now_s >= self._deadline_s

    def waited_s(self, now_s: float) -> float:
        """Return the time since the start."""
        return now_s - self._started_s

    @property
    def may_have_reached_server(self) -> bool:
        """Whether a server may have received the request."""
        return self._sent_s is not None or self._lost_requests > 0

    @property
    def has_lost_request(self) -> bool:
        """Whether a connection was lost after the request was sent on it, so that its outcome is not known."""
        return self._lost_requests > 0

    def note_sent(self, now_s: float) -> bool:
        """Note that the request is being sent; return whether this is the first success after failures."""
        self._sent_s = now_s
        return self._failures > 0

    def note_answered(self) -> None:
        """Note that the present attempt has been answered."""
        self._sent_s = None

    def note_connection_lost(self, now_s: float) -> None:
        """Note that the connection was lost, or could not be opened."""
        if self._sent_s is not None:
            self._lost_requests += 1
            if now_s - self._sent_s >= _STABLE_S:
                self._outage_since_s = None
                self._failures = self._servers_failed = 0
        self._sent_s = None

    def was_replaced_by_own_request(self) -> bool:
        """Return whether an earlier request of this client may have replaced the present one; once for each."""
        if self._lost_requests == 0:
            return False
        self._lost_requests -= 1
        return True

    def next_delay_s(self, now_s: float, failure: SyncnetError) -> float:
        """Return how long to wait before the next attempt; it does not go beyond the timeout.

        After a failure of a server (`is_of_server`) the next attempt must go to another server, where there is one.

        :raises SyncnetError: `failure` itself, if the outage has lasted for `reconnect_s`.
        """
        if self._outage_since_s is None:
            self._outage_since_s = now_s
        outage_s = now_s - self._outage_since_s
        if is_of_server(failure) and self._servers_failed < self._servers_total - 1:
            self._is_first_attempt = False
            self._servers_failed += 1
            self._failures += 1
            return 0.0
        self._servers_failed = 0
        if self._reconnect_s is not None and outage_s >= self._reconnect_s:
            raise failure
        self._is_first_attempt = False
        delay_s_max = min(
            _DELAY_S_MAX, _FIRST_DELAY_S_MAX * (1 << min(self._failures // self._servers_total, _DOUBLINGS_MAX))
        )
        delay_s = random.random() * delay_s_max  # noqa: S311 - it spreads the retries of many clients
        self._failures += 1
        if isinstance(failure, UnavailableError) and failure.retry_after_s is not None:
            delay_s += failure.retry_after_s
        bounds_s = [delay_s]
        if self._reconnect_s is not None:
            bounds_s.append(self._reconnect_s - outage_s)
        if self._deadline_s is not None:
            bounds_s.append(max(0.0, self._deadline_s - now_s))
        return min(bounds_s)


def is_of_server(failure: SyncnetError) -> bool:
    """Return whether another server may answer the same request: this one is not reachable, or accepts nothing."""
    return isinstance(failure, UnavailableError) and failure.code in _CODES_OF_SERVERS


def is_retryable(failure: SyncnetError) -> bool:
    """Return whether the same request may succeed a little later."""
    return isinstance(failure, UnavailableError) and failure.retry_safe
