"""Rules 1 to 6 as a simple depth-first search in order of arrival, without an index: every pair is compared.

It makes the same search as `syncnet.core.matching` without optimizations, so it is usable for about a hundred offers.
"""

from collections.abc import Iterable

from syncnet.core.commands import Offer
from tests.core.offers import FEW_PAYLOAD_BYTES
from tests.core.plain_selectors import selects


def compatible(one: Offer, other: Offer) -> bool:
    if not (selects(str(one.selector), other.labels) and selects(str(other.selector), one.labels)):
        return False
    for first, second in ((one, other), (other, one)):
        if len(first.payload) * (1 + second.mates) > FEW_PAYLOAD_BYTES.sync_payload_bytes_max:
            return False
        if first.roster and (second.actor == first.actor or second.actor not in first.roster):
            return False
    return not (one.roster and other.roster) or one.roster == other.roster


class PlainMatcher:
    def __init__(self) -> None:
        self.pending: list[Offer] = []  # by arrival
        self.steps = 0

    def arrive(self, newcomer: Offer) -> tuple[str, list[Offer]] | None:
        """Return the event and the members of the sync that the newcomer completes, and remove these members.

        If there is no sync, keep the newcomer as pending and return None.
        """
        for event in newcomer.events:
            others = self._search([newcomer], (each for each in self.pending if event in each.events))
            if others is not None:
                self.pending = [each for each in self.pending if each not in others]
                return event, [*others, newcomer]
        self.pending.append(newcomer)
        return None

    def _search(self, members: list[Offer], others: Iterable[Offer]) -> list[Offer] | None:
        missing = 1 + max(member.mates for member in members) - len(members)
        rosters_complete = all(
            sorted(member.actor for member in members) == list(each.roster) for each in members if each.roster
        )
        if missing == 0:
            return [] if rosters_complete else None
        candidates = []
        for other in others:
            self.steps += 1
            if all(compatible(other, member) for member in members):
                candidates.append(other)
        for position, other in enumerate(candidates):
            if len(candidates) - position < missing:
                return None
            if (rest := self._search([*members, other], candidates[position + 1 :])) is not None:
                return [other, *rest]
        return None
