"""What an offer asks for, apart from who made which one when: checked once for all offers that ask for the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from syncnet.core.commands import Offer

__all__ = ["Plain", "Terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an offer asks for.

    `template` is such an offer, without id, moment and payload; `key` is its namespace and its first event. `is_plain`
    tells whether the lane takes such offers.
    """

    template: Offer
    key: tuple[str, str]
    actor: str
    is_plain: bool


class Plain(Protocol):
    """An offer as the lane takes it: like the template of its terms, but for its id and its moment."""

    terms: Terms
    id: str
    at_ns: int
