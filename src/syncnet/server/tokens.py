"""Named tokens, stored as hashes: which roles a token has in which namespaces.

This module owns the format of the token file, the lookup of a token, and the creation of new tokens. Its rules:

- The server stores only the SHA-256 of a token, never the token. A token is 256 random bits, so it cannot be guessed; a
  slow hash is for passwords that people choose, and would only slow down the server.
- A token is compared with every entry, each time in constant time, so the duration reveals nothing.
- No message contains text from the file, except names of tokens and known keys: a user may have pasted a token where
  its hash belongs.

This module knows nothing about HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import yaml

from syncnet.core.labels import shown
from syncnet.errors import AccessError

__all__ = ["ROLES", "Token", "TokenFileError", "Tokens", "load_tokens", "new_token", "parse_tokens"]

ROLES: Final = ("sync", "observe", "admin")
"""`sync`: make offers and withdraw them; `observe`: read pending offers and the trace; `admin`: both, and abort."""

_KEYS: Final = ("name", "sha256", "namespaces", "roles")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PATTERN: Final = re.compile(r"[-A-Za-z0-9_.*]{1,63}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_FILE_BYTES_MAX: Final = 1_048_576
_TOKENS_MAX: Final = 1_000  # every request is compared with all of them
_TOKEN_BYTES: Final = 32


class TokenFileError(Exception):
    """The token file cannot be used; the message says where and why, and never contains a token."""


@dataclass(frozen=True, slots=True)
class Token:
    """One entry of the file: a name, the SHA-256 of the token, and what a caller with this token may do."""

    name: str
    sha256: bytes = field(repr=False)
    namespaces: tuple[str, ...]
    roles: frozenset[str]

    def require(self, role: str, namespace: str | None = None) -> None:
        """Return if this token has `role` (`admin` includes all) in `namespace` (in any, if None).

        :raises AccessError: it lacks the role or the namespace.
        """
        if role not in self.roles and "admin" not in self.roles:
            has = ", ".join(sorted(self.roles))
            raise AccessError("forbidden", f"expected a token with the role {role}, got {self.name} with {has}")
        if namespace is not None and not any(fnmatchcase(namespace, pattern) for pattern in self.namespaces):
            has = ", ".join(self.namespaces)
            raise AccessError(
                "forbidden", f"expected a token for the namespace {shown(namespace)}, got {self.name} for {has}"
            )


class Tokens:
    """All tokens that a server accepts."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, secret: str) -> Token | None:
        """Return the entry of the token `secret`, or None. Takes the same time for every token, known or unknown."""
        sha256 = _sha256(secret)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, sha256):
                found = token
        return found

    def renewed(self, token: Token) -> Token | None:
        """Return the entry of the same secret as that of an entry of other tokens; None where there is none."""
        return next((each for each in self._tokens if each.sha256 == token.sha256), None)


def load_tokens(path: Path) -> Tokens:
    """Return the tokens of a file.

    :raises TokenFileError: it cannot be read, is not a regular file, is world-writable, or is invalid.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # opening a pipe would block the server
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise TokenFileError(f"{path}: expected a regular file")
            if mode & stat.S_IWOTH:
                raise TokenFileError(
                    f"{path}: expected a file that only its owner and group can write, got one that every user can "
                    f"write; chmod o-w {path}"
                )
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TokenFileError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _FILE_BYTES_MAX:
        raise TokenFileError(f"{path}: expected at most {_FILE_BYTES_MAX} bytes")
    try:
        return parse_tokens(content)
    except TokenFileError as error:
        raise TokenFileError(f"{path}: {error}") from None


def parse_tokens(content: bytes) -> Tokens:
    """Return the tokens from the content of a token file (YAML or JSON, in UTF-8).

    :raises TokenFileError: the content is invalid; the message has the line and the entry.
    """
    try:
        root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise TokenFileError(f"{at}expected valid YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise TokenFileError("expected YAML in UTF-8") from None
    if not isinstance(root, yaml.SequenceNode):
        raise TokenFileError(f"expected a list of tokens, each with {', '.join(_KEYS)}")
    if len(root.value) > _TOKENS_MAX:
        raise TokenFileError(f"expected at most {_TOKENS_MAX} tokens, got {len(root.value)}")
    tokens = [_token(node, number) for number, node in enumerate(root.value, start=1)]
    for what, values in (("name", [t.name for t in tokens]), ("sha256", [t.sha256.hex() for t in tokens])):
        for number, value in enumerate(values):
            if value in values[:number]:
                node, first = root.value[number], values.index(value)
                raise _error(node, number + 1, f"{what}: expected a unique value, got that of entry {first + 1}")
    return Tokens(tokens)


def new_token(name: str, namespaces: Iterable[str], roles: Iterable[str]) -> tuple[str, str]:
    """Return a new token and its entry for the token file, as the YAML text of one list item.

    :raises TokenFileError: the name, a pattern or a role is invalid.
    """
    secret = f"syncnet_{secrets.token_urlsafe(_TOKEN_BYTES)}"  # the prefix lets scanners find leaked tokens
    patterns = [f'"{_checked_pattern(pattern)}"' for pattern in namespaces]
    lines = (
        f"- name: {_checked_name(name)}",
        f"  sha256: {_sha256(secret).hex()}",
        f"  namespaces: [{', '.join(patterns)}]",
        f"  roles: [{', '.join(map(_checked_role, roles))}]",
    )
    return secret, "\n".join(lines)


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _error(node: yaml.Node, number: int, message: str) -> TokenFileError:
    return TokenFileError(f"line {node.start_mark.line + 1}, entry {number}: {message}")


def _token(node: yaml.Node, number: int) -> Token:
    """Parse one entry. Scalars are read as plain text, so that a name `no` or a hash of digits remains a string."""
    if not isinstance(node, yaml.MappingNode):
        raise _error(node, number, f"expected a map with {', '.join(_KEYS)}")
    values: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in _KEYS:
            raise _error(key, number, f"expected the keys {', '.join(_KEYS)}, got another one")
        if key.value in values:
            raise _error(key, number, f"{key.value}: given twice")
        values[key.value] = value
    for name in _KEYS:
        if name not in values:
            raise _error(node, number, f"{name}: missing")
    where: yaml.Node = node
    try:
        where = values["name"]
        name = _checked_name(_text(where))
        where = values["sha256"]
        sha256 = _checked_sha256(_text(where))
        where = values["namespaces"]
        namespaces = tuple(_checked_pattern(text) for text in _texts(where))
        where = values["roles"]
        roles = frozenset(_checked_role(text) for text in _texts(where))
    except TokenFileError as error:
        raise _error(where, number, str(error)) from None
    return Token(name, sha256, namespaces, roles)


def _text(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _texts(node: yaml.Node) -> list[str]:
    return [_text(each) for each in node.value] if isinstance(node, yaml.SequenceNode) and node.value else [""]


def _checked_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise TokenFileError(
            "name: expected at most 63 letters, digits, '-', '_' and '.', the first and last a letter or digit"
        )
    return text


def _checked_sha256(text: str) -> bytes:
    if not _SHA256.fullmatch(text):
        raise TokenFileError("sha256: expected 64 hexadecimal digits, as `syncnet token` prints them")
    return bytes.fromhex(text)


def _checked_pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise TokenFileError(
            'namespaces: expected a list of names of namespaces, in which "*" matches any characters (quote it)'
        )
    return text


def _checked_role(text: str) -> str:
    if text not in ROLES:
        raise TokenFileError(f"roles: expected a list of {', '.join(ROLES)}")
    return text
