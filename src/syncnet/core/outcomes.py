"""What became of the offers whose clients named them: kept for a while, so that one who asks again is told again (G7).

Kept for `outcome_ttl_s` by the time that commands bear, and up to bounds of number and weight; the eldest go first.
The latest stays, however large: nobody would ever be told it again, and who asked again would be counted twice.
A sync is kept once for all of its members. An offer that its client withdrew is kept as such, so that a request for it
that was late on its way does not make it anew (G6); one whose client only went away may be made again by its id.
Knows nothing of what is pending.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeGuard

from syncnet.core.commands import Cause, Offer
from syncnet.core.effects import Aborted, Effect, Remembered, Synced, TimedOut, Withdrawn, offers_of
from syncnet.core.limits import OUTCOMES_FORGOTTEN_AT_ONCE_MAX, Limits

__all__ = ["Outcomes", "is_kept", "is_named"]


@dataclass(frozen=True, slots=True)
class _Entry:
    outcome: Remembered
    named: tuple[Offer, ...]
    weight_bytes: int


def is_kept(effect: Effect) -> TypeGuard[Remembered]:
    """Return whether an effect is an outcome that is told again, if somebody can ask for it."""
    if isinstance(effect, Withdrawn):
        return effect.cause == Cause.WITHDRAWN
    return isinstance(effect, Synced | TimedOut | Aborted)


def is_named(outcome: Remembered) -> bool:
    """Return whether somebody can ask again for an outcome: one of its offers has an id that its client chose."""
    return any(offer.named for offer in offers_of(outcome))


class Outcomes:
    """The outcomes of one machine, over all namespaces, by age."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: deque[_Entry] = deque()
        self._by_id: dict[tuple[str, str], tuple[Offer, Remembered]] = {}
        self._weight_bytes = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Remembered]:
        """Return the outcomes that are kept, the eldest first."""
        return [entry.outcome for entry in self._entries]

    def remember(self, outcome: Remembered, weight_bytes: int) -> None:
        """Keep an outcome if one of its offers has a name, and forget what is above the bounds.

        `weight_bytes` is what all of its offers weigh.
        """
        named = [offer for offer in offers_of(outcome) if offer.named]
        if not named:
            return
        entry = _Entry(outcome, tuple(named), weight_bytes)
        self._entries.append(entry)
        self._weight_bytes += entry.weight_bytes
        for offer in named:
            self._by_id[offer.namespace, offer.id] = (offer, outcome)
        while len(self._entries) > 1 and (
            len(self._by_id) > self._limits.outcomes_max or self._weight_bytes > self._limits.outcomes_bytes_max
        ):
            self._forget_eldest()

    def recall(self, namespace: str, id: str, now_ns: int) -> tuple[Offer, Remembered] | None:
        """Return the offer that had this id, and what became of it; None where that is not known at `now_ns`."""
        known = self._by_id.get((namespace, id))
        if known is None or self._is_too_old(known[1], now_ns):
            return None
        return known

    def forget(self, now_ns: int) -> None:
        """Forget some of what is too old at `now_ns`: a bounded number, and more of them the next time."""
        if not self._entries:
            return
        for _ in range(OUTCOMES_FORGOTTEN_AT_ONCE_MAX):
            if not self._entries or not self._is_too_old(self._entries[0].outcome, now_ns):
                return
            self._forget_eldest()

    def _is_too_old(self, outcome: Remembered, now_ns: int) -> bool:
        return now_ns - outcome.at_ns > self._limits.outcome_ttl_s * 1_000_000_000

    def _forget_eldest(self) -> None:
        entry = self._entries.popleft()
        self._weight_bytes -= entry.weight_bytes
        for offer in entry.named:
            key = (offer.namespace, offer.id)
            if self._by_id[key][1] is entry.outcome:  # the id may be another offer's by now
                del self._by_id[key]
        if not self._by_id:
            self._by_id.clear()  # an empty dict keeps the memory of its fullest day until it is told
