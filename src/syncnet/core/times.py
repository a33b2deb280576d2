"""Moments as RFC 3339 writes them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["rfc3339"]


def rfc3339(at_ns: int) -> str:
    """Return a moment, given in nanoseconds since the Unix epoch, in UTC with microseconds."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
