"""Content negotiation: chooses a format from the `Accept` header of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["preferred_output", "preferred_trace_output"]

_JSON_RANGES: Final = ("application/json", "text/json", "application/*", "*/*")
_OUTPUTS: Final = {
    "json": _JSON_RANGES,
    "yaml": ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/*"),
}
_TRACE_OUTPUTS: Final = {
    "json": _JSON_RANGES,
    "sse": ("text/event-stream",),
    "jsonl": ("application/jsonl",),
}
_WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def preferred_output(accept: str) -> str:
    """Return the format with the highest weight in an `Accept` header (RFC 9110, 12.5.1); JSON if both are equal."""
    return _preferred(accept, _OUTPUTS)


def preferred_trace_output(accept: str) -> str:
    """Return the format of the trace with the highest weight: `json` (a page), or live as `sse` or `jsonl`."""
    return _preferred(accept, _TRACE_OUTPUTS)


def _preferred(accept: str, outputs: Mapping[str, tuple[str, ...]]) -> str:
    """Return the output with the highest weight; the first of those that are equal."""
    if not accept or accept == "*/*":
        return "json"
    weight_of = dict.fromkeys(outputs, 0.0)
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [match[1] for piece in parameters if (match := _WEIGHT.fullmatch(piece))]
        weight = float(weights[0]) if weights else 1.0
        for output, ranges in outputs.items():
            if media_range in ranges:
                weight_of[output] = max(weight_of[output], weight)
    return max(weight_of, key=weight_of.__getitem__)
