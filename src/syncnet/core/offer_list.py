"""The pending offers of one event: all of them by arrival, and an index of them while there are many; and pages."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from syncnet.core.commands import Offer
from syncnet.core.index import Index
from syncnet.core.limits import PAGE_BYTES_MAX, SCANNED_OFFERS_MAX, SMALL_OFFER_BYTES

__all__ = ["OfferList", "first_offers"]


class OfferList:
    """The pending offers of one event.

    The index is made when more than `SCANNED_OFFERS_MAX` offers are pending, or a large one: so the arrival that makes
    it adds few offers of others, which are small (G8). The machine drops a list, and so its index, when no offer is
    pending. Whether a search uses it depends on the present number of offers alone, never on history, so that a machine
    that was restored from a snapshot decides as the original does (G4).
    """

    __slots__ = ("index", "offers")

    def __init__(self) -> None:
        self.offers: dict[int, Offer] = {}
        self.index: Index | None = None

    def add(self, offer: Offer) -> None:
        """Add an offer; its arrival number is higher than any before."""
        offers = self.offers
        offers[offer.arrival] = offer
        if self.index is not None:
            self.index.add(offer)
        elif len(offers) > SCANNED_OFFERS_MAX or offer.spec.weight_bytes > SMALL_OFFER_BYTES:
            self.index = Index()
            for each in offers.values():
                self.index.add(each)

    def remove(self, offer: Offer) -> None:
        """Remove an offer."""
        offers = self.offers
        del offers[offer.arrival]
        if self.index is not None:
            self.index.remove(offer)
            if len(offers) == SCANNED_OFFERS_MAX:
                self.offers = dict(offers.items())  # after many removals a dict is slow to iterate


def first_offers(offers: Iterable[Offer], offers_max: int) -> list[Offer]:
    """Return the first offers, at most so many, and not more than fit in a page, but at least one."""
    first: list[Offer] = []
    weight_bytes = 0
    for offer in islice(offers, offers_max):
        weight_bytes += offer.spec.weight_bytes
        if first and weight_bytes > PAGE_BYTES_MAX:
            break
        first.append(offer)
    return first
