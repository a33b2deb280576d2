"""The outcomes of offers whose clients chose the id, kept for a while to answer a client that asks again (G7).

They are kept for `outcome_ttl_s`, by the time of the commands, and up to bounds of number and weight; the oldest go
first. The latest outcome stays, however large: otherwise a client that asks again for it would be counted twice. A
sync is kept once for all of its members. An offer that its client withdrew is kept as withdrawn, so that a late request
for it does not make it anew (G6); one whose client only disconnected may be made again by its id. This module knows
nothing of pending offers.
"""

from __future__ import annotations

from collections import deque
from typing import TypeGuard

from syncnet.core.commands import Cause, Offer
from syncnet.core.effects import Aborted, Effect, Remembered, Synced, TimedOut, Withdrawn, offers_of
from syncnet.core.limits import OUTCOMES_FORGOTTEN_AT_ONCE_MAX, Limits

__all__ = ["Outcomes", "is_kept", "is_named"]


class _Entry:
    """An outcome, and what all of its offers weigh."""

    __slots__ = ("outcome", "weight_bytes")

    def __init__(self, outcome: Remembered, weight_bytes: int) -> None:
        self.outcome = outcome
        self.weight_bytes = weight_bytes


def is_kept(effect: Effect) -> TypeGuard[Remembered]:
    """Return whether an effect is an outcome that is kept if one of its offers has a chosen id."""
    if isinstance(effect, Withdrawn):
        return effect.cause == Cause.WITHDRAWN
    return isinstance(effect, Synced | TimedOut | Aborted)


def is_named(outcome: Remembered) -> bool:
    """Return whether a client can ask again for an outcome: one of its offers has a chosen id."""
    return any(offer.named for offer in offers_of(outcome))


class Outcomes:
    """The outcomes of one machine, over all namespaces; `entries` are by age."""

    def __init__(self, limits: Limits) -> None:
        self._outcomes_max: int = limits.outcomes_max
        self._bytes_max: int = limits.outcomes_bytes_max
        self._ttl_ns: int = limits.outcome_ttl_s * 1_000_000_000
        self.entries: deque[_Entry] = deque()
        self._by_id: dict[tuple[str, str], tuple[Offer, Remembered]] = {}
        self._weight_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Remembered]:
        """Return the outcomes that are kept, the oldest first."""
        return [entry.outcome for entry in self.entries]

    def remember(self, outcome: Remembered, weight_bytes: int) -> None:
        """Keep an outcome if one of its offers has a chosen id, and forget what is above the bounds.

        `weight_bytes` is what all of its offers weigh.
        """
        is_known = False
        by_id = self._by_id
        for offer in offers_of(outcome):
            if offer.named:
                is_known = True
                by_id[offer.spec.namespace, offer.id] = (offer, outcome)
        if not is_known:
            return
        entries = self.entries
        entries.append(_Entry(outcome, weight_bytes))
        self._weight_bytes += weight_bytes
        while (len(by_id) > self._outcomes_max or self._weight_bytes > self._bytes_max) and len(entries) > 1:
            self._forget_oldest()

    def recall(self, namespace: str, id: str, now_ns: int) -> tuple[Offer, Remembered] | None:
        """Return the offer that had this id, and its outcome; None where that is not known at `now_ns`."""
        key = (namespace, id)
        if key not in self._by_id:
            return None
        known = self._by_id[key]
        return None if self._is_too_old(known[1], now_ns) else known

    def forget(self, now_ns: int) -> None:
        """Forget some of what is too old at `now_ns`: one outcome, or some of few offers, and more the next time."""
        forgotten = 0
        while forgotten < OUTCOMES_FORGOTTEN_AT_ONCE_MAX:
            if not self.entries or now_ns - self.entries[0].outcome.at_ns <= self._ttl_ns:
                return
            forgotten += self._forget_oldest()

    def _is_too_old(self, outcome: Remembered, now_ns: int) -> bool:
        return now_ns - outcome.at_ns > self._ttl_ns

    def _forget_oldest(self) -> int:
        """Forget the oldest outcome; return of how many offers it is."""
        entry = self.entries.popleft()
        self._weight_bytes -= entry.weight_bytes
        by_id = self._by_id
        offers = offers_of(entry.outcome)
        for offer in offers:
            key = (offer.spec.namespace, offer.id)
            if offer.named and by_id[key][1] is entry.outcome:  # the id may be another offer's by now
                del by_id[key]
        if not by_id:  # an emptied dict would keep its memory
            self._by_id = {}
        return len(offers)
