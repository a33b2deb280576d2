"""Kubernetes label selectors: parse, print, evaluate.

Grammar and meaning are those of `labels.Parse` in k8s.io/apimachinery (pkg/labels/selector.go, v0.35), the corners too:

    selector    = "" | requirement { "," requirement }
    requirement = [ "!" ] key
                | key ( "=" | "==" | "!=" | ">" | "<" ) [ value ]
                | key ( "in" | "notin" ) "(" [ value ] { "," [ value ] } ")"

`in` and `notin` are words only where an operator stands; anywhere else they are keys and values. A value may be
empty. `x in ()` is `x in ("")`. Blanks may stand between any two tokens. `>` and `<` compare whole numbers that fit
into 64 bits; a label that is none does not match. `!=` and `notin` match where the key is absent.

Six of the eight operators are one test: "is the value of this label, None where it is absent, among these values?",
negated or not. So a requirement is a tuple and evaluating it needs no dispatch on the operator:

| written              | requirement                 |
| -------------------- | --------------------------- |
| `k=v`, `k in (v,w)`  | `("k", False, ("v", "w"))`  |
| `k!=v`, `k notin …`  | `("k", True, ("v", "w"))`   |
| `!k`                 | `("k", False, (None,))`     |
| `k`                  | `("k", True, (None,))`      |

`k>1` and `k<1` are kept apart as *bounds*.

A requirement is evaluated as a `Check`: the same, except that a long list of values is a set, so that to look for a
value in it takes no longer than in a short one. The values are walked through in the order of the requirement only,
because the order of a set depends on hashes (G4).

This differs from Kubernetes in one thing: the printed form is canonical, so that selectors of equal meaning print
alike. `==` and an `in` of one value are printed as `=`, requirements are sorted and not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from syncnet.core.labels import NAME_PATTERN, Labels, check_key, check_value, shown
from syncnet.core.limits import LIMITS, WORD_BYTES
from syncnet.errors import LabelError, SelectorError

__all__ = [
    "EVERYTHING",
    "FEW_VALUES",
    "Bound",
    "Check",
    "Requirement",
    "Selector",
    "bound_met",
    "bound_text",
    "check_met",
    "not_actor",
    "parse_selector",
    "requirement_text",
]

Requirement: TypeAlias = tuple[str, bool, tuple[str | None, ...]]
"""A key, whether the test is negated, and the values, sorted."""

Check: TypeAlias = tuple[str, bool, tuple[str | None, ...] | frozenset[str | None]]
"""A requirement with its values as they are looked up: a tuple of at most `FEW_VALUES`, or a set of more."""

Bound: TypeAlias = tuple[str, str, int]
"""A key, `>` or `<`, and the number to compare with."""

_ABSENT: Final[tuple[str | None, ...]] = (None,)
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_INTEGER_MAX: Final = 2**63 - 1
_TOKEN: Final = re.compile(r"(?P<blank>[ \t\r\n]+)|(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^ \t\r\n=!(),<>]+)")
_SIMPLE: Final = re.compile(rf"({NAME_PATTERN})(==?|!=)({NAME_PATTERN})").fullmatch
_CACHE_ENTRIES_MAX: Final = 4_096
_CACHED_CHARACTERS_MAX: Final = 128
_PARTS_PER_STEP: Final = 4
FEW_VALUES: Final = 8
"""So many values are compared one by one; more are a set."""


class Selector:
    """A set of requirements and bounds that must all be met, in canonical order; the empty one matches everything.

    `checks` are the requirements as they are evaluated, the same tuple where no list of values is long. `steps` is the
    cost of evaluating it once, in steps of the search (`steps.py`); `weight_bytes` is its share of `pending_bytes_max`.
    A selector never changes.
    """

    __slots__ = ("bounds", "checks", "requirements", "steps", "weight_bytes")

    def __init__(
        self,
        requirements: tuple[Requirement, ...],
        bounds: tuple[Bound, ...],
        steps: int,
        weight: int,
        checks: tuple[Check, ...] | None = None,
    ) -> None:
        self.requirements: tuple[Requirement, ...] = requirements
        self.checks: tuple[Check, ...] = requirements if checks is None else checks
        self.bounds: tuple[Bound, ...] = bounds
        self.steps: int = steps
        self.weight_bytes: int = weight

    def matches(self, labels: Labels) -> bool:
        """Return whether `labels` meet every requirement and every bound."""
        for key, negated, values in self.checks:
            if (labels.get(key) in values) is negated:
                return False
        for bound in self.bounds:  # noqa: SIM110 - a generator costs more than the loop
            if not bound_met(bound, labels):
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return self.requirements == other.requirements and self.bounds == other.bounds

    def __hash__(self) -> int:
        return hash((self.requirements, self.bounds))

    def __str__(self) -> str:
        return ",".join([*map(requirement_text, self.requirements), *map(bound_text, self.bounds)])

    def __repr__(self) -> str:
        return f"<Selector {self}>"


def make_selector(requirements: set[Requirement], bounds: set[Bound]) -> Selector:
    """Return the selector of these requirements and bounds, in canonical order."""
    values = characters = 0
    for key, _, of_key in requirements:
        characters += len(key)
        for value in of_key:
            values += 1
            characters += len(value or "")
    for key, _, _ in bounds:
        characters += len(key)
    parts = len(requirements) + len(bounds)
    ordered = tuple(sorted(requirements, key=_order))
    weight = characters + (parts + values) * WORD_BYTES
    if parts == values == 1 and _is_not_actor(ordered[0]):
        weight = NOT_ACTOR_BYTES  # equal selectors weigh the same, else a log that writes them down would not (G4)
    checks: list[Check] = []
    is_long = False
    for requirement in ordered:
        key, negated, of_key = requirement
        if len(of_key) > FEW_VALUES:
            is_long = True
            checks.append((key, negated, frozenset(set(of_key))))  # made of a set it takes half the memory
        else:
            checks.append(requirement)
    steps = 1 + len(requirements) // _PARTS_PER_STEP + len(bounds)
    return Selector(ordered, tuple(sorted(bounds)), steps, weight, tuple(checks) if is_long else None)


def _is_not_actor(requirement: Requirement) -> bool:
    key, negated, values = requirement
    return key == "actor" and negated and values != _ABSENT


def _order(requirement: Requirement) -> tuple[str, bool, bool, tuple[str | None, ...]]:
    key, negated, values = requirement
    return key, negated, values != _ABSENT, values


EVERYTHING: Final = Selector((), (), 1, 0)
NOT_ACTOR_BYTES: Final = 3 * WORD_BYTES
"""The weight of the default selector, whatever the length of the name."""


def not_actor(actor: str) -> Selector:
    """Return the default selector of an offer of `actor`: "not with another request of mine"."""
    return Selector((("actor", True, (actor,)),), (), 1, NOT_ACTOR_BYTES)


def check_met(check: Check, labels: Labels) -> bool:
    """Return whether `labels` meet one requirement."""
    key, negated, values = check
    return (labels.get(key) in values) is not negated


def bound_met(bound: Bound, labels: Labels) -> bool:
    """Return whether the label of the bound's key is a whole number beyond it."""
    key, operator, limit = bound
    value = labels.get(key)
    number = None if value is None else _integer(value)
    if number is None:
        return False
    return number > limit if operator == ">" else number < limit


