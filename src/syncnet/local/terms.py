"""What an offer of this program asks for: checked once for all offers that ask for the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

from syncnet.core.commands import Offer

__all__ = ["KnownTerms"]


@dataclass(frozen=True, slots=True)
class KnownTerms:
    """Terms that were checked.

    `template` is such an offer, without id, moment and payload; `key` is its namespace and its first event. `is_plain`
    tells whether the lane takes such offers.
    """

    template: Offer
    key: tuple[str, str]
    actor: str
    is_plain: bool

    def offer(self, id: str, at_ns: int) -> Offer:
        """Return an offer of these terms, without its payload."""
        return replace(self.template, id=id, at_ns=at_ns)
