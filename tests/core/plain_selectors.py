"""A second, simple evaluator of selectors. It reads their canonical text and shares no code with `syncnet.core`."""

import re
from collections.abc import Mapping
from functools import cache

_PART = re.compile(r"[^,(]+(?:\([^)]*\))?")
_TEST = re.compile(
    r"(?P<no>!?)(?P<key>[^ =!<>]+)(?: (?P<word>in|notin) \((?P<list>.*)\)|(?P<sign>!=|=|>|<)(?P<value>.*))?"
)


@cache
def _tests(text: str) -> list[tuple[str, str, list[str]]]:
    """Return the key, the operator and the values of each part of a selector."""
    tests = []
    for part in _PART.findall(text):
        found = _TEST.fullmatch(part)
        assert found, f"{part!r} of {text!r} is no part of a canonical selector"
        if found["word"]:
            tests.append((found["key"], found["word"], found["list"].split(",")))
        elif found["sign"]:
            tests.append((found["key"], found["sign"], [found["value"]]))
        else:
            tests.append((found["key"], found["no"] or "exists", []))
    return tests


def selects(text: str, labels: Mapping[str, str]) -> bool:
    """Return whether `labels` match the selector that prints as `text`."""
    return all(met(key, operator, values, labels.get(key)) for key, operator, values in _tests(text))


def met(key: str, operator: str, values: list[str], value: str | None) -> bool:
    """Return whether a label of this value, None where it is absent, meets one part, as Kubernetes defines each."""
    match operator:
        case "=" | "==" | "in":
            return value is not None and value in values
        case "!=" | "notin":
            return value is None or value not in values
        case "exists":
            return value is not None
        case "!":
            return value is None
        case ">":
            return value is not None and value.isdecimal() and int(values[0]) < int(value) < 2**63
        case "<":
            return value is not None and value.isdecimal() and int(value) < min(int(values[0]), 2**63)
        case _:
            raise AssertionError(f"{key}: no such operator: {operator}")
