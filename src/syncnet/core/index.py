"""The pending offers of one event, indexed so that an arrival finds the offers that may sync with it and no others.

Offers of equal profile are one `OfferClass`, with its members by age; what is asked of one is answered for all.
Classes without a roster are found

- by their labels, where the newcomer's selector wants some (`k=v`, `k in (…)`);
- by what they want, where their own selector wants some: under each label that meets one of their wants;
- otherwise under one of their requirements, which is checked once for all the classes that share it; preferably one
  that is not about the actor, because requirements about actors are seldom shared.

Classes with a roster are found by it. Only a roster whose actors are all present can be met. So a roster *watches* one
actor that is absent, and is checked again when that actor comes: a newcomer checks the rosters that watch it, and the
complete rosters that list it. (SAT solvers use the same method for clauses: watched literals.)

What an index holds depends on its history, but what `candidates` returns, and the cost of it in steps, depend only on
the offers that are pending.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from syncnet.core.candidates import CandidateSet, MatchProfile, add, profile_of
from syncnet.core.commands import Offer
from syncnet.core.selectors import Requirement, requirement_met

__all__ = ["Index", "OfferClass"]


class OfferClass:
    """The pending offers of one event and one profile, the oldest first."""

    def __init__(self, profile: MatchProfile) -> None:
        self.profile = profile
        self.members: OrderedDict[int, Offer] = OrderedDict()  # a plain dict finds its first slowly after removals

    def candidates(self) -> list[Offer]:
        """Return the members that a search must consider: all where two may be in one set, otherwise the oldest."""
        if len(self.members) > 1:
            alone = CandidateSet(self.profile)
            if alone.admits(self.profile):
                return list(self.members.values())
        return [next(iter(self.members.values()))]


_COUNTS_PER_STEP = 4

_Classes = dict[OfferClass, None]
"""A set that keeps the order in which it was filled, so that no answer depends on a hash."""


class Index:
    """The pending offers of one event, by profile."""

    def __init__(self) -> None:
        self._classes: dict[MatchProfile, OfferClass] = {}
        self._labelled: dict[tuple[str, str], _Classes] = {}
        self._wanting: dict[tuple[str, str], _Classes] = {}
        self._others: dict[Requirement | None, _Classes] = {}
        self._by_actor: dict[str, _Classes] = {}
        self._rosters = _Rosters(self._by_actor)
        self._offers_labelled: dict[tuple[str, str], int] = {}
        self.offers_by_mates: dict[int, int] = {}

    def add(self, offer: Offer) -> None:
        """Add an offer; its arrival number is higher than any before."""
        profile = profile_of(offer.spec)
        offers = self._classes.get(profile)
        if offers is None:
            offers = self._classes[profile] = self._new_class(profile)
        offers.members[offer.arrival] = offer
        self._count(profile, 1)

    def remove(self, offer: Offer) -> None:
        """Remove an offer."""
        profile = profile_of(offer.spec)
        offers = self._classes[profile]
        del offers.members[offer.arrival]
        self._count(profile, -1)
        if not offers.members:
            del self._classes[profile]
            self._unlist(offers)

    def candidates(self, newcomer: Offer) -> Iterator[OfferClass]:
        """Yield the classes that may sync with the newcomer: all compatible ones, and as few others as possible.

        Compatible ones that cannot be in any set that can sync are left out too. The search counts each that it takes,
        so nothing is collected here in advance.
        """
        profile = profile_of(newcomer.spec)
        if profile.roster:
            if self._rosters.all_present(profile):
                for actor in profile.roster:
                    if actor != profile.actor:
                        yield from self._by_actor[actor]
            return
        for classes in self._rosters.complete_with(profile.actor):
            yield from classes
        for classes in self._without_roster(profile):
            yield from classes

    @property
    def steps(self) -> int:
        """What it costs, in steps, to begin to look for candidates."""
        return 1 + (len(self._others) + len(self.offers_by_mates)) // _COUNTS_PER_STEP

    def present(self, offer: Offer) -> Iterator[OfferClass]:
        """Yield the classes that are compatible with an offer, among others, whether a sync is near or not."""
        profile = profile_of(offer.spec)
        if profile.roster:
            for actor in profile.roster:
                if actor != profile.actor:
                    yield from self._by_actor.get(actor, ())
            return
        for classes in self._without_roster(profile):
            yield from classes
        yield from self._rosters.classes()

    def can_be_met(self, profile: MatchProfile, mates: int) -> bool:
        """Return whether enough offers have what `profile` wants, in a set in which each has `mates` mates or more.

        One of them is the newcomer, which may have it too. The answer comes from counts: no is certain, yes is not.
        """
        for key, _, values in profile.wants:
            having = 1
            for value in values:
                having += self._offers_labelled.get((key, value or ""), 0)
            if having < mates:
                return False
        return True

    # --- the index -----------------------------------------------------------------------------------------

    def _having(self, want: Requirement) -> list[_Classes]:
        """Return the classes without a roster that have a label of a want, value by value."""
        key, _, values = want
        pairs = [(key, value or "") for value in values]
        return [self._labelled[pair] for pair in pairs if pair in self._labelled]

    def _without_roster(self, profile: MatchProfile) -> list[_Classes]:
        by_label = [self._having(want) for want in profile.wants]
        wanting = [self._wanting[pair] for pair in profile.pairs if pair in self._wanting]
        if by_label:
            fewest = min(by_label, key=_size)
            if _size(fewest) <= _size(wanting) + len(self._others):
                return fewest
        for asked, classes in self._others.items():
            if asked is None or requirement_met(asked, profile.labels):
                wanting.append(classes)
        return wanting

    def _new_class(self, profile: MatchProfile) -> OfferClass:
        offers = OfferClass(profile)
        is_new = profile.actor not in self._by_actor
        for index, key in self._places(profile):
            index.setdefault(key, {})[offers] = None
        if is_new:
            self._rosters.actor_came(profile.actor)
        if profile.roster:
            self._rosters.add(offers)
        return offers

    def _unlist(self, offers: OfferClass) -> None:
        for index, key in self._places(offers.profile):
            classes = index[key]
            del classes[offers]
            if not classes:
                del index[key]
        if offers.profile.roster:
            self._rosters.remove(offers)

    def _places(self, profile: MatchProfile) -> list[tuple[dict[Any, _Classes], Any]]:
        """Return where a class is listed: an index, and a key in it."""
        places: list[tuple[dict[Any, _Classes], Any]] = [(self._by_actor, profile.actor)]
        if profile.roster:
            return places
        for pair in profile.pairs:
            places.append((self._labelled, pair))  # noqa: PERF401 - of two kinds of keys
        wanted = _narrowest(profile)
        if wanted is None:
            places.append((self._others, profile.touchstone))
        else:
            key, _, values = wanted
            for value in values:
                places.append((self._wanting, (key, value)))  # noqa: PERF401
        return places

    def _count(self, profile: MatchProfile, by: int) -> None:
        add(self.offers_by_mates, profile.mates, by)
        for pair in profile.pairs:
            add(self._offers_labelled, pair, by)


class _Roster:
    """One roster of one event, the classes that bring it, and the absent actor that it watches."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.classes: _Classes = {}
        self.watched: str | None = None  # None: all were present when it was last checked


