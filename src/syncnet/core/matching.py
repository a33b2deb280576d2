"""Which offers happen together: rules 1 to 6 of semantics.md, and nothing else.

The seam to the machine is `Matcher`: `add` and `remove` an offer, `find` the set for a newcomer, `compatible_with`
to ask who else is there. The matcher knows no ids, no time and no trace.

How the smallest set is found (rule 4). Sets are compared by their other members, listed by arrival; of two lists
where one begins with the other, the shorter wins. A depth-first walk that extends a list in order of arrival, and
asks of each list *can you sync as you are?* before it extends it, meets the lists in exactly that order. So the
first answer is the smallest one. The walk is a loop with its own stack, and every comparison of two offers is a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syncnet.core.commands import Offer

__all__ = ["Found", "Matcher", "Standing", "compatible"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A pending offer with its arrival number."""

    arrival: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to: `members` (by arrival, the newcomer last) of the smallest set, or none.

    `missed` are the events in which the bound of steps was hit, so that the answer may be wrong in them.
    """

    event: str = ""
    members: tuple[Standing, ...] = ()
    missed: tuple[str, ...] = ()


def compatible(one: Offer, other: Offer) -> bool:
    """Tell whether two offers of one event and namespace may stand in one set (rules 1 and 5).

    A roster is a matter of the whole set; for two offers it means that each is on the other's, under different names.
    """
    if not (one.selector.matches(other.labels) and other.selector.matches(one.labels)):
        return False
    if one.roster or other.roster:
        if one.actor == other.actor:
            return False
        if one.roster and other.roster:
            return one.roster == other.roster
        listed, actor = (one.roster, other.actor) if one.roster else (other.roster, one.actor)
        return actor in listed
    return True


class Matcher:
    """The pending offers of one namespace, by event and in order of arrival."""

    def __init__(self, steps_max: int) -> None:
        self._steps_max = steps_max
        self._books: dict[str, dict[int, Standing]] = {}

    def add(self, standing: Standing) -> None:
        """Let an offer stand under each of its events; its arrival number is higher than any before."""
        for event in standing.offer.events:
            self._books.setdefault(event, {})[standing.arrival] = standing

    def remove(self, standing: Standing) -> None:
        """Take an offer from under each of its events."""
        for event in standing.offer.events:
            book = self._books[event]
            del book[standing.arrival]
            if not book:
                del self._books[event]

    def find(self, newcomer: Standing) -> Found:
        """Return the set that the newcomer, who does not stand yet, completes (rules 2 to 6)."""
        missed: list[str] = []
        for event in newcomer.offer.events:
            search = _Search(self._books.get(event, {}), newcomer, self._steps_max)
            members = search.smallest_set()
            if members is not None:
                return Found(event, (*members, newcomer), tuple(missed))
            if search.steps > self._steps_max:
                missed.append(event)
        return Found(missed=tuple(missed))

    def compatible_with(self, standing: Standing, event: str) -> Iterator[Offer]:
        """Yield the offers that stand under `event` and are compatible with this one, by arrival."""
        for other in self._books.get(event, {}).values():
            if other.arrival != standing.arrival and compatible(other.offer, standing.offer):
                yield other.offer


class _Bounded(Exception):  # noqa: N818 - not an error, a way out
    """The search used up its steps."""


class _Search:
    """One walk for one newcomer through the offers of one event."""

    def __init__(self, book: dict[int, Standing], newcomer: Standing, steps_max: int) -> None:
        self._book = book
        self._newcomer = newcomer
        self._steps_max = steps_max
        self.steps = 0

    def smallest_set(self) -> tuple[Standing, ...] | None:
        """Return the other members of the smallest set, by arrival; None where there is none or the bound is hit."""
        if self._newcomer.offer.mates == 0:
            return ()
        try:
            return self._walk([each for each in self._book.values() if self._compatible(each, self._newcomer)])
        except _Bounded:
            return None

    def _compatible(self, one: Standing, other: Standing) -> bool:
        self.steps += 1
        if self.steps > self._steps_max:
            raise _Bounded
        return compatible(one.offer, other.offer)

    def _walk(self, candidates: list[Standing]) -> tuple[Standing, ...] | None:
        sets = [_Set.alone(self._newcomer)]  # the set at each depth of the walk, the newcomer in every one
        resume = [0]  # the position in `candidates` at which each depth goes on
        while sets:
            position = resume[-1]
            if len(candidates) - position < sets[-1].missing:
                sets.pop()
                resume.pop()
                continue
            resume[-1] += 1
            larger = sets[-1].with_one_more(candidates[position])
            if larger is None or not self._fits(candidates[position], sets):
                continue
            if larger.missing == 0:
                return (*tuple(each.last for each in sets[1:]), larger.last)
            sets.append(larger)
            resume.append(position + 1)
        return None

    def _fits(self, candidate: Standing, sets: list[_Set]) -> bool:
        return all(self._compatible(each.last, candidate) for each in sets[1:])


@dataclass(frozen=True, slots=True)
class _Set:
    """What the walk must know of a set: who came last, how many more it takes, and whom a roster in it allows."""

    last: Standing
    size: int
    mates_max: int
    actors: frozenset[str]
    roster: tuple[str, ...]

    @classmethod
    def alone(cls, newcomer: Standing) -> _Set:
        offer = newcomer.offer
        return cls(newcomer, 1, offer.mates, frozenset((offer.actor,)), offer.roster)

    @property
    def missing(self) -> int:
        return 1 + self.mates_max - self.size

    def with_one_more(self, standing: Standing) -> _Set | None:
        """Return the set with one more member; None where no set that holds it can meet the rosters in it (rule 5)."""
        offer = standing.offer
        larger = _Set(
            standing,
            self.size + 1,
            max(self.mates_max, offer.mates),
            self.actors | {offer.actor},
            self.roster or offer.roster,
        )
        if larger.roster and (len(larger.actors) < larger.size or larger.mates_max >= len(larger.roster)):
            return None
        return larger
