"""Kubernetes label selectors: parse, print, evaluate.

Grammar and meaning are those of `labels.Parse` in k8s.io/apimachinery (pkg/labels/selector.go), the corners too:

    selector    = "" | requirement { "," requirement }
    requirement = [ "!" ] key
                | key ( "=" | "==" | "!=" | ">" | "<" ) [ value ]
                | key ( "in" | "notin" ) "(" [ value ] { "," [ value ] } ")"

`in` and `notin` are words only where an operator stands; anywhere else they are keys and values. A value may be
empty. `x in ()` is `x in ("")`. Blanks may stand between any two tokens. `>` and `<` compare whole numbers that fit
into 64 bits; a label that is none does not match. `!=` and `notin` match where the key is absent.

Differs from Kubernetes in one thing: the printed form is canonical, so that equal selectors print alike. `==` is
printed as `=`, requirements are sorted and not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from syncnet.core.labels import Labels, check_key, check_value, shown
from syncnet.core.limits import LIMITS
from syncnet.errors import LabelError, SelectorError

__all__ = ["EVERYTHING", "Requirement", "Selector", "is_not_actor", "not_actor", "parse_selector"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_INTEGER_MAX: Final = 2**63 - 1
_TOKEN: Final = re.compile(r"(?P<blank>[ \t\r\n]+)|(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^ \t\r\n=!(),<>]+)")
_SYMBOL_OPERATORS: Final = {"=": "=", "==": "=", "!=": "!=", ">": ">", "<": "<"}
_WORD_OPERATORS: Final = ("in", "notin")
_CACHE_ENTRIES_MAX: Final = 4_096
_CACHED_CHARACTERS_MAX: Final = 128


@dataclass(slots=True, unsafe_hash=True, order=True)
class Requirement:
    """One part of a selector: a key, an operator and the values that it is compared with, sorted.

    The operators are `=`, `!=`, `in`, `notin`, `>`, `<`, `exists` and `!`.
    """

    key: Final[str]
    operator: Final[str]
    values: Final[tuple[str, ...]] = ()

    def matches(self, labels: Labels) -> bool:
        """Return whether `labels` meet this requirement."""
        return _MEANINGS[self.operator](labels.get(self.key), self.values)

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


def _integer(text: str) -> int | None:
    """Return the number that `text` is, as strconv.ParseInt(text, 10, 64) reads it; None where it would not."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)  # of at most 63 characters, as a label value
    return number if -_INTEGER_MAX - 1 <= number <= _INTEGER_MAX else None


def _greater(value: str | None, bounds: tuple[str, ...]) -> bool:
    number = None if value is None else _integer(value)
    return number is not None and number > int(bounds[0])


def _less(value: str | None, bounds: tuple[str, ...]) -> bool:
    number = None if value is None else _integer(value)
    return number is not None and number < int(bounds[0])


_MEANINGS: Final[dict[str, Callable[[str | None, tuple[str, ...]], bool]]] = {
    "=": lambda value, values: value in values,
    "in": lambda value, values: value in values,
    "!=": lambda value, values: value not in values,
    "notin": lambda value, values: value not in values,
    "exists": lambda value, _: value is not None,
    "!": lambda value, _: value is None,
    ">": _greater,
    "<": _less,
}


@dataclass(slots=True, unsafe_hash=True)
class Selector:
    """A set of requirements that must all be met, in canonical order; the empty one matches everything."""

    requirements: Final[tuple[Requirement, ...]]

    def matches(self, labels: Labels) -> bool:
        """Return whether `labels` meet every requirement."""
        for requirement in self.requirements:  # noqa: SIM110 - the hottest loop of all; `all` costs a generator
            if not requirement.matches(labels):
                return False
        return True

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING: Final = Selector(())


def not_actor(actor: str) -> Selector:
    """Return the default selector of an offer of `actor`: "not with another request of mine"."""
    return Selector((Requirement("actor", "!=", (actor,)),))


def is_not_actor(selector: Selector, actor: str) -> bool:
    """Return whether a selector is the default one of an offer of `actor`."""
    if len(selector.requirements) != 1:
        return False
    requirement = selector.requirements[0]
    return requirement.operator == "!=" and requirement.key == "actor" and requirement.values == (actor,)


