"""The pending offers of one event, so indexed that an arrival finds those it may go with, and touches no others.

Offers of equal shape are one `OfferClass`, with its members by age; what is asked of one is answered for all. Kinds without
a roster are found

- by their labels, where the newcomer's selector wants some (`k=v`, `k in (…)`);
- by what they want, where their own selector wants some: under each label that would do, for one of their wishes;
- else under one of their requirements, which is asked once for all the kinds that share it; rather one that is not
  about the actor, because those about actors are seldom shared.

Kinds with a roster are found by it. Only a roster whose actors are all present can be met. So a roster *watches* one
actor who is absent, and is looked at again when that actor comes: a newcomer asks the rosters that watch it, and those
that are complete and hold it. (The same trick keeps SAT solvers from looking at all clauses: watched literals.)

What an index holds depends on history, but what `candidates` answers, and the work of it that is counted as steps,
depend only on the offers that are pending.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from syncnet.core.candidates import CandidateSet, MatchProfile, add
from syncnet.core.commands import Offer
from syncnet.core.limits import WORD_BYTES
from syncnet.core.selectors import Requirement, is_not_actor

__all__ = ["Book", "OfferClass", "PendingOffer", "weight_bytes"]


class PendingOffer:
    """A pending offer with its arrival number, its shape, and what it weighs by the measure of `pending_bytes_max`.

    It is *plain* where it asks for what most ask for: one event, one mate, the default labels and selector. Such an
    offer seldom comes into a book, so its shape is not made before somebody asks for it.
    """

    __slots__ = ("_shape", "arrival", "is_plain", "offer", "weight_bytes")

    def __init__(self, arrival: int, offer: Offer) -> None:
        self.arrival = arrival
        self.offer = offer
        self.is_plain = offer.mates == 1 and len(offer.events) == 1 and not offer.roster and _has_defaults(offer)
        self.weight_bytes = _plain_weight_bytes(offer) if self.is_plain else weight_bytes(offer)
        self._shape: MatchProfile | None = None

    @property
    def shape(self) -> MatchProfile:
        """What decides with whom it goes."""
        if self._shape is None:
            self._shape = MatchProfile(self.offer)
        return self._shape


@dataclass(slots=True, eq=False)
class OfferClass:
    """The pending offers of one event and one shape, the eldest first."""

    shape: MatchProfile
    members: OrderedDict[int, PendingOffer] = field(default_factory=OrderedDict)

    @property
    def eldest(self) -> PendingOffer:
        """The one that waits longest; a plain dict is slow to find its first where many before were removed."""
        return next(iter(self.members.values()))

    def candidates(self) -> Iterable[PendingOffer]:
        """Return the members that may matter: all where two may stand in one set, else the eldest."""
        if len(self.members) > 1 and CandidateSet(self.shape).admits(self.shape):
            return self.members.values()
        return (self.eldest,)


_COUNTS_PER_STEP = 4

_Kinds = dict[OfferClass, None]
"""A set that keeps the order in which it was filled, so that no answer hangs on a hash."""


class Book:
    """The pending offers of one event."""

    def __init__(self) -> None:
        self._kinds: dict[MatchProfile, OfferClass] = {}
        self._labelled: dict[tuple[str, str], _Kinds] = {}
        self._wanting: dict[tuple[str, str], _Kinds] = {}
        self._others: dict[Requirement | None, _Kinds] = {}
        self._by_actor: dict[str, _Kinds] = {}
        self._rosters = _Rosters(self._by_actor)
        self._offers_labelled: dict[tuple[str, str], int] = {}
        self.offers_by_mates: dict[int, int] = {}

    def add(self, standing: PendingOffer) -> None:
        """Let an offer stand here; its arrival number is higher than any before."""
        kind = self._kinds.get(standing.shape)
        if kind is None:
            kind = self._kinds[standing.shape] = self._new_kind(standing)
        kind.members[standing.arrival] = standing
        self._count(standing.shape, 1)

    def remove(self, standing: PendingOffer) -> None:
        """Take an offer from here."""
        kind = self._kinds[standing.shape]
        del kind.members[standing.arrival]
        self._count(standing.shape, -1)
        if not kind.members:
            del self._kinds[standing.shape]
            self._unlist(kind)

    def candidates(self, newcomer: PendingOffer) -> Iterable[OfferClass]:
        """Return the kinds that the newcomer may go with: all that it is compatible with, and as few others as can be.

        Left out are also those that it is compatible with, but that cannot be in any set that can sync.
        """
        shape = newcomer.shape
        if shape.roster:
            if not self._rosters.all_present(shape):
                return ()
            return chain.from_iterable(self._by_actor[actor] for actor in shape.roster if actor != shape.actor)
        rostered = chain.from_iterable(self._rosters.complete_with(shape.actor))
        return chain(rostered, self._without_roster(shape))

    @property
    def effort(self) -> int:
        """How much work it is, in steps, to begin to look for candidates."""
        return 1 + (len(self._others) + len(self.offers_by_mates)) // _COUNTS_PER_STEP

    def acquaintances(self, newcomer: PendingOffer) -> Iterable[OfferClass]:
        """Return the kinds that the newcomer is compatible with, among others, whether a sync is near or not."""
        shape = newcomer.shape
        if shape.roster:
            present = (self._by_actor.get(actor, {}) for actor in shape.roster if actor != shape.actor)
            return chain.from_iterable(present)
        return chain(self._without_roster(shape), self._rosters.kinds())

    def can_be_met(self, shape: MatchProfile, mates: int) -> bool:
        """Return whether enough offers have what `shape` wants, in a set in which each has `mates` others or more.

        One is the newcomer, who may have it too. A question of counts: no is sure, yes is not.
        """
        for requirement in shape.wants:
            having = sum(self._offers_labelled.get((requirement.key, value), 0) for value in requirement.values)
            if having + 1 < mates:
                return False
        return True

    # --- the index -----------------------------------------------------------------------------------------

    def _having(self, requirement: Requirement) -> list[_Kinds]:
        """Return the kinds without a roster that have what a positive requirement wants, value by value."""
        pairs = ((requirement.key, value) for value in requirement.values)
        return [self._labelled[pair] for pair in pairs if pair in self._labelled]

    def _without_roster(self, shape: MatchProfile) -> Iterable[OfferClass]:
        by_label = [self._having(requirement) for requirement in shape.wants]
        wanting = [self._wanting[pair] for pair in shape.pairs if pair in self._wanting]
        if by_label:
            fewest = min(by_label, key=_size)
            if _size(fewest) <= _size(wanting) + len(self._others):
                return chain.from_iterable(fewest)
        others = (kinds for asked, kinds in self._others.items() if asked is None or asked.matches(shape.labels))
        return chain(chain.from_iterable(wanting), chain.from_iterable(others))

    def _new_kind(self, standing: PendingOffer) -> OfferClass:
        shape = standing.shape
        kind = OfferClass(shape)
        is_new = shape.actor not in self._by_actor
        for index, key in self._places(kind):
            index.setdefault(key, {})[kind] = None
        if is_new:
            self._rosters.actor_came(shape.actor)
        if shape.roster:
            self._rosters.add(kind)
        return kind

    def _unlist(self, kind: OfferClass) -> None:
        for index, key in self._places(kind):
            kinds = index[key]
            del kinds[kind]
            if not kinds:
                del index[key]
        if kind.shape.roster:
            self._rosters.remove(kind)

    def _places(self, kind: OfferClass) -> Iterator[tuple[dict[Any, _Kinds], Any]]:
        """Yield where a kind is listed: an index, and a key in it."""
        shape = kind.shape
        yield self._by_actor, shape.actor
        if shape.roster:
            return
        for pair in shape.pairs:
            yield self._labelled, pair
        wanted = _narrowest(shape)
        if wanted is None:
            yield self._others, shape.touchstone
        else:
            for value in wanted.values:
                yield self._wanting, (wanted.key, value)

    def _count(self, shape: MatchProfile, by: int) -> None:
        add(self.offers_by_mates, shape.mates, by)
        for pair in shape.pairs:
            add(self._offers_labelled, pair, by)


@dataclass(slots=True, eq=False)
class _Roster:
    """One roster of one event, the kinds that bring it, and the absent actor that it watches."""

    names: tuple[str, ...]
    kinds: _Kinds = field(default_factory=dict)
    watched: str | None = None  # None: all were present when it was last looked at


class _Rosters:
    """The rosters of one event. One that watches nobody is listed as complete under each of its actors."""

    def __init__(self, present: dict[str, _Kinds]) -> None:
        self._present = present
        self._by_names: dict[tuple[str, ...], _Roster] = {}
        self._watching: dict[str, dict[_Roster, None]] = {}
        self._complete: dict[str, dict[_Roster, None]] = {}

    def add(self, kind: OfferClass) -> None:
        roster = self._by_names.get(kind.shape.roster)
        if roster is None:
            roster = self._by_names[kind.shape.roster] = _Roster(kind.shape.roster)
            self._settle(roster)
        else:
            kind.shape.share_roster(next(iter(roster.kinds)).shape)
        roster.kinds[kind] = None

    def remove(self, kind: OfferClass) -> None:
        roster = self._by_names[kind.shape.roster]
        del roster.kinds[kind]
        if not roster.kinds:
            del self._by_names[roster.names]
            self._unsettle(roster)

    def actor_came(self, actor: str) -> None:
        """Let those who watch an actor who was absent look at somebody else."""
        for roster in list(self._watching.get(actor, ())):
            self._unsettle(roster)
            self._settle(roster)

    def all_present(self, shape: MatchProfile) -> bool:
        """Return whether all actors on the roster of a newcomer are here, itself apart."""
        return all(name in self._present for name in shape.roster if name != shape.actor)

    def complete_with(self, actor: str) -> list[_Kinds]:
        """Return the kinds of each roster that holds `actor`, and of which all others are here."""
        found = []
        for roster in [*self._watching.get(actor, ()), *self._complete.get(actor, ())]:
            absent = self._absent(roster, but=actor)
            if absent is None:
                found.append(roster.kinds)
            else:
                self._unsettle(roster)
                self._watch(roster, absent)
        return found

    def kinds(self) -> Iterator[OfferClass]:
        for roster in self._by_names.values():
            yield from roster.kinds

    def _absent(self, roster: _Roster, but: str | None = None) -> str | None:
        return next((name for name in roster.names if name != but and name not in self._present), None)

    def _settle(self, roster: _Roster) -> None:
        absent = self._absent(roster)
        if absent is not None:
            self._watch(roster, absent)
            return
        for name in roster.names:
            self._complete.setdefault(name, {})[roster] = None

    def _watch(self, roster: _Roster, actor: str) -> None:
        roster.watched = actor
        self._watching.setdefault(actor, {})[roster] = None

    def _unsettle(self, roster: _Roster) -> None:
        listed, names = (
            (self._complete, roster.names) if roster.watched is None else (self._watching, (roster.watched,))
        )
        for name in names:
            del listed[name][roster]
            if not listed[name]:
                del listed[name]
        roster.watched = None


def _narrowest(shape: MatchProfile) -> Requirement | None:
    """Return the wish of a shape that names the fewest values: it is listed under each of them."""
    return min(shape.wants, key=lambda requirement: len(requirement.values), default=None)


def _size(listed: list[_Kinds]) -> int:
    return sum(map(len, listed))


def weight_bytes(offer: Offer) -> int:
    """Return what an offer weighs; its events count under each of them, as `/stats` tells them."""
    characters = len(offer.payload) + sum(map(len, offer.events)) * len(offer.events) + sum(map(len, offer.roster))
    words = 1 + len(offer.events) + len(offer.roster) + len(offer.labels)
    for key, value in offer.labels.items():
        characters += len(key) + len(value)
    for requirement in offer.selector.requirements:
        characters += len(requirement.key) + sum(map(len, requirement.values))
        words += 1 + len(requirement.values)
    return characters + words * WORD_BYTES


def _has_defaults(offer: Offer) -> bool:
    """Return whether an offer has the labels and the selector of one that named none."""
    actor, labels = offer.actor, offer.labels
    return len(labels) == 1 and labels.get("actor") == actor and is_not_actor(offer.selector, actor)


_PLAIN_BYTES = 5 * WORD_BYTES + 2 * len("actor")
"""What the words of a plain offer weigh: itself, its event, its label, and its selector with the value in it."""


def _plain_weight_bytes(offer: Offer) -> int:
    """Return for a plain offer what `weight_bytes` does, in less time; its actor stands in a label and a selector."""
    return _PLAIN_BYTES + len(offer.payload) + len(offer.events[0]) + 2 * len(offer.actor)
