"""The pending offers of one event, indexed so that an arrival finds the offers that may sync with it and few others.

Offers of equal profile are one `OfferClass`, with its members by age; what is asked of one is answered for all.
Classes without a roster are found

- by their labels, where the newcomer's selector wants some (`k=v`, `k in (…)`);
- by what they want, where their own selector wants a label and names a few values: under each of them;
- otherwise under one of their requirements, which is checked once for all the classes that share it; preferably one
  that is not about the actor, because requirements about actors are seldom shared.

Classes with a roster are found by it: a short roster is listed under each of its names, and a newcomer looks for its
own name on each long one. Only a roster whose actors are all present can be met. There is nothing to keep for that:
most rosters lack more actors than are present at all, and for the others the search looks for the first who is absent.

What an index holds depends on its history, and so does the order of what it returns, but not what is returned, nor its
cost in steps: they depend only on the offers that are pending. To add or remove an offer takes work for its own labels
and names only. One that has many labels and names many events is not listed by its labels.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, TypeAlias

from syncnet.core.candidates import UNLISTED, MatchProfile, add, is_listed, profile_of
from syncnet.core.commands import Offer
from syncnet.core.selectors import FEW_VALUES, Check, Requirement, check_met
from syncnet.core.steps import Steps

__all__ = ["Index", "OfferClass", "OfferClasses"]

_COUNTS_PER_STEP: Final = 4
"""Entries that are looked up for one step."""
_NAMES_PER_STEP: Final = 8
"""Names of a roster that are looked up for one step, for long ones."""
_ROSTERS_PER_STEP: Final = 2
"""Rosters that are found not to be complete for one step."""
_FEW_NAMES: Final = 16
"""A roster of so many names is listed under each of them."""


class OfferClass:
    """The pending offers of one event and one profile, the oldest first.

    `oldest` is the arrival number of the first, by which the class is listed.
    """

    __slots__ = ("members", "oldest", "profile")

    def __init__(self, profile: MatchProfile, oldest: int) -> None:
        self.profile: MatchProfile = profile
        self.oldest: int = oldest
        self.members: OrderedDict[int, Offer] = OrderedDict()  # a plain dict finds its first slowly after removals


OfferClasses: TypeAlias = dict[int, OfferClass]
"""Classes by the arrival numbers of their oldest offers."""


class Index:
    """The pending offers of one event, by profile."""

    def __init__(self) -> None:
        self._classes: dict[MatchProfile, OfferClass] = {}
        self._labelled: dict[tuple[str, str], OfferClasses] = {}
        self._wanting: dict[tuple[str, str], OfferClasses] = {}
        self._others: dict[Check | None, OfferClasses] = {}
        self._by_actor: dict[str, OfferClasses] = {}
        self._rosters = _Rosters(self._by_actor)
        self._offers_labelled: dict[tuple[str, str], int] = {}
        self.offers_by_mates: dict[int, int] = {}

    def add(self, offer: Offer) -> None:
        """Add an offer; its arrival number is higher than any before."""
        profile = profile_of(offer.spec)
        offers = self._classes.get(profile)
        if offers is None:
            offers = self._classes[profile] = OfferClass(profile, offer.arrival)
            self._list(offers)
        else:
            offer.spec.profile = offers.profile  # an equal one; the same is found faster
        offers.members[offer.arrival] = offer
        self._count(profile, 1)

    def remove(self, offer: Offer) -> None:
        """Remove an offer."""
        profile = profile_of(offer.spec)
        offers = self._classes[profile]
        del offers.members[offer.arrival]
        self._count(profile, -1)
        if offer.arrival > offers.oldest:
            return
        self._unlist(offers)
        if offers.members:
            offers.oldest = next(iter(offers.members))
            self._list(offers)
        else:
            del self._classes[profile]

    def candidates(self, profile: MatchProfile, steps: Steps) -> list[OfferClasses]:
        """Return the classes that may sync with a newcomer: all compatible ones, and as few others as possible.

        Compatible ones that cannot be in any set that can sync are left out too.

        :raises BoundHit: the steps are used up.
        """
        if profile.roster:
            return self._of_roster(profile, steps) if self._rosters.all_present(profile, steps) else []
        return self._rosters.complete_with(profile.actor, steps) + self._without_roster(profile, steps)

    def present(self, profile: MatchProfile, steps: Steps) -> list[OfferClasses]:
        """Return the classes that are compatible with an offer, among others, whether a sync is near or not.

        :raises BoundHit: the steps are used up.
        """
        if profile.roster:
            return self._of_roster(profile, steps)
        return [*self._rosters.listing(profile.actor, steps), *self._without_roster(profile, steps)]

    def can_be_met(self, profile: MatchProfile, mates: int, steps: Steps) -> bool:
        """Return whether enough offers have what `profile` wants, in a set in which each has `mates` mates or more.

        One of them is the newcomer, which may have it too. The answer comes from counts: no is certain, yes is not.
        Long lists of values are not counted.

        :raises BoundHit: the steps are used up.
        """
        unlisted = self._offers_labelled.get(UNLISTED, 0)
        for key, _, values in profile.wants:
            if len(values) > FEW_VALUES:
                continue
            having = 1 + unlisted
            steps.take(1 + len(values) // _COUNTS_PER_STEP)
            for value in values:
                having += self._offers_labelled.get((key, value or ""), 0)
            if having < mates:
                return False
        return True

    # --- the index -----------------------------------------------------------------------------------------

    def _of_roster(self, profile: MatchProfile, steps: Steps) -> list[OfferClasses]:
        """Return the classes of the actors on a roster, apart from the profile's own."""
        steps.take(len(profile.roster) // _NAMES_PER_STEP)
        actors = [actor for actor in profile.roster if actor in self._by_actor and actor != profile.actor]
        return [self._by_actor[actor] for actor in actors]

    def _having(self, want: Requirement, steps: Steps) -> list[OfferClasses]:
        """Return the classes without a roster that have a label of a want, or are not listed by their labels."""
        key, _, values = want
        steps.take(len(values) // _COUNTS_PER_STEP)
        pairs = [UNLISTED, *[(key, value or "") for value in values]]
        return [self._labelled[pair] for pair in pairs if pair in self._labelled]

    def _without_roster(self, profile: MatchProfile, steps: Steps) -> list[OfferClasses]:
        steps.take(1 + (len(profile.wants) + len(profile.pairs)) // _COUNTS_PER_STEP)
        by_label = [self._having(want, steps) for want in profile.wants]
        wanting = [self._wanting[pair] for pair in profile.pairs if pair in self._wanting]
        if by_label:
            fewest = min(by_label, key=_size)
            if _size(fewest) <= _size(wanting) + len(self._others):
                return fewest
        steps.take(len(self._others) // _COUNTS_PER_STEP)
        for asked, classes in self._others.items():
            if asked is None or check_met(asked, profile.labels):
                wanting.append(classes)
        return wanting

    def _list(self, offers: OfferClass) -> None:
        for index, key in self._places(offers.profile):
            index.setdefault(key, {})[offers.oldest] = offers
        if offers.profile.roster:
            self._rosters.add(offers)

    def _unlist(self, offers: OfferClass) -> None:
        for index, key in self._places(offers.profile):
            classes = index[key]
            del classes[offers.oldest]
            if not classes:
                del index[key]
        if offers.profile.roster:
            self._rosters.remove(offers)

    def _places(self, profile: MatchProfile) -> list[tuple[dict[Any, OfferClasses], Any]]:
        """Return where a class is listed: an index, and a key in it."""
        places: list[tuple[dict[Any, OfferClasses], Any]] = [(self._by_actor, profile.actor)]
        if profile.roster:
            return places
        for pair in profile.listed:
            places.append((self._labelled, pair))  # noqa: PERF401 - of two kinds of keys
        if profile.listed_want is None:
            places.append((self._others, profile.touchstone))
        else:
            key, _, values = profile.listed_want
            for value in values:
                places.append((self._wanting, (key, value)))  # noqa: PERF401
        return places

    def _count(self, profile: MatchProfile, by: int) -> None:
        add(self.offers_by_mates, profile.mates, by)
        for pair in profile.listed:
            add(self._offers_labelled, pair, by)


class _Roster:
    """One roster of one event, and the classes that bring it."""

    __slots__ = ("classes", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names: tuple[str, ...] = names
        self.classes: OfferClasses = {}


class _Rosters:
    """The rosters of one event; `present` has its actors."""

    def __init__(self, present: dict[str, OfferClasses]) -> None:
        self._present = present
        self._by_key: dict[bytes, _Roster] = {}
        self._short: dict[str, dict[_Roster, None]] = {}  # under each of their names
        self._long: dict[_Roster, None] = {}

    def add(self, offers: OfferClass) -> None:
        roster = self._by_key.get(offers.profile.roster_key)
        if roster is None:
            roster = self._by_key[offers.profile.roster_key] = _Roster(offers.profile.roster)
            if len(roster.names) > _FEW_NAMES:
                self._long[roster] = None
            else:
                for name in roster.names:
                    self._short.setdefault(name, {})[roster] = None
        roster.classes[offers.oldest] = offers

    def remove(self, offers: OfferClass) -> None:
        roster = self._by_key[offers.profile.roster_key]
        del roster.classes[offers.oldest]
        if roster.classes:
            return
        del self._by_key[offers.profile.roster_key]
        if len(roster.names) > _FEW_NAMES:
            del self._long[roster]
            return
        for name in roster.names:
            listed = self._short[name]
            del listed[roster]
            if not listed:
                del self._short[name]

    def all_present(self, profile: MatchProfile, steps: Steps) -> bool:
        """Return whether all actors on the roster of a newcomer are present, apart from its own."""
        steps.take(1)
        return self._is_complete(profile.roster, profile.actor, steps)

    def listing(self, actor: str, steps: Steps) -> list[OfferClasses]:
        """Return the classes of each roster that lists `actor`."""
        return [roster.classes for roster in self._that_list(actor, steps)]

    def complete_with(self, actor: str, steps: Steps) -> list[OfferClasses]:
        """Return the classes of each roster that lists `actor`, and of which all other actors are present."""
        if not self._by_key:
            return []
        found = self._that_list(actor, steps)
        steps.take(len(found) // _ROSTERS_PER_STEP)
        return [roster.classes for roster in found if self._is_complete(roster.names, actor, steps)]

    def _that_list(self, actor: str, steps: Steps) -> list[_Roster]:
        short = self._short.get(actor, {})
        steps.take(len(short) // _COUNTS_PER_STEP + 2 * len(self._long))
        return [*short, *[roster for roster in self._long if is_listed(roster.names, actor)]]

    def _is_complete(self, names: tuple[str, ...], but: str, steps: Steps) -> bool:
        """Return whether all actors of a roster are present, apart from one."""
        present = self._present
        if len(present) < len(names) - 1:
            return False
        looked_up = 0
        for name in names:
            looked_up += 1
            if name not in present and name != but:
                break
        else:
            looked_up += 1
        if looked_up >= _NAMES_PER_STEP:
            steps.take(looked_up // _NAMES_PER_STEP)
        return looked_up > len(names)


def _size(listed: list[OfferClasses]) -> int:
    return sum([len(classes) for classes in listed])
