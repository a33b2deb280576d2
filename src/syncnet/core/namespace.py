"""What a machine keeps of one namespace."""

from __future__ import annotations

from syncnet.core.commands import Offer
from syncnet.core.offer_list import OfferList

__all__ = ["Namespace"]


class Namespace:
    """One namespace: its pending offers by id, a list of them for each event, and its counters."""

    __slots__ = ("arrivals", "exhausted", "lists", "pending", "syncs")

    def __init__(self, syncs: int) -> None:
        self.pending: dict[str, Offer] = {}
        self.lists: dict[str, OfferList] = {}
        self.arrivals: int = 0
        self.syncs: int = syncs
        self.exhausted: int = 0  # searches that hit their bound

    def is_blank(self, syncs_forgotten: int) -> bool:
        """Return whether nothing in it needs to be kept: arrival numbers do not matter then, sync numbers do."""
        return not self.pending and self.syncs <= syncs_forgotten and not self.exhausted