def parse_selector(text: str, characters_max: int = LIMITS.selector_characters_max) -> Selector:
    """Return the selector that `text` writes, in so many characters at most.

    :raises SelectorError: `text` is not one; the message says what was expected, what came, and at which character.
    """
    if len(text) > characters_max:
        raise SelectorError(f"expected at most {characters_max} characters, got {len(text)}", characters_max)
    return _parse_often(text) if len(text) <= _CACHED_CHARACTERS_MAX else _Parser(text).selector()


@lru_cache(maxsize=_CACHE_ENTRIES_MAX)
def _parse_often(text: str) -> Selector:
    return _Parser(text).selector()


class _Token(NamedTuple):
    text: str  # "" at the end of the selector
    position: int

    @property
    def is_word(self) -> bool:
        return self.text != "" and self.text[0] not in "=!(),<>"

    def __str__(self) -> str:
        return shown(self.text) if self.text else "the end"


def _tokens(text: str) -> list[_Token]:
    found = [_Token(m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup != "blank"]
    return [*found, _Token("", len(text))]


class _Parser:
    """One pass over the tokens of one selector, from left to right, one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0

    def selector(self) -> Selector:
        if self._peek().text == "":
            return EVERYTHING
        requirements = {self._requirement()}
        while self._peek().text != "":
            self._expect(",", "',' or the end")
            requirements.add(self._requirement())
        return Selector(tuple(sorted(requirements)))

    def _requirement(self) -> Requirement:
        absent = self._peek().text == "!"
        if absent:
            self._take()
        key = self._checked(check_key, self._word("a label key" if absent else "'!' or a label key"))
        if absent:
            return Requirement(key, "!")
        token = self._peek()
        if token.text in ("", ","):
            return Requirement(key, "exists")
        self._take()
        if token.text in _WORD_OPERATORS:
            return Requirement(key, token.text, self._values())
        if token.text in _SYMBOL_OPERATORS:
            return Requirement(key, _SYMBOL_OPERATORS[token.text], (self._value(token.text),))
        raise SelectorError(
            f"expected '=', '==', '!=', 'in', 'notin', '>', '<', ',' or the end, got {token}", token.position
        )

    def _value(self, operator: str) -> str:
        at = self._peek().position
        value = ""
        if self._peek().text not in ("", ","):
            value = self._checked(check_value, self._word("a label value"))
        if operator in "<>" and _integer(value) is None:
            raise SelectorError(
                f"expected a whole number of at most 64 bits after '{operator}', got {shown(value)}", at
            )
        return value

    def _values(self) -> tuple[str, ...]:
        """Read a parenthesised list, with the same liking for empty values as Kubernetes.

        An empty value is found before a first comma, between two commas and after a last one; `(,,)` is refused
        there, and so here.
        """
        self._expect("(", "'('")
        values: set[str] = set()
        if self._peek().text == ")":
            self._take()
            return ("",)
        while True:
            if self._peek().text == ",":
                self._take()
                if not values:
                    values.add("")
                if self._peek().text == ",":
                    self._take()
                    values.add("")
                elif self._peek().text == ")":
                    values.add("")
                    break
            else:
                values.add(self._checked(check_value, self._word("',' or a label value")))
                if self._peek().text == ")":
                    break
                if self._peek().text != ",":
                    raise SelectorError(f"expected ',' or ')', got {self._peek()}", self._peek().position)
        self._expect(")", "')'")
        return tuple(sorted(values))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _expect(self, text: str, described: str) -> None:
        token = self._take()
        if token.text != text:
            raise SelectorError(f"expected {described}, got {token}", token.position)

    def _word(self, described: str) -> _Token:
        token = self._peek()
        if not token.is_word:
            raise SelectorError(f"expected {described}, got {token}", token.position)
        return self._take()

    @staticmethod
    def _checked(check: Callable[[str], str], token: _Token) -> str:
        try:
            return check(token.text)
        except LabelError as error:
            raise SelectorError(str(error), token.position) from None
