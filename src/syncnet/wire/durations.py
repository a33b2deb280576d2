"""Durations in text form: `250ms`, `5s`, `2m`, `1h30m`, or a plain number of seconds."""

from __future__ import annotations

import re
from typing import Final

from syncnet.core.labels import shown
from syncnet.errors import ParameterError

__all__ = ["parse_duration_s"]

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_BARE: Final = re.compile(_NUMBER)
_PART: Final = re.compile(rf"({_NUMBER})(ms|s|m|h)")
_WHOLE: Final = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h))+")


def parse_duration_s(parameter: str, text: str) -> float:
    """Parse a duration; return its seconds.

    :raises ParameterError: `text` is not a duration; the error names `parameter`.
    """
    if _BARE.fullmatch(text):
        return float(text)
    if _WHOLE.fullmatch(text):
        return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    raise ParameterError(
        parameter, f"expected a duration such as 250ms, 5s, 2m or a number of seconds, got {shown(text)}"
    )
