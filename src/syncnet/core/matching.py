"""Which offers happen together: rules 1 to 6 of semantics.md, exactly, without looking at all that wait.

The seam to the machine is `Matcher`: `add` and `remove` an offer, `find` the set for a newcomer, `compatible_with` to
ask who else is there. The matcher knows no ids, no time and no trace. `books.py` has the index, `groups.py` the sets.

How the smallest set is found (rule 4). Sets are compared by their other members, listed by arrival; of two lists
where one begins with the other, the shorter wins. A depth-first walk that extends a list in order of arrival, and
asks of each list *can you sync as you are?* before it extends it, meets the lists in exactly that order. So the
first answer is the smallest one.

What keeps the walk short, and why nothing is lost by it:

- Counts come before comparisons. A set whose largest `mates` is m has m others, so m can be the largest only where
  m offers with as many mates or fewer are there; and what a member wants, all others must have.
- Of a kind (equal shapes) the eldest stand for all. In a set that holds a younger one and not the elder, the elder
  could stand in its place, and the set would be smaller. So a kind of which two never go together gives one candidate,
  and where an elder led nowhere, a younger one of its kind will not lead anywhere either.
- Where a member wants labels, only those who have them are walked on.

Most events see plain offers only (`PendingOffer.is_plain`): one mate, and nothing asked of it but to be another actor. As
long as that is so, all that stand under an event are of one actor, because two of different ones would have met (G3).
Then there is nothing to search: the eldest goes with the next plain offer of somebody else (rule 4). So they stand in
a queue, and the moment any other offer comes to be searched or added there, a book is made of the queue. Nobody can
tell a queue from a book of the same offers: a search in that takes 4 steps, less than the lowest bound.

The walk is a loop with its own stack. Every kind or offer that is looked at is a step, one with a long selector is
several, and the steps of one arrival are bounded, over all the events of a choice together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from typing import Final, TypeAlias

from syncnet.core.candidates import CandidateSet, MatchProfile, compatible
from syncnet.core.commands import Offer
from syncnet.core.index import Book, OfferClass, PendingOffer, weight_bytes
from syncnet.core.selectors import Requirement

__all__ = ["Found", "Matcher", "PendingOffer", "weight_bytes"]


@dataclass(slots=True, unsafe_hash=True)
class Found:
    """What a search came to: `members` (by arrival, the newcomer last) of the smallest set, or none.

    `missed` are the events in which the bound of steps was hit, so that a set may be there that was not found.
    """

    event: Final[str] = ""
    members: Final[tuple[PendingOffer, ...]] = ()
    missed: Final[tuple[str, ...]] = ()


class Matcher:
    """The pending offers of one namespace."""

    def __init__(self, steps_max: int) -> None:
        self._steps_max: Final = steps_max
        self._books: dict[str, Book] = {}
        self._queues: dict[str, _Queue] = {}  # an event has either a queue or a book

    def add(self, standing: PendingOffer) -> None:
        """Let an offer stand under each of its events; its arrival number is higher than any before."""
        if standing.is_plain and self._join_queue(standing):
            return
        for event in standing.offer.events:
            book = self._book(event)
            if book is None:
                book = self._books[event] = Book()
            book.add(standing)

    def remove(self, standing: PendingOffer) -> None:
        """Take an offer from under each of its events."""
        if standing.is_plain and (queue := self._queues.get(standing.offer.events[0])):
            del queue[standing.arrival]
            if not queue:
                del self._queues[standing.offer.events[0]]
            if not self._queues:
                self._queues.clear()  # gives the memory back
            return
        for event in standing.offer.events:
            book = self._books[event]
            book.remove(standing)
            if not book.offers_by_mates:
                del self._books[event]
        if not self._books:
            self._books.clear()

    def is_idle(self, event: str) -> bool:
        """Return whether no offer stands under an event."""
        return event not in self._books and event not in self._queues

    def find(self, newcomer: PendingOffer) -> Found:
        """Return the set that the newcomer, who does not stand yet, completes (rules 2 to 6)."""
        if newcomer.is_plain:
            event = newcomer.offer.events[0]
            queue = self._queues.get(event)
            if queue is not None:
                eldest = next(iter(queue.values()))
                return _NOBODY if eldest.offer.actor == newcomer.offer.actor else Found(event, (eldest, newcomer))
            if event not in self._books:
                return _NOBODY
        missed: list[str] = []
        steps = _Steps(self._steps_max)
        for event in newcomer.offer.events:
            try:
                others = self._smallest_set(newcomer, event, steps)
            except _Bounded:
                missed.append(event)
                continue
            if others is not None:
                return Found(event, (*others, newcomer), tuple(missed))
        return Found(missed=tuple(missed))

    def compatible_with(self, standing: PendingOffer, event: str, offers_max: int) -> list[Offer]:
        """Return the eldest offers that stand under `event` and are compatible with this one, by arrival.

        Looks at so many kinds at most, and returns so many offers at most.
        """
        if event in self._queues:
            return []  # all are of one actor, and none of them goes with another
        kinds = islice(self._books[event].acquaintances(standing), offers_max)
        members = (
            member
            for kind in kinds
            if compatible(standing.shape, kind.shape)
            for member in islice(kind.members.values(), offers_max)
            if member is not standing
        )
        return [member.offer for member in nsmallest(offers_max, members, key=_arrival)]

    def _smallest_set(self, newcomer: PendingOffer, event: str, steps: _Steps) -> list[PendingOffer] | None:
        """Return the other members of the smallest set, by arrival; None where there is none.

        :raises _Bounded: the bound was hit before that was known.
        """
        if newcomer.shape.mates == 0:
            return []
        book = self._book(event)
        if book is None:
            return None
        return _Search(book, newcomer, steps).smallest_set()

    def _book(self, event: str) -> Book | None:
        """Return the book of an event, made of the queue if there is one; None where nothing stands there."""
        queue = self._queues.pop(event, None)
        if queue is not None:
            book = self._books[event] = Book()
            for standing in queue.values():
                book.add(standing)
        return self._books.get(event)

    def _join_queue(self, standing: PendingOffer) -> bool:
        """Put a plain offer at the end of the queue of its event, if there may be one there."""
        event = standing.offer.events[0]
        queue = self._queues.get(event)
        if queue is None:
            if event in self._books:
                return False
            queue = self._queues[event] = OrderedDict()
        elif next(iter(queue.values())).offer.actor != standing.offer.actor:
            return False  # they did not meet, because a search in a book hit its bound, and the book was restored
        queue[standing.arrival] = standing
        return True


_Queue: TypeAlias = OrderedDict[int, PendingOffer]
"""Plain offers of one event and one actor, by arrival; a plain dict is slow to find its first after many removals."""

_NOBODY: Final = Found()

_FEW: Final = 16
"""Candidates that are walked through sooner than chosen among."""


class _Bounded(Exception):  # noqa: N818 - not an error, a way out
    """The search used up its steps."""


class _Steps:
    """The steps that one arrival may take, in all its events together."""

    __slots__ = ("_left",)

    def __init__(self, steps_max: int) -> None:
        self._left = steps_max

    def take(self, effort: int) -> None:
        """Take so many.

        :raises _Bounded: so many are not left; and then none is.
        """
        self._left = self._left - effort if self._left >= effort else -1
        if self._left < 0:
            raise _Bounded


class _Search:
    """One walk for one newcomer through the book of one event."""

    def __init__(self, book: Book, newcomer: PendingOffer, steps: _Steps) -> None:
        self._book = book
        self._newcomer = newcomer
        self._steps = steps
        self._candidates: list[PendingOffer] = []
        self._met: dict[Requirement, list[PendingOffer]] = {}

    def smallest_set(self) -> list[PendingOffer] | None:
        shape = self._newcomer.shape
        self._steps.take(self._book.effort)
        if _largest_mates(self._book.offers_by_mates, shape.mates) < 0 or not self._book.can_be_met(shape, shape.mates):
            return None
        group = CandidateSet(shape)
        candidates = [each for kind in self._admitted(group) for each in kind.candidates()]
        candidates.sort(key=_arrival)
        by_mates: dict[int, int] = {}
        for each in candidates:
            by_mates[each.shape.mates] = by_mates.get(each.shape.mates, 0) + 1
        mates_max = _largest_mates(by_mates, shape.mates)
        if mates_max < 0:
            return None
        self._candidates = [each for each in candidates if each.shape.mates <= mates_max]
        return self._walk(group)

    def _admitted(self, group: CandidateSet) -> Iterable[OfferClass]:
        """Yield the kinds that may stand in a set with the newcomer."""
        mates = self._newcomer.shape.mates
        for kind in self._book.candidates(self._newcomer):
            self._steps.take(kind.shape.effort)
            if group.admits(kind.shape) and self._book.can_be_met(kind.shape, max(mates, kind.shape.mates)):
                yield kind

    def _walk(self, group: CandidateSet) -> list[PendingOffer] | None:
        chosen: list[PendingOffer] = []
        levels = [_Level(self._candidates)]
        while levels:
            level = levels[-1]
            if len(level.candidates) - level.position < group.missing:
                levels.pop()
                if chosen:
                    chosen.pop()
                    group.leave()
                continue
            candidate = level.candidates[level.position]
            level.position += 1
            self._steps.take(candidate.shape.effort + group.effort)
            if candidate.shape in level.tried:
                continue
            level.tried[candidate.shape] = None
            if chosen and not group.admits(candidate.shape):  # the newcomer admits all candidates
                continue
            chosen.append(candidate)
            if group.missing_with(candidate.shape) == 0:
                return chosen
            group.join(candidate.shape)
            levels.append(self._next_level(level, candidate))
        return None

    def _next_level(self, level: _Level, chosen: PendingOffer) -> _Level:
        """Return those who may follow one who was chosen: the younger ones, and where it helps, only those it wants."""
        candidates = level.candidates
        if len(candidates) - level.position > _FEW:
            for requirement in chosen.shape.wants:
                candidates = min(candidates, self._meeting(requirement), key=len)
        return _Level(candidates, bisect_right(candidates, chosen.arrival, key=_arrival))

    def _meeting(self, requirement: Requirement) -> list[PendingOffer]:
        """Return the candidates that meet a requirement; all of them are asked once for each."""
        meeting = self._met.get(requirement)
        if meeting is None:
            self._steps.take(len(self._candidates))
            meeting = [each for each in self._candidates if requirement.matches(each.shape.labels)]
            self._met[requirement] = meeting
        return meeting


class _Level:
    """One level of the walk: who may come next, from where on, and which shapes led nowhere from here."""

    __slots__ = ("candidates", "position", "tried")

    def __init__(self, candidates: list[PendingOffer], position: int = 0) -> None:
        self.candidates = candidates
        self.position = position
        self.tried: dict[MatchProfile, None] = {}


def _largest_mates(offers_by_mates: dict[int, int], mates: int) -> int:
    """Return the largest `mates` that a set with a newcomer who wants so many can have; -1 where no set can be.

    The set takes as many others, and none of them may want more.
    """
    largest, offers = -1, 0
    for wanted in sorted(offers_by_mates):
        offers += offers_by_mates[wanted]
        if offers >= max(wanted, mates):
            largest = max(wanted, mates)
    return largest


def _arrival(standing: PendingOffer) -> int:
    return standing.arrival