class _Rosters:
    """The rosters of one event. One that watches no actor is listed as complete under each of its actors."""

    def __init__(self, present: dict[str, _Classes]) -> None:
        self._present = present
        self._by_names: dict[tuple[str, ...], _Roster] = {}
        self._watching: dict[str, dict[_Roster, None]] = {}
        self._complete: dict[str, dict[_Roster, None]] = {}

    def add(self, offers: OfferClass) -> None:
        roster = self._by_names.get(offers.profile.roster)
        if roster is None:
            roster = self._by_names[offers.profile.roster] = _Roster(offers.profile.roster)
            self._list(roster)
        else:
            offers.profile.share_roster(next(iter(roster.classes)).profile)
        roster.classes[offers] = None

    def remove(self, offers: OfferClass) -> None:
        roster = self._by_names[offers.profile.roster]
        del roster.classes[offers]
        if not roster.classes:
            del self._by_names[roster.names]
            self._unlist(roster)

    def actor_came(self, actor: str) -> None:
        """Let the rosters that watch an actor watch another one, now that it is present."""
        for roster in list(self._watching.get(actor, ())):
            self._unlist(roster)
            self._list(roster)

    def all_present(self, profile: MatchProfile) -> bool:
        """Return whether all actors on the roster of a newcomer are present, apart from its own."""
        return all(name in self._present for name in profile.roster if name != profile.actor)

    def complete_with(self, actor: str) -> list[_Classes]:
        """Return the classes of each roster that lists `actor`, and of which all other actors are present."""
        found = []
        for roster in [*self._watching.get(actor, ()), *self._complete.get(actor, ())]:
            absent = self._absent(roster, but=actor)
            if absent is None:
                found.append(roster.classes)
            else:
                self._unlist(roster)
                self._watch(roster, absent)
        return found

    def classes(self) -> Iterator[OfferClass]:
        """Yield the classes that bring a roster."""
        for roster in self._by_names.values():
            yield from roster.classes

    def _absent(self, roster: _Roster, but: str | None = None) -> str | None:
        return next((name for name in roster.names if name != but and name not in self._present), None)

    def _list(self, roster: _Roster) -> None:
        absent = self._absent(roster)
        if absent is not None:
            self._watch(roster, absent)
            return
        for name in roster.names:
            self._complete.setdefault(name, {})[roster] = None

    def _watch(self, roster: _Roster, actor: str) -> None:
        roster.watched = actor
        self._watching.setdefault(actor, {})[roster] = None

    def _unlist(self, roster: _Roster) -> None:
        listed, names = (
            (self._complete, roster.names) if roster.watched is None else (self._watching, (roster.watched,))
        )
        for name in names:
            del listed[name][roster]
            if not listed[name]:
                del listed[name]
        roster.watched = None


def _narrowest(profile: MatchProfile) -> Requirement | None:
    """Return the want of a profile that names the fewest values: the class is listed under each of them."""
    fewest: Requirement | None = None
    for want in profile.wants:
        if fewest is None or len(want[2]) < len(fewest[2]):
            fewest = want
    return fewest


def _size(listed: list[_Classes]) -> int:
    return sum([len(classes) for classes in listed])
