"""How a client holds on to what it asked for while the server or the network is away: when to ask again, when not.

Pure: the clock's time comes in with every call, and the waiting is left to the caller. All times are in seconds of
one monotonic clock.

- Asking again is safe, because it is done with the same id and the same parameters (G7).
- The server's own deadline decides, as long as it is there to tell. So a client waits a grace longer than the timeout,
  a longer one while its first request stands: no other answer says who was missing.
- A server may be away, or turn requests away, for `reconnect_s` at a stretch. A request that stood for longer than a
  second ends a stretch.
- A request that broke may reach the server later than the one that was sent after it, and take its place. So "replaced"
  is believed only if there are no such requests left.
"""

from __future__ import annotations

import random
from typing import Final

from syncnet.errors import SyncnetError, UnavailableError

__all__ = ["CONNECT_S_MAX", "RetryState", "may_help_to_ask_again"]

CONNECT_S_MAX: Final = 10.0
"""How long a connection may take to be made."""

_GRACES_S: Final = (5.0, 1.0)
_STOOD_S: Final = 1.0
_DELAY_FIRST_S: Final = 0.025
_DELAY_S_MAX: Final = 1.0
_DOUBLINGS_MAX: Final = 16


class RetryState:
    """One thing that is asked for until there is an answer.

    `timeout_s` and `reconnect_s` may be None, for ever. `graces_s` are for how long an answer is waited for after the
    timeout, the first time it is asked for and later ones.
    """

    def __init__(
        self,
        now_s: float,
        timeout_s: float | None,
        reconnect_s: float | None,
        graces_s: tuple[float, float] = _GRACES_S,
    ) -> None:
        self._graces_s = graces_s
        self.ends_s = None if timeout_s is None else now_s + timeout_s
        self._started_s = now_s
        self._reconnect_s = reconnect_s
        self._asked_s: float | None = None
        self._away_since_s: float | None = None
        self._failures = 0
        self._broken = 0
        self._is_first = True

    def gives_up_s(self) -> float | None:
        """Return when to wait no longer for an answer to the request that is made now; None for never."""
        if self.ends_s is None:
            return None
        return self.ends_s + self._graces_s[0 if self._is_first else 1]

    def is_late(self, now_s: float) -> bool:
        """Return whether the time is over."""
        return self.ends_s is not None and now_s >= self.ends_s

    def waited_s(self, now_s: float) -> float:
        """Return how long it has taken so far."""
        return now_s - self._started_s

    def sent(self, now_s: float) -> bool:
        """Note that the whole request is on its way; return whether that is news after trouble."""
        self._asked_s = now_s
        return self._failures > 0

    @property
    def may_be_known(self) -> bool:
        """Return whether a server may know of it."""
        return self._asked_s is not None or self._broken > 0

    @property
    def has_broken(self) -> bool:
        """Return whether a request was sent whose end is not known."""
        return self._broken > 0

    def answered(self) -> None:
        """Note that the request has come to an end by an answer, whatever it said."""
        self._asked_s = None

    def broke(self, now_s: float) -> None:
        """Note that the connection was lost, or was never made."""
        if self._asked_s is not None:
            self._broken += 1
            if now_s - self._asked_s >= _STOOD_S:
                self._away_since_s = None
                self._failures = 0
        self._asked_s = None

    def was_replaced_by_itself(self) -> bool:
        """Return whether it can have been an earlier request of this ride that took the place; once for each."""
        if self._broken == 0:
            return False
        self._broken -= 1
        return True

    def delay_s(self, now_s: float, trouble: SyncnetError) -> float:
        """Return how long to wait before asking again, at most until the time is over.

        :raises UnavailableError: the server has been away for too long; it is `trouble`, where that is one.
        """
        if self._away_since_s is None:
            self._away_since_s = now_s
        away_s = now_s - self._away_since_s
        if self._reconnect_s is not None and away_s >= self._reconnect_s:
            raise trouble
        self._is_first = False
        delay_s_max = min(_DELAY_S_MAX, _DELAY_FIRST_S * (1 << min(self._failures, _DOUBLINGS_MAX)))
        delay_s = random.random() * delay_s_max  # noqa: S311 - only that not all ask at once
        self._failures += 1
        if isinstance(trouble, UnavailableError) and trouble.retry_after_s is not None:
            delay_s += trouble.retry_after_s
        bounds_s = [delay_s]
        if self._reconnect_s is not None:
            bounds_s.append(self._reconnect_s - away_s)
        if self.ends_s is not None:
            bounds_s.append(max(0.0, self.ends_s - now_s))
        return min(bounds_s)


def may_help_to_ask_again(trouble: SyncnetError) -> bool:
    """Return whether the same request may succeed by itself a little later."""
    return isinstance(trouble, UnavailableError) and trouble.retry_safe
