"""Kubernetes labels: which keys and values are valid.

The rules are those of k8s.io/apimachinery: `validation.IsQualifiedName` for keys, `validation.IsValidLabelValue` for
values. This module knows nothing about offers; `selectors.py` builds on it.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from syncnet.core.limits import LABEL_NAME_CHARACTERS_MAX, LABEL_PREFIX_CHARACTERS_MAX
from syncnet.errors import LabelError

__all__ = ["NAME_PATTERN", "Labels", "check_key", "check_value", "is_name", "readable", "shown"]

Labels: TypeAlias = dict[str, str]
"""The labels of one offer; they are not changed after the offer was made."""

NAME_PATTERN: Final = rf"[A-Za-z0-9](?:[-A-Za-z0-9_.]{{0,{LABEL_NAME_CHARACTERS_MAX - 2}}}[A-Za-z0-9])?"
"""A regular expression for a name, which is also any label value that is not empty. Use it with `fullmatch`."""

_NAME: Final = re.compile(NAME_PATTERN)
_SUBDOMAIN_PART: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_SUBDOMAIN_PART}(?:\.{_SUBDOMAIN_PART})*")
_NAME_RULE: Final = (
    f"1 to {LABEL_NAME_CHARACTERS_MAX} letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
)
_READABLE_CHARACTERS_MAX: Final = 80


def readable(text: str) -> str:
    """Return `text` for one line of an error message: escaped, and truncated to 80 characters."""
    cut = text if len(text) <= _READABLE_CHARACTERS_MAX else text[:_READABLE_CHARACTERS_MAX] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def shown(text: str) -> str:
    """Return `readable(text)` in double quotes."""
    return f'"{readable(text)}"'


def is_name(text: str) -> bool:
    """Return whether `text` is a non-empty label value. Names of actors have the same form."""
    return _NAME.fullmatch(text) is not None


def check_value(value: str, what: str = "a label value") -> str:
    """Return `value` if it is a valid label value: empty, or a name of at most 63 characters.

    `what` names the value in the message.

    :raises LabelError: the value is invalid.
    """
    if value and not is_name(value):
        raise LabelError(f"expected {what} ({_NAME_RULE}), got {shown(value)}")
    return value


def check_key(key: str) -> str:
    """Return `key` if it is a valid label key: a name, or a DNS subdomain, a slash and a name.

    :raises LabelError: the key is invalid.
    """
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > LABEL_PREFIX_CHARACTERS_MAX or not _SUBDOMAIN.fullmatch(prefix)):
        raise LabelError(
            f"expected a label key whose prefix is a DNS subdomain of at most {LABEL_PREFIX_CHARACTERS_MAX} "
            f"characters, got {shown(key)}"
        )
    if not is_name(name):
        raise LabelError(f"expected a label key ({_NAME_RULE}; a DNS subdomain and '/' before it), got {shown(key)}")
    return key
