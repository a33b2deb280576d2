"""A second, simple implementation of rules 1 to 6 of semantics.md. It shares no code with the matcher.

It tries every subset of the pending offers, so it is usable for about ten offers.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

from syncnet.core.commands import Offer
from tests.core import plain_selectors
from tests.core.offers import FEW_PAYLOAD_BYTES

PAYLOAD_BYTES_MAX = FEW_PAYLOAD_BYTES.sync_payload_bytes_max


def selects(offer: Offer, labels: Mapping[str, str]) -> bool:
    return plain_selectors.selects(str(offer.selector), labels)


def compatible(a: Offer, b: Offer, event: str) -> bool:
    """Rule 1."""
    return (
        event in a.events
        and event in b.events
        and a.namespace == b.namespace
        and selects(a, b.labels)
        and selects(b, a.labels)
    )


def can_sync(members: Iterable[Offer], event: str) -> bool:
    """Rules 2 and 5; and a payload of p bytes is in no set of more than the limit / p members."""
    members = list(members)
    if any(len(member.payload) * len(members) > PAYLOAD_BYTES_MAX for member in members):
        return False
    if len(members) != 1 + max(member.mates for member in members):
        return False
    if not all(compatible(a, b, event) for a, b in combinations(members, 2)):
        return False
    actors = sorted(member.actor for member in members)
    return all(actors == sorted(member.roster) for member in members if member.roster)


def sync_of(newcomer: Offer, pending: list[Offer]) -> tuple[str, list[Offer]] | None:
    """Rules 3, 4 and 6: return the event and the members, by arrival, of the sync that the newcomer completes.

    `pending` is ordered by arrival.
    """
    for event in newcomer.events:
        others = [number for number, offer in enumerate(pending) if event in offer.events]
        lists = [
            list(chosen)
            for size in range(len(others) + 1)
            for chosen in combinations(others, size)
            if can_sync([*(pending[number] for number in chosen), newcomer], event)
        ]
        if lists:
            return event, [*(pending[number] for number in min(lists)), newcomer]
    return None


def set_left_behind(pending: list[Offer]) -> list[Offer] | None:
    """G3: return a set of pending offers that can sync, or None."""
    for event in {event for offer in pending for event in offer.events}:
        for size in range(1, len(pending) + 1):
            for chosen in combinations(pending, size):
                if can_sync(chosen, event):
                    return list(chosen)
    return None
