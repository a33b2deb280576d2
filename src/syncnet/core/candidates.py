"""Sets of offers that may happen together: who else could join one, asked in time that does not grow with the set.

A `MatchProfile` is what decides with whom an offer goes: actor, labels, selector, mates and roster. Offers of equal shape are
interchangeable, but for their age.

A `CandidateSet` is a set in the making. Rule 1 speaks of every pair, but pairs need not be asked one by one: the group counts,
over all its members, which labels they have and which they forbid, and keeps what else they demand. So a barrier of
ten thousand offers, each with its own `actor!=<actor>`, takes ten thousand questions and not fifty million.
"""

from __future__ import annotations

from typing import Final, TypeVar

from syncnet.core.commands import Offer
from syncnet.core.labels import Labels
from syncnet.core.selectors import Requirement

__all__ = ["CandidateSet", "MatchProfile", "add", "compatible"]

_T = TypeVar("_T")
_FORBIDDING: Final = ("!=", "notin", "!")
_POSITIVE: Final = ("=", "in")
_EFFORT_PARTS: Final = 8


class MatchProfile:
    """What decides with whom an offer goes; equal for offers that are interchangeable.

    `effort` says in steps how much work it is to compare it: 1 for what people write, more for what is written to be
    slow. `touchstone` is the requirement to ask first.
    """

    __slots__ = (
        "_hash",
        "_key",
        "actor",
        "actors_allowed",
        "demands",
        "effort",
        "forbids",
        "forbids_keys",
        "labels",
        "mates",
        "pairs",
        "roster",
        "touchstone",
        "wants",
    )

    def __init__(self, offer: Offer) -> None:
        self.actor: str = offer.actor
        self.mates: int = offer.mates
        self.roster: tuple[str, ...] = offer.roster
        self.actors_allowed: frozenset[str] = frozenset(offer.roster)
        self.labels: Labels = offer.labels
        self.pairs: tuple[tuple[str, str], ...] = tuple(offer.labels.items())
        requirements = offer.selector.requirements
        self.forbids: tuple[tuple[str, str], ...] = tuple(
            (each.key, value) for each in requirements if each.operator in _FORBIDDING for value in each.values
        )
        self.forbids_keys: tuple[str, ...] = tuple(each.key for each in requirements if each.operator == "!")
        self.demands: tuple[Requirement, ...] = tuple(each for each in requirements if each.operator not in _FORBIDDING)
        self.wants: tuple[Requirement, ...] = tuple(each for each in self.demands if each.operator in _POSITIVE)
        about_others = (each for each in requirements if each.key != "actor")
        self.touchstone: Requirement | None = next(about_others, requirements[0] if requirements else None)
        self.effort: int = 1 + (len(self.pairs) + len(self.forbids) + len(requirements)) // _EFFORT_PARTS
        self._key = (self.actor, self.mates, self.pairs, offer.selector, self.roster)
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, MatchProfile) and self._key == other._key)

    def share_roster(self, other: MatchProfile) -> None:
        """Use the roster of a shape that has an equal one: two that are one are compared in no time."""
        self.roster, self.actors_allowed = other.roster, other.actors_allowed


class CandidateSet:
    """A set of shapes of which every two are compatible. Members join at the end and leave from the end."""

    def __init__(self, first: MatchProfile) -> None:
        self._members: list[MatchProfile] = []
        self._mates_max: list[int] = [0]  # at each size
        self._rostered: list[MatchProfile | None] = [None]  # at each size, a member whose roster is in force
        self._having: dict[str, int] = {}  # how many members have a label of that key
        self._values: dict[str, dict[str, int]] = {}  # and of that key and value
        self._forbidden: dict[tuple[str, str], int] = {}  # how many members forbid a label
        self._forbidden_keys: dict[str, int] = {}  # and how many forbid any label of a key
        self._demanded: dict[Requirement, int] = {}  # how many members demand something else of all others
        self._actors: dict[str, int] = {}
        self.join(first)

    @property
    def effort(self) -> int:
        """How much work it is, in steps, to ask who else could join."""
        return 1 + len(self._demanded) // _EFFORT_PARTS

    @property
    def missing(self) -> int:
        """How many members it takes at least until the group can sync (rule 2); 0 where it can."""
        return 1 + self._mates_max[-1] - len(self._members)

    def missing_with(self, shape: MatchProfile) -> int:
        """How many members it would take at least with `shape` among them."""
        return max(self._mates_max[-1], shape.mates) - len(self._members)

    def admits(self, shape: MatchProfile) -> bool:
        """Return whether `shape` is compatible with every member, and whether the rosters allow it (rules 1 and 5)."""
        for pair in shape.pairs:
            if pair in self._forbidden or pair[0] in self._forbidden_keys:
                return False
        for key, value in shape.forbids:
            if key in self._values and value in self._values[key]:
                return False
        for key in shape.forbids_keys:
            if key in self._having:
                return False
        for requirement in self._demanded:
            if not requirement.matches(shape.labels):
                return False
        for requirement in shape.demands:
            if not self._all_meet(requirement):
                return False
        return not (shape.roster or self._rostered[-1]) or self._rosters_admit(shape)

    def join(self, shape: MatchProfile) -> None:
        """Add a member that the group admits."""
        self._members.append(shape)
        self._mates_max.append(max(self._mates_max[-1], shape.mates))
        self._rostered.append(self._rostered[-1] or (shape if shape.roster else None))
        self._count(shape, 1)

    def leave(self) -> None:
        """Take away the member that joined last."""
        self._mates_max.pop()
        self._rostered.pop()
        self._count(self._members.pop(), -1)

    def _all_meet(self, requirement: Requirement) -> bool:
        """Return whether all members meet a requirement of a kind that does not forbid."""
        if self._having.get(requirement.key, 0) < len(self._members):
            return False
        if requirement.operator == "exists":
            return True
        values = self._values[requirement.key]
        if requirement.operator in _POSITIVE and len(values) > len(requirement.values):
            return False
        return all(requirement.matches({requirement.key: value}) for value in values)

    def _rosters_admit(self, shape: MatchProfile) -> bool:
        """Return whether the actors are those of one roster, one each, and none of them wants more than it holds."""
        leader = self._rostered[-1] or shape
        if shape.roster and shape.roster is not leader.roster and shape.roster != leader.roster:
            return False
        if shape.actor not in leader.actors_allowed or shape.actor in self._actors:
            return False
        if max(self._mates_max[-1], shape.mates) >= len(leader.roster):
            return False
        if self._rostered[-1]:
            return True  # the members were looked at when the roster came
        return len(self._actors) == len(self._members) and self._actors.keys() <= leader.actors_allowed

    def _count(self, shape: MatchProfile, by: int) -> None:
        for key, value in shape.pairs:
            add(self._having, key, by)
            values = self._values.setdefault(key, {})
            add(values, value, by)
            if not values:
                del self._values[key]
        for pair in shape.forbids:
            add(self._forbidden, pair, by)
        for key in shape.forbids_keys:
            add(self._forbidden_keys, key, by)
        for requirement in shape.demands:
            add(self._demanded, requirement, by)
        add(self._actors, shape.actor, by)


def add(counts: dict[_T, int], what: _T, by: int) -> None:
    """Add to a count; what is counted no more leaves no entry."""
    count = counts.get(what, 0) + by
    if count:
        counts[what] = count
    else:
        del counts[what]


def compatible(one: MatchProfile, other: MatchProfile) -> bool:
    """Return whether two offers of one event and namespace may stand in one set."""
    return CandidateSet(one).admits(other)
