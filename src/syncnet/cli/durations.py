"""Options that are durations: `250ms`, `5s`, `2m`, or a number of seconds."""

from __future__ import annotations

from typing import Any, Final

import click

from syncnet.errors import ParameterError
from syncnet.wire.durations import parse_duration_s

__all__ = ["DURATION"]


class _Duration(click.ParamType[float]):
    """A duration, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return float(value)
        try:
            return parse_duration_s("", value)
        except ParameterError as error:
            self.fail(str(error).removeprefix(": "), param, ctx)


DURATION: Final = _Duration()
