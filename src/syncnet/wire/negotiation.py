"""Content negotiation: chooses the format of a response from the `Accept` header of a request (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["preferred_output", "prefers_openmetrics"]

_JSON_RANGES: Final = ("application/json", "text/json", "application/*", "*/*")
_YAML_RANGES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/*")
_OPENMETRICS_RANGES: Final = ("application/openmetrics-text",)
_TEXT_RANGES: Final = ("text/plain", "text/*", "*/*")
_WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def preferred_output(accept: str) -> str:
    """Return the format with the highest weight in an `Accept` header; JSON if both are equal."""
    if not accept or accept == "*/*":
        return "json"
    json_weight, yaml_weight = _weights(accept, _JSON_RANGES, _YAML_RANGES)
    return "yaml" if yaml_weight > json_weight else "json"


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an `Accept` header names OpenMetrics, and nothing that fits plain text has a higher weight."""
    openmetrics_weight, text_weight = _weights(accept, _OPENMETRICS_RANGES, _TEXT_RANGES)
    return openmetrics_weight > 0 and openmetrics_weight >= text_weight


def _weights(accept: str, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[float, float]:
    """Return the highest weight of each of two kinds of media ranges; 0 where none is named."""
    first_weight = second_weight = 0.0
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [match[1] for piece in parameters if (match := _WEIGHT.fullmatch(piece))]
        weight = float(weights[0]) if weights else 1.0
        if media_range in first:
            first_weight = max(first_weight, weight)
        elif media_range in second:
            second_weight = max(second_weight, weight)
    return first_weight, second_weight
