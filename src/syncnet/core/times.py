"""Timestamps in the format of RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["rfc3339"]


def rfc3339(at_ns: int) -> str:
    """Format a time, given in nanoseconds since the Unix epoch, as UTC with microseconds."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
