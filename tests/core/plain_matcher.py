"""Rules 1 to 6 as a plain scan in order of arrival: no index, no kinds, no counts; every pair is asked about.

The same walk as in `syncnet.core.matching`, with nothing that makes it fast. Good for worlds of a hundred offers.
"""

from collections.abc import Iterable

from syncnet.core.commands import Offer


def compatible(one: Offer, other: Offer) -> bool:
    if not (one.selector.matches(other.labels) and other.selector.matches(one.labels)):
        return False
    for mine, its in ((one, other), (other, one)):
        if mine.roster and (its.actor == mine.actor or its.actor not in mine.roster):
            return False
    return not (one.roster and other.roster) or one.roster == other.roster


class PlainMatcher:
    def __init__(self) -> None:
        self.pending: list[Offer] = []  # by arrival
        self.steps = 0

    def arrive(self, newcomer: Offer) -> tuple[str, list[Offer]] | None:
        """Return the event and the members that the newcomer completes, and take them away; or let it stand."""
        for event in newcomer.events:
            others = self._walk([newcomer], (each for each in self.pending if event in each.events))
            if others is not None:
                self.pending = [each for each in self.pending if each not in others]
                return event, [*others, newcomer]
        self.pending.append(newcomer)
        return None

    def _walk(self, members: list[Offer], others: Iterable[Offer]) -> list[Offer] | None:
        missing = 1 + max(member.mates for member in members) - len(members)
        rosters_met = all(
            sorted(member.actor for member in members) == list(each.roster) for each in members if each.roster
        )
        if missing == 0:
            return [] if rosters_met else None
        fitting = []
        for other in others:
            self.steps += 1
            if all(compatible(other, member) for member in members):
                fitting.append(other)
        for position, other in enumerate(fitting):
            if len(fitting) - position < missing:
                return None
            if (rest := self._walk([*members, other], fitting[position + 1 :])) is not None:
                return [other, *rest]
        return None
