"""Sets of offers that may sync: which other offers could join one, asked in time that does not grow with the set.

A `MatchProfile` is what decides with whom an offer may sync: actor, labels, selector, mates and roster. Offers of
equal profile are interchangeable except for their age.

A `CandidateSet` is a set that grows. Rule 1 is about every pair, but the pairs need not be compared one by one: the
set counts, over all its members, which labels they have and which they forbid, and keeps what else they demand. So a
barrier of ten thousand offers, each with its own `actor!=<actor>`, takes ten thousand questions and not fifty million.
"""

from __future__ import annotations

from typing import Final, TypeVar

from syncnet.core.commands import OfferSpec
from syncnet.core.labels import Labels
from syncnet.core.selectors import Bound, Requirement, bound_met, requirement_met

__all__ = ["CandidateSet", "MatchProfile", "add", "compatible", "profile_of"]

_T = TypeVar("_T")
_ABSENT: Final[tuple[str | None, ...]] = (None,)
_PARTS_PER_STEP: Final = 8


class MatchProfile:
    """What decides with whom an offer may sync; equal for offers that are interchangeable.

    The requirements of the selector are sorted by how they are checked: `forbids` are labels that no mate may have,
    `forbids_keys` are keys that no mate may have, `wants` are requirements of which each mate must have one of the
    values, and `demands` are keys that each mate must have (`demands[key]`), with the wants. `bounds` compare numbers.
    `steps` is the cost of one comparison in steps of the search: 1 for ordinary offers, more for long ones.
    `touchstone` is the requirement to check first.
    """

    __slots__ = (
        "_hash",
        "_key",
        "actor",
        "actors_allowed",
        "bounds",
        "demands",
        "forbids",
        "forbids_keys",
        "labels",
        "mates",
        "pairs",
        "roster",
        "steps",
        "touchstone",
        "wants",
    )

    def __init__(self, spec: OfferSpec) -> None:
        self.actor: str = spec.actor
        self.mates: int = spec.mates
        self.roster: tuple[str, ...] = spec.roster
        self.actors_allowed: frozenset[str] = frozenset(spec.roster)
        self.labels: Labels = spec.labels
        self.pairs: tuple[tuple[str, str], ...] = tuple(spec.labels.items())
        forbids: list[tuple[str, str]] = []
        forbids_keys: list[str] = []
        wants: list[Requirement] = []
        demands: list[Requirement] = []
        touchstone: Requirement | None = None
        for requirement in spec.selector.requirements:
            key, negated, values = requirement
            if touchstone is None or (touchstone[0] == "actor" and key != "actor"):
                touchstone = requirement
            if values == _ABSENT:
                if negated:
                    demands.append(requirement)
                else:
                    forbids_keys.append(key)
            elif negated:
                forbids.extend([(key, value) for value in values if value is not None])
            else:
                demands.append(requirement)
                wants.append(requirement)
        self.forbids: tuple[tuple[str, str], ...] = tuple(forbids)
        self.forbids_keys: tuple[str, ...] = tuple(forbids_keys)
        self.demands: tuple[Requirement, ...] = tuple(demands)
        self.wants: tuple[Requirement, ...] = tuple(wants)
        self.bounds: tuple[Bound, ...] = spec.selector.bounds
        self.touchstone: Requirement | None = touchstone
        parts = len(self.pairs) + len(forbids) + len(spec.selector.requirements)
        self.steps: int = spec.selector.steps + parts // _PARTS_PER_STEP
        self._key = (self.actor, self.mates, self.pairs, spec.selector, self.roster)
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MatchProfile):
            return NotImplemented
        return self is other or self._key == other._key

    def share_roster(self, other: MatchProfile) -> None:
        """Use the roster of a profile that has an equal one, so that comparing the two takes no time."""
        self.roster, self.actors_allowed = other.roster, other.actors_allowed


def profile_of(spec: OfferSpec) -> MatchProfile:
    """Return the profile of a spec, which keeps it."""
    profile: MatchProfile | None = spec.profile
    if profile is None:
        profile = spec.profile = MatchProfile(spec)
    return profile


