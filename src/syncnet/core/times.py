"""Timestamps in the format of RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["rfc3339"]


def rfc3339(at_ns: int) -> str:
    """Format a time, given in nanoseconds since the Unix epoch, as UTC with microseconds."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=16)  # most times that are formatted in a row are of the same second
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
