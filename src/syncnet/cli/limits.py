"""Limits as options: `--limit NAME=VALUE`, and the two that have an option of their own.

The names are those of the fields of `Limits`, with hyphens. `Limits` has the meaning, default and range of each, and
docs/limits.md is generated from it. This module owns only how the limits are written on a command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any, Final, NamedTuple

import click

from syncnet.cli.durations import DURATION
from syncnet.core.limits import LIMITS, Limits
from syncnet.wire.parameters import did_you_mean

__all__ = ["limit_options", "limits_of"]

_FIELDS: Final = {field.name.replace("_", "-"): field for field in fields(Limits)}
_OWN_OPTIONS: Final = {"trace-syncs-max": "--trace-keep", "outcome-ttl-s": "--outcome-ttl"}


class _Limit(NamedTuple):
    field: str
    value: int


class _LimitType(click.ParamType[_Limit]):
    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Limit:
        if isinstance(value, _Limit):
            return value
        name, equals, number = str(value).partition("=")
        if not equals:
            self.fail(f"expected NAME=VALUE such as payload-bytes-max=1000000, got {value!r}", param, ctx)
        if name not in _FIELDS:
            self.fail(f"{name}: no such limit; {did_you_mean(name, _FIELDS)}", param, ctx)
        lowest, highest = (_FIELDS[name].metadata[end] for end in ("lowest", "highest"))
        if not (number.isascii() and number.isdecimal() and len(number) <= 20 and lowest <= int(number) <= highest):
            self.fail(f"{name}: expected a whole number from {lowest} to {highest}, got {number!r}", param, ctx)
        return _Limit(_FIELDS[name].name, int(number))


class _WholeSeconds(click.ParamType[int]):
    """Whole seconds, written as a duration; fractions are rounded up."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        seconds = DURATION.convert(value, param, ctx)
        highest = _FIELDS["outcome-ttl-s"].metadata["highest"]
        if not 0 < seconds <= highest:
            self.fail(f"expected more than 0 and at most {highest} seconds, got {value!r}", param, ctx)
        return -int(-seconds // 1)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--limit`, `--trace-keep` and `--outcome-ttl`; `limits_of` takes their values."""
    decorators = (
        click.option(
            "--limit",
            "limits",
            type=_LimitType(),
            multiple=True,
            metavar="NAME=VALUE",
            help="Set a limit, such as payload-bytes-max=1000000; may be repeated. docs/limits.md lists them.",
        ),
        click.option(
            "--trace-keep",
            type=click.IntRange(1, _FIELDS["trace-syncs-max"].metadata["highest"]),
            help=f"How many syncs the trace keeps.  [default: {LIMITS.trace_syncs_max}]",
        ),
        click.option(
            "--outcome-ttl",
            type=_WholeSeconds(),
            help=f"How long the outcome of an offer with an id is kept.  [default: {LIMITS.outcome_ttl_s}s]",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def limits_of(limits: Iterable[_Limit], trace_keep: int | None, outcome_ttl: int | None) -> Limits:
    """Return the limits that the options set.

    :raises click.UsageError: one limit was set twice.
    """
    given = [*limits]
    if trace_keep is not None:
        given.append(_Limit("trace_syncs_max", trace_keep))
    if outcome_ttl is not None:
        given.append(_Limit("outcome_ttl_s", outcome_ttl))
    values: dict[str, int] = {}
    for field, value in given:
        if field in values:
            name = field.replace("_", "-")
            too = f", or as {_OWN_OPTIONS[name]}" if name in _OWN_OPTIONS else ""
            raise click.UsageError(f"--limit {name}: expected once{too}, got it twice")
        values[field] = value
    return replace(LIMITS, **values)