class CandidateSet:
    """A set of profiles of which every two are compatible. Members join at the end and leave from the end."""

    def __init__(self, first: MatchProfile) -> None:
        self._members: list[MatchProfile] = []
        self._mates_max: list[int] = [0]  # at each size
        self._rostered: list[MatchProfile | None] = [None]  # at each size, a member whose roster is in force
        self._having: dict[str, int] = {}  # how many members have a label of that key
        self._values: dict[str, dict[str, int]] = {}  # and of that key and value
        self._forbidden: dict[tuple[str, str], int] = {}  # how many members forbid a label
        self._forbidden_keys: dict[str, int] = {}  # and how many forbid any label of a key
        self._demanded: dict[Requirement, int] = {}  # how many members demand something of all others
        self._bounds: dict[Bound, int] = {}
        self._actors: dict[str, int] = {}
        self.join(first)

    @property
    def steps(self) -> int:
        """What it costs, in steps, to check one more profile against the set."""
        return 1 + (len(self._demanded) + len(self._bounds)) // _PARTS_PER_STEP

    @property
    def missing(self) -> int:
        """How many members are missing at least until the set can sync (rule 2); 0 where it can."""
        return 1 + self._mates_max[-1] - len(self._members)

    def missing_with(self, profile: MatchProfile) -> int:
        """How many members would be missing at least with `profile` among them."""
        return max(self._mates_max[-1], profile.mates) - len(self._members)

    def admits(self, profile: MatchProfile) -> bool:
        """Return whether `profile` is compatible with every member, and the rosters allow it (rules 1 and 5)."""
        for pair in profile.pairs:
            if pair in self._forbidden or pair[0] in self._forbidden_keys:
                return False
        for key, value in profile.forbids:
            if key in self._values and value in self._values[key]:
                return False
        for key in profile.forbids_keys:
            if key in self._having:
                return False
        if (self._demanded or self._bounds) and not self._demands_met(profile):
            return False
        for requirement in profile.demands:
            if not self._all_meet(requirement):
                return False
        for bound in profile.bounds:
            if not self._all_within(bound):
                return False
        return not (profile.roster or self._rostered[-1]) or self._rosters_admit(profile)

    def join(self, profile: MatchProfile) -> None:
        """Add a member that the set admits."""
        self._members.append(profile)
        self._mates_max.append(max(self._mates_max[-1], profile.mates))
        self._rostered.append(self._rostered[-1] or (profile if profile.roster else None))
        self._count(profile, 1)

    def leave(self) -> None:
        """Remove the member that joined last."""
        self._mates_max.pop()
        self._rostered.pop()
        self._count(self._members.pop(), -1)

    def _demands_met(self, profile: MatchProfile) -> bool:
        """Return whether `profile` meets what the members demand of all others."""
        for requirement in self._demanded:
            if not requirement_met(requirement, profile.labels):
                return False
        for bound in self._bounds:  # noqa: SIM110 - a generator costs more than the loop
            if not bound_met(bound, profile.labels):
                return False
        return True

    def _all_meet(self, requirement: Requirement) -> bool:
        """Return whether all members meet a requirement that demands a label."""
        key, negated, wanted = requirement
        if self._having.get(key, 0) < len(self._members):
            return False
        if negated:  # any value will do
            return True
        values = self._values[key]
        if len(values) > len(wanted):
            return False
        for value in values:  # noqa: SIM110 - a generator costs more than the loop
            if value not in wanted:
                return False
        return True

    def _all_within(self, bound: Bound) -> bool:
        """Return whether the labels of all members are within a bound."""
        key = bound[0]
        if self._having.get(key, 0) < len(self._members):
            return False
        for value in self._values[key]:  # noqa: SIM110 - see above
            if not bound_met(bound, {key: value}):
                return False
        return True

    def _rosters_admit(self, profile: MatchProfile) -> bool:
        """Return whether the actors are those of one roster, one each, and no member needs more than it lists."""
        leader = self._rostered[-1] or profile
        if profile.roster and profile.roster is not leader.roster and profile.roster != leader.roster:
            return False
        if profile.actor not in leader.actors_allowed or profile.actor in self._actors:
            return False
        if max(self._mates_max[-1], profile.mates) >= len(leader.roster):
            return False
        if self._rostered[-1]:
            return True  # the members were checked when the first roster joined
        return len(self._actors) == len(self._members) and self._actors.keys() <= leader.actors_allowed

    def _count(self, profile: MatchProfile, by: int) -> None:
        for key, value in profile.pairs:
            add(self._having, key, by)
            values = self._values.setdefault(key, {})
            add(values, value, by)
            if not values:
                del self._values[key]
        for pair in profile.forbids:
            add(self._forbidden, pair, by)
        for key in profile.forbids_keys:
            add(self._forbidden_keys, key, by)
        for requirement in profile.demands:
            add(self._demanded, requirement, by)
        for bound in profile.bounds:
            add(self._bounds, bound, by)
        add(self._actors, profile.actor, by)


def add(counts: dict[_T, int], what: _T, by: int) -> None:
    """Add to a count; a count of 0 leaves no entry."""
    count = counts.get(what, 0) + by
    if count:
        counts[what] = count
    else:
        del counts[what]


def compatible(one: OfferSpec, other: OfferSpec) -> bool:
    """Return whether two offers of one event and namespace may be in one set (rule 1, and rule 5 for the two).

    The selectors are evaluated here and not by `Selector.matches`: this is the innermost loop of the search.
    """
    selector, labels = one.selector, other.labels
    for key, negated, values in selector.requirements:
        if (labels.get(key) in values) is negated:
            return False
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return False
    selector, labels = other.selector, one.labels
    for key, negated, values in selector.requirements:
        if (labels.get(key) in values) is negated:
            return False
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return False
    return not (one.roster or other.roster) or _rosters_compatible(one, other)


def _rosters_compatible(one: OfferSpec, other: OfferSpec) -> bool:
    """Return whether two offers, of which one at least has a roster, may be in one set by rule 5.

    The `mates` of an offer with a roster are the others on it.
    """
    if one.actor == other.actor:
        return False
    if one.roster and (other.actor not in one.roster or other.mates > one.mates):
        return False
    if other.roster and (one.actor not in other.roster or one.mates > other.mates):
        return False
    return not (one.roster and other.roster) or one.roster == other.roster
