"""How long to wait before a state is made anew once more."""

from __future__ import annotations

from typing import Final

__all__ = ["Backoff"]

_FIRST_S: Final = 0.5
_MOST_S: Final = 30.0
_SOON_NS: Final = 60_000_000_000


class Backoff:
    """Delays that double: what is needed again soon after is most likely needed again and again."""

    def __init__(self) -> None:
        self._delay_s = 0.0
        self._before_ns: int | None = None

    def delay_s(self, now_ns: int) -> float:
        """Return how long to wait, at a time of the monotonic clock."""
        is_soon = self._before_ns is not None and now_ns - self._before_ns < _SOON_NS
        self._delay_s = min(2 * self._delay_s, _MOST_S) if is_soon else _FIRST_S
        self._before_ns = now_ns
        return self._delay_s
