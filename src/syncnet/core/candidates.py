"""Sets of offers that may sync: which other offers could join one, asked in time that does not grow with the set.

A `MatchProfile` is what decides with whom an offer may sync: actor, labels, selector, mates and roster. Offers of
equal profile are interchangeable except for their age.

A `CandidateSet` is a set that grows. Rule 1 is about every pair, but the pairs need not be compared one by one: the
set counts, over all its members, which labels they have and which they forbid, and keeps what else they demand. So a
barrier of ten thousand offers, each with its own `actor!=<actor>`, takes ten thousand questions and not fifty million.

A set takes the steps of all that it does from one meter (`steps.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from typing import Final, TypeVar

from syncnet.core.commands import OfferSpec
from syncnet.core.labels import Labels
from syncnet.core.selectors import FEW_VALUES, Bound, Check, Requirement, bound_met, check_met
from syncnet.core.steps import Steps

__all__ = ["UNLISTED", "CandidateSet", "MatchProfile", "add", "compatible", "is_listed", "profile_of"]

_T = TypeVar("_T")
_ABSENT: Final[tuple[str | None, ...]] = (None,)
_PARTS_PER_STEP: Final = 4
"""Parts of a profile that are looked up for one step."""
_CHECKS_PER_STEP: Final = 4
"""Demands that are checked for one step, and values that are compared."""
_VALUES_PER_STEP: Final = 16
"""Values of two equal lists that are compared for one step."""
_PLACES_MAX: Final = 256
"""Labels and values, over all of its events, under which an offer is listed. More are not worth their removal: a sync
removes all of its members at once."""
UNLISTED: Final = ("", "")
"""Stands for all labels of an offer that has too many; no label has an empty key."""


class MatchProfile:
    """What decides with whom an offer may sync; equal for offers that are interchangeable.

    The requirements of the selector are sorted by how they are checked: `forbids` are labels that no mate may have,
    `forbids_keys` are keys that no mate may have, `wants` are requirements of which each mate must have one of the
    values, and `demands` is all else, as checks: the wants, keys that each mate must have, and long lists of values
    that none may have. `bounds` compare numbers. `touchstone` is the check to make first.

    `steps` is the cost of asking a set whether it admits the profile, `join_steps` that of joining and leaving it, and
    of comparing it with an equal one. `listed` are the labels under which an index lists it, and `listed_want` is a
    want of few values, under which it does too. `joins_itself` says that two offers of the profile may be in one set.
    `roster_key` is equal for equal rosters, and empty where there is none: rosters of ten thousand names are not
    compared name by name.
    """

    __slots__ = (
        "_hash",
        "_key",
        "actor",
        "bounds",
        "demands",
        "forbids",
        "forbids_keys",
        "join_steps",
        "joins_itself",
        "labels",
        "listed",
        "listed_want",
        "mates",
        "mates_most",
        "pairs",
        "roster",
        "roster_key",
        "steps",
        "touchstone",
        "wants",
        "wants_checked",
    )

    def __init__(self, spec: OfferSpec) -> None:
        self.actor: str = spec.actor
        self.mates: int = spec.mates
        self.mates_most: int = spec.mates_most
        self.roster: tuple[str, ...] = spec.roster
        self.roster_key: bytes = sha256(",".join(spec.roster).encode()).digest() if spec.roster else b""
        self.labels: Labels = spec.labels
        self.pairs: tuple[tuple[str, str], ...] = tuple(spec.labels.items())
        forbids: list[tuple[str, str]] = []
        forbids_keys: list[str] = []
        wants: list[Requirement] = []
        wants_checked: list[Check] = []
        demands: list[Check] = []
        touchstone: Check | None = None
        values_total = 0
        for requirement, check in zip(spec.selector.requirements, spec.selector.checks, strict=True):
            key, negated, values = requirement
            values_total += len(values)
            if touchstone is None or (touchstone[0] == "actor" and key != "actor"):
                touchstone = check
            if values == _ABSENT:
                if negated:
                    demands.append(check)
                else:
                    forbids_keys.append(key)
            elif not negated:
                demands.append(check)
                wants.append(requirement)
                wants_checked.append(check)
            elif len(values) > FEW_VALUES:
                demands.append(check)
            else:
                forbids.extend([(key, value) for value in values if value is not None])
        self.forbids: tuple[tuple[str, str], ...] = tuple(forbids)
        self.forbids_keys: tuple[str, ...] = tuple(forbids_keys)
        self.demands: tuple[Check, ...] = tuple(demands)
        self.wants: tuple[Requirement, ...] = tuple(wants)
        self.wants_checked: tuple[Check, ...] = tuple(wants_checked)
        self.bounds: tuple[Bound, ...] = spec.selector.bounds
        self.touchstone: Check | None = touchstone
        requirements, bounds = len(spec.selector.requirements), len(self.bounds)
        looked_up = len(self.pairs) + len(forbids) + requirements + len(demands) + 2 * bounds
        self.steps: int = 1 + looked_up // _PARTS_PER_STEP
        counted = 2 * len(self.pairs) + len(forbids) + requirements + len(demands) + bounds
        self.join_steps: int = 2 + counted // 2 + values_total // _VALUES_PER_STEP
        is_listed_by_labels = len(spec.events) * (len(self.pairs) + FEW_VALUES) <= _PLACES_MAX
        self.listed: tuple[tuple[str, str], ...] = self.pairs if is_listed_by_labels else (UNLISTED,)
        self.listed_want: Requirement | None = None
        if wants and is_listed_by_labels:
            fewest = min(wants, key=_values_total)
            if len(fewest[2]) <= FEW_VALUES:
                self.listed_want = fewest
        self.joins_itself: bool = not spec.roster and spec.selector.matches(spec.labels)
        terms = (spec.selector, self.mates, self.mates_most, self.roster_key)
        self._key = (self.actor, self.pairs, terms, is_listed_by_labels)
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MatchProfile):
            return NotImplemented
        return self is other or self._key == other._key


def _values_total(want: Requirement) -> int:
    return len(want[2])


def profile_of(spec: OfferSpec) -> MatchProfile:
    """Return the profile of a spec, which keeps it."""
    profile: MatchProfile | None = spec.profile
    if profile is None:
        profile = spec.profile = MatchProfile(spec)
    return profile


class CandidateSet:
    """A set of profiles of which every two are compatible. Members join at the end and leave from the end.

    What it does takes steps, so each method may raise `BoundHit`.
    """

    def __init__(self, first: MatchProfile, steps: Steps) -> None:
        self._steps: Steps = steps
        self._members: list[MatchProfile] = []
        self._mates_max: list[int] = [0]  # at each size
        self._mates_most: list[int] = [first.mates_most]
        self._rostered: list[MatchProfile | None] = [None]  # at each size, a member whose roster is in force
        self._having: dict[str, int] = {}  # how many members have a label of that key
        self._values: dict[str, dict[str, int]] = {}  # and of that key and value
        self._forbidden: dict[tuple[str, str], int] = {}  # how many members forbid a label
        self._forbidden_keys: dict[str, int] = {}  # and how many forbid any label of a key
        self._demanded: dict[Check, int] = {}  # how many members demand something of all others
        self._bounds: dict[Bound, int] = {}
        self._actors: dict[str, int] = {}
        self.join(first)

    @property
    def missing(self) -> int:
        """How many members are missing at least until the set can sync (rule 2); 0 where it can."""
        return 1 + self._mates_max[-1] - len(self._members)

    def missing_with(self, profile: MatchProfile) -> int:
        """How many members would be missing at least with `profile` among them."""
        return max(self._mates_max[-1], profile.mates) - len(self._members)

    def admits(self, profile: MatchProfile) -> bool:  # noqa: C901 - one branch for each kind of requirement
        """Return whether `profile` is compatible with every member, and the rosters allow it (rules 1 and 5)."""
        self._steps.take(profile.steps)
        if profile.mates > self._mates_most[-1] or self._mates_max[-1] > profile.mates_most:
            return False
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
        for check in profile.demands:
            if not self._all_meet(check):
                return False
        for bound in profile.bounds:
            if not self._all_within(bound):
                return False
        return not (profile.roster or self._rostered[-1]) or self._rosters_admit(profile)

    def join(self, profile: MatchProfile) -> None:
        """Add a member that the set admits. Steps are taken for its leaving too."""
        self._steps.take(profile.join_steps)
        self._members.append(profile)
        self._mates_max.append(max(self._mates_max[-1], profile.mates))
        self._mates_most.append(min(self._mates_most[-1], profile.mates_most))
        self._rostered.append(self._rostered[-1] or (profile if profile.roster else None))
        self._count(profile, 1)

    def leave(self) -> None:
        """Remove the member that joined last."""
        self._mates_max.pop()
        self._mates_most.pop()
        self._rostered.pop()
        self._count(self._members.pop(), -1)

    def _demands_met(self, profile: MatchProfile) -> bool:
        """Return whether `profile` meets what the members demand of all others."""
        self._steps.take(len(self._demanded) // _CHECKS_PER_STEP + 2 * len(self._bounds))
        for check in self._demanded:
            if not check_met(check, profile.labels):
                return False
        for bound in self._bounds:  # noqa: SIM110 - a generator costs more than the loop
            if not bound_met(bound, profile.labels):
                return False
        return True

    def _all_meet(self, check: Check) -> bool:
        """Return whether all members meet a check that is one of `MatchProfile.demands`."""
        key, negated, wanted = check
        is_wanted = not negated
        if negated and wanted != _ABSENT:
            if key not in self._values:
                return True
        elif self._having.get(key, 0) < len(self._members):
            return False
        elif negated:  # any value will do
            return True
        values = self._values[key]
        self._steps.take(min(len(values), len(wanted)) // _CHECKS_PER_STEP)
        if len(values) > len(wanted):
            return not is_wanted and not any(value in values for value in wanted)
        for value in values:  # noqa: SIM110 - a generator costs more than the loop
            if (value in wanted) is not is_wanted:
                return False
        return True

    def _all_within(self, bound: Bound) -> bool:
        """Return whether the labels of all members are within a bound."""
        key = bound[0]
        if self._having.get(key, 0) < len(self._members):
            return False
        values = self._values[key]
        self._steps.take(2 * len(values))
        for value in values:  # noqa: SIM110 - see above
            if not bound_met(bound, {key: value}):
                return False
        return True

    def _rosters_admit(self, profile: MatchProfile) -> bool:
        """Return whether the actors are those of one roster, one each, and no member needs more than it lists."""
        leader = self._rostered[-1]
        names = profile.roster if leader is None else leader.roster
        if max(self._mates_max[-1], profile.mates) >= len(names) or profile.actor in self._actors:
            return False
        if leader is not None:  # the members were checked when the first roster joined
            if profile.roster and profile.roster_key != leader.roster_key:
                return False
            self._steps.take(1)
            return is_listed(names, profile.actor)
        if len(self._actors) < len(self._members):
            return False
        self._steps.take(len(self._actors))
        for actor in self._actors:  # noqa: SIM110 - see above
            if not is_listed(names, actor):
                return False
        return True

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
        for check in profile.demands:
            add(self._demanded, check, by)
        for bound in profile.bounds:
            add(self._bounds, bound, by)
        add(self._actors, profile.actor, by)


def is_listed(roster: tuple[str, ...], actor: str) -> bool:
    """Return whether an actor is on a roster, which is sorted."""
    position = bisect_left(roster, actor)
    return position < len(roster) and roster[position] == actor


def add(counts: dict[_T, int], what: _T, by: int) -> None:
    """Add to a count; a count of 0 leaves no entry."""
    count = counts.get(what, 0) + by
    if count:
        counts[what] = count
    else:
        del counts[what]


def compatible(one: OfferSpec, other: OfferSpec) -> bool:
    """Return whether two offers of one event and namespace may be in one set (rule 1, and rule 5 for the two).

    The selectors are evaluated here and not by `Selector.matches`: this is the innermost loop of the search. It is for
    offers whose rosters are short; others are compared by their profiles.
    """
    selector, labels = one.selector, other.labels
    for key, negated, values in selector.checks:
        if (labels.get(key) in values) is negated:
            return False
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return False
    selector, labels = other.selector, one.labels
    for key, negated, values in selector.checks:
        if (labels.get(key) in values) is negated:
            return False
    for bound in selector.bounds:
        if not bound_met(bound, labels):
            return False
    if one.mates > other.mates_most or other.mates > one.mates_most:
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