def requirement_text(requirement: Requirement) -> str:
    """Return a requirement as a selector writes it."""
    key, negated, values = requirement
    if values == _ABSENT:
        return key if negated else f"!{key}"
    if len(values) == 1:
        return f"{key}{'!=' if negated else '='}{values[0]}"
    listed = ",".join([value or "" for value in values])
    return f"{key} {'notin' if negated else 'in'} ({listed})"


def bound_text(bound: Bound) -> str:
    """Return a bound as a selector writes it."""
    key, operator, limit = bound
    return f"{key}{operator}{limit}"


def _integer(text: str) -> int | None:
    """Return the number that `text` is, as strconv.ParseInt(text, 10, 64) reads it; None where it would not."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)  # of at most 63 characters, as a label value
    return number if -_INTEGER_MAX - 1 <= number <= _INTEGER_MAX else None


# --- parsing -----------------------------------------------------------------------------------------------


def parse_selector(text: str, characters_max: int = LIMITS.selector_characters_max) -> Selector:
    """Return the selector that `text` writes, in so many characters at most.

    :raises SelectorError: `text` is not one; the message says what was expected, what came, and at which character.
    """
    if len(text) > characters_max:
        raise SelectorError(f"expected at most {characters_max} characters, got {len(text)}", characters_max)
    return _parse_cached(text) if len(text) <= _CACHED_CHARACTERS_MAX else _parse(text)


def _parse(text: str) -> Selector:
    return _parse_simple(text) or _Parser(text).selector()


_parse_cached = lru_cache(maxsize=_CACHE_ENTRIES_MAX)(_parse)


def _parse_simple(text: str) -> Selector | None:
    """Return the selector of a text that consists of `k=v` and `k!=v` only, without blanks; None of any other."""
    requirements: set[Requirement] = set()
    for part in text.split(","):
        match = _SIMPLE(part)
        if match is None:
            return None
        key, operator, value = match.groups()
        requirements.add((key, operator == "!=", (value,)))
    return make_selector(requirements, set())


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
        self._requirements: set[Requirement] = set()
        self._bounds: set[Bound] = set()

    def selector(self) -> Selector:
        if self._peek().text == "":
            return EVERYTHING
        self._read_requirement()
        while self._peek().text != "":
            self._expect(",", "',' or the end")
            self._read_requirement()
        return make_selector(self._requirements, self._bounds)

    def _read_requirement(self) -> None:
        absent = self._peek().text == "!"
        if absent:
            self._take()
        key = self._checked(check_key, self._word("a label key" if absent else "'!' or a label key"))
        token = self._peek()
        if absent or token.text in ("", ","):
            self._requirements.add((key, not absent, _ABSENT))
            return
        self._take()
        if token.text in ("in", "notin"):
            self._requirements.add((key, token.text == "notin", self._values()))
        elif token.text in ("=", "==", "!="):
            self._requirements.add((key, token.text == "!=", (self._value(),)))
        elif token.text in ("<", ">"):
            self._bounds.add((key, token.text, self._limit(token.text)))
        else:
            raise SelectorError(
                f"expected '=', '==', '!=', 'in', 'notin', '>', '<', ',' or the end, got {token}", token.position
            )

    def _value(self) -> str:
        if self._peek().text in ("", ","):
            return ""
        return self._checked(check_value, self._word("a label value"))

    def _limit(self, operator: str) -> int:
        position = self._peek().position
        text = self._value()
        number = _integer(text)
        if number is None:
            wanted = f"a whole number of at most 64 bits after '{operator}'"
            raise SelectorError(f"expected {wanted}, got {shown(text)}", position)
        return number

    def _values(self) -> tuple[str, ...]:
        """Read a list in parentheses, of values separated by commas; each of them may be empty."""
        self._expect("(", "'('")
        values: set[str] = set()
        while True:
            token = self._peek()
            if token.text in (",", ")"):
                values.add("")
            else:
                values.add(self._checked(check_value, self._word("',' or a label value")))
            token = self._take()
            if token.text == ")":
                return tuple(sorted(values))
            if token.text != ",":
                raise SelectorError(f"expected ',' or ')', got {token}", token.position)

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
