"""Content negotiation: chooses `json` or `yaml` from the `Accept` header of a request."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["preferred_output"]

_JSON_RANGES: Final = ("application/json", "text/json", "application/*", "*/*")
_YAML_RANGES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/*")
_WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def preferred_output(accept: str) -> str:
    """Return the format with the highest weight in an `Accept` header (RFC 9110, 12.5.1); JSON if both are equal."""
    if not accept or accept == "*/*":
        return "json"
    json_weight = yaml_weight = 0.0
    for part in accept.lower().split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [match[1] for piece in parameters if (match := _WEIGHT.fullmatch(piece))]
        weight = float(weights[0]) if weights else 1.0
        if media_range in _JSON_RANGES:
            json_weight = max(json_weight, weight)
        elif media_range in _YAML_RANGES:
            yaml_weight = max(yaml_weight, weight)
    return "yaml" if yaml_weight > json_weight else "json"
