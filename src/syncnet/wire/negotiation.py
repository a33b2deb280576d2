"""Content negotiation: chooses the format of a response from the `Accept` header of a request (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["preferred_explain_output", "preferred_output", "preferred_trace_output", "prefers_openmetrics"]

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
_EXPLAIN_OUTPUTS: Final = {
    "json": ("application/json", "text/json", "application/*"),
    "text": ("text/plain", "text/html", "text/*"),  # which a browser accepts
}
_METRICS_OUTPUTS: Final = {
    "openmetrics": ("application/openmetrics-text",),
    "text": ("text/plain", "text/*", "*/*"),
}
_WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def preferred_output(accept: str) -> str:
    """Return the format with the highest weight in an `Accept` header; JSON if both are equal."""
    return _preferred(accept, _OUTPUTS)


def preferred_trace_output(accept: str) -> str:
    """Return the format of the trace with the highest weight: `json` (a page), or live as `sse` or `jsonl`."""
    return _preferred(accept, _TRACE_OUTPUTS)


def preferred_explain_output(accept: str) -> str:
    """Return the format of explanations with the highest weight: `json`, or `text` for people."""
    return _preferred(accept, _EXPLAIN_OUTPUTS)


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an `Accept` header names OpenMetrics, and nothing that fits plain text has a higher weight."""
    weight_of = _weights(accept, _METRICS_OUTPUTS)
    return 0 < weight_of["openmetrics"] >= weight_of["text"]


def _preferred(accept: str, outputs: Mapping[str, tuple[str, ...]]) -> str:
    """Return the output with the highest weight; the first of those that are equal."""
    if not accept or accept == "*/*":
        return "json"
    weight_of = _weights(accept, outputs)
    return max(weight_of, key=weight_of.__getitem__)


def _weights(accept: str, outputs: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the highest weight of each output; 0 where it is not named."""
    weight_of = dict.fromkeys(outputs, 0.0)
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [match[1] for piece in parameters if (match := _WEIGHT.fullmatch(piece))]
        weight = float(weights[0]) if weights else 1.0
        for output, ranges in outputs.items():
            if media_range in ranges:
                weight_of[output] = max(weight_of[output], weight)
    return weight_of
