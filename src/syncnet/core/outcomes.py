"""The outcomes of offers whose clients chose the id, kept for a while to answer a client that asks again (G7).

They are kept for `outcome_ttl_s`, by the time of the commands, and up to bounds of number and weight. Above a bound the
oldest go first: those of the client that has more than an equal share, otherwise the oldest of all (G8: many outcomes
of one client do not push out those of others). A client is a token, or without tokens a namespace. The latest outcome
stays, however large: otherwise a client that asks again for it would be counted twice.

A sync is kept once for all of its members; it counts for the first of them that has a chosen id. An offer that its
client withdrew is kept as withdrawn, so that a late request for it does not make it anew (G6); one whose client only
disconnected may be made again by its id. This module knows nothing of pending offers.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeGuard

from syncnet.core.commands import Cause, Offer
from syncnet.core.effects import Aborted, Effect, Remembered, Synced, TimedOut, Withdrawn, offers_of
from syncnet.core.limits import OUTCOMES_FORGOTTEN_AT_ONCE_MAX, Limits

__all__ = ["Outcomes", "is_kept", "is_named"]

_FORGOTTEN_ENTRIES_MAX: Final = 1_000  # forgotten entries that stay in place before they are removed


class _Entry:
    """An outcome, what all of its offers weigh, and the client for which it counts. Forgotten: `outcome` is None."""

    __slots__ = ("client", "outcome", "weight_bytes")

    def __init__(self, outcome: Remembered, weight_bytes: int, client: _Client) -> None:
        self.outcome: Remembered | None = outcome
        self.weight_bytes = weight_bytes
        self.client = client


class _Client:
    """The outcomes of one client, by age."""

    __slots__ = ("entries", "name", "weight_bytes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: deque[_Entry] = deque()
        self.weight_bytes: int = 0


def is_kept(effect: Effect) -> TypeGuard[Remembered]:
    """Return whether an effect is an outcome that is kept if one of its offers has a chosen id."""
    if isinstance(effect, Withdrawn):
        return effect.cause == Cause.WITHDRAWN
    return isinstance(effect, Synced | TimedOut | Aborted)


def is_named(outcome: Remembered) -> bool:
    """Return whether a client can ask again for an outcome: one of its offers has a chosen id."""
    return any(offer.named for offer in offers_of(outcome))


class Outcomes:
    """The outcomes of one machine, over all namespaces; `entries` are by age, forgotten ones among them."""

    def __init__(self, limits: Limits) -> None:
        self._outcomes_max: int = limits.outcomes_max
        self._bytes_max: int = limits.outcomes_bytes_max
        self._ttl_ns: int = limits.outcome_ttl_s * 1_000_000_000
        self.entries: deque[_Entry] = deque()
        self._clients: dict[str, _Client] = {}
        self._by_id: dict[tuple[str, str], tuple[Offer, Remembered]] = {}
        self._weight_bytes = 0
        self._kept = 0  # entries that are not forgotten

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Remembered]:
        """Return the outcomes that are kept, the oldest first."""
        return [entry.outcome for entry in self.entries if entry.outcome is not None]

    def remember(self, outcome: Remembered, weight_bytes: int) -> None:
        """Keep an outcome if one of its offers has a chosen id, and forget what is above the bounds.

        `weight_bytes` is what all of its offers weigh.
        """
        first: Offer | None = None
        by_id = self._by_id
        for offer in offers_of(outcome):
            if offer.named:
                first = first or offer
                by_id[offer.spec.namespace, offer.id] = (offer, outcome)
        if first is None:
            return
        name = first.spec.owner or "\n" + first.spec.namespace  # no token has such a name
        if name not in self._clients:
            self._clients[name] = _Client(name)
        client = self._clients[name]
        entry = _Entry(outcome, weight_bytes, client)
        self.entries.append(entry)
        client.entries.append(entry)
        client.weight_bytes += weight_bytes
        self._weight_bytes += weight_bytes
        self._kept += 1
        while (len(by_id) > self._outcomes_max or self._weight_bytes > self._bytes_max) and self._kept > 1:
            self._forget(self._one_too_many(client))

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
        while forgotten < OUTCOMES_FORGOTTEN_AT_ONCE_MAX and self.entries:
            outcome = self.entries[0].outcome
            if outcome is None:
                self.entries.popleft()
                forgotten += 1
            elif self._is_too_old(outcome, now_ns):
                forgotten += self._forget(self.entries[0])
            else:
                return

    def _is_too_old(self, outcome: Remembered, now_ns: int) -> bool:
        return now_ns - outcome.at_ns > self._ttl_ns

    def _one_too_many(self, latest: _Client) -> _Entry:
        """Return the entry to forget after one of `latest` was added: the oldest of that client if it has too many."""
        clients = len(self._clients)
        by_number = len(self._by_id) > self._outcomes_max
        has, all_have = (len(latest.entries), self._kept) if by_number else (latest.weight_bytes, self._weight_bytes)
        if has * clients > all_have and len(latest.entries) > 1:
            return latest.entries[0]
        while self.entries[0].outcome is None:
            self.entries.popleft()
        return self.entries[0]

    def _forget(self, entry: _Entry) -> int:
        """Forget an entry, the oldest of its client; return of how many offers it is."""
        outcome, client = entry.outcome, entry.client
        if outcome is None:
            return 0
        entry.outcome = None
        client.entries.popleft()
        client.weight_bytes -= entry.weight_bytes
        if not client.entries:
            del self._clients[client.name]
        self._weight_bytes -= entry.weight_bytes
        self._kept -= 1
        by_id = self._by_id
        offers = offers_of(outcome)
        for offer in offers:
            key = (offer.spec.namespace, offer.id)
            if offer.named and by_id[key][1] is outcome:  # the id may be another offer's by now
                del by_id[key]
        if not by_id:  # an emptied dict would keep its memory
            self._by_id = {}
        entries = self.entries
        if entries[0] is entry:
            entries.popleft()
        elif len(entries) > 2 * self._kept + _FORGOTTEN_ENTRIES_MAX:
            self.entries = deque([each for each in entries if each.outcome is not None])
        return len(offers)
