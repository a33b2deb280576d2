"""Durations in text form: `250ms`, `5s`, `2m`, `1h30m`, or a plain number of seconds."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from syncnet.core.labels import shown
from syncnet.errors import ParameterError

__all__ = ["parse_duration", "parse_duration_s"]

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_BARE: Final = re.compile(_NUMBER)
_PART: Final = re.compile(rf"({_NUMBER})(ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h))+")


_CACHE_ENTRIES_MAX: Final = 1_024
_CACHED_CHARACTERS_MAX: Final = 32


def parse_duration_s(parameter: str, text: str) -> float:
    """Parse a duration; return its seconds.

    :raises ParameterError: `text` is not a duration; the error names `parameter`.
    """
    try:
        return _seconds(text)
    except ValueError:
        wanted = "a duration such as 250ms, 5s, 2m or a number of seconds"
        raise ParameterError(parameter, f"expected {wanted}, got {shown(text)}") from None


@lru_cache(maxsize=_CACHE_ENTRIES_MAX)
def parse_duration(text: str) -> tuple[float, int]:
    """Return the seconds that `text` says, and the same in nanoseconds.

    :raises ValueError: it is not a duration, or is unusually long.
    """
    if len(text) > _CACHED_CHARACTERS_MAX:
        raise ValueError(text)
    seconds = _seconds(text)
    return seconds, round(seconds * 1e9)


def _seconds(text: str) -> float:
    if _BARE.fullmatch(text):
        return float(text)
    if _WHOLE.fullmatch(text):
        return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    raise ValueError(text)
