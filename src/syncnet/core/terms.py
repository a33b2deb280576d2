"""What a plain offer asks for, apart from who made which one when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from syncnet.core.commands import Offer, plain_offer
from syncnet.core.effects import Effect, Pending, Synced

__all__ = ["Met", "Pair", "Plain", "PlainTerms", "Rested", "Seen", "Terms", "in_full", "written_out"]


class Terms(Protocol):
    """What an offer asks for; `key` is its namespace and its first event."""

    @property
    def key(self) -> tuple[str, str]:
        """Its namespace and its first event."""

    @property
    def actor(self) -> str:
        """Who asks."""

    def offer(self, id: str, at_ns: int) -> Offer:
        """Return an offer of these terms."""


class PlainTerms:
    """The terms of an actor that is ready for an event with one other, and says nothing else."""

    __slots__ = ("actor", "key")

    def __init__(self, namespace: str, event: str, actor: str) -> None:
        self.key = (namespace, event)
        self.actor = actor

    def offer(self, id: str, at_ns: int) -> Offer:
        """Return an offer of these terms."""
        namespace, event = self.key
        return plain_offer(at_ns=at_ns, namespace=namespace, id=id, event=event, actor=self.actor)


class Plain(Protocol):
    """An offer as the lane takes it: that of its terms, but for its id and its moment."""

    @property
    def terms(self) -> Terms:
        """What it asks for."""

    @property
    def id(self) -> str:
        """What it is called."""

    @property
    def at_ns(self) -> int:
        """When it was made, in nanoseconds since the Unix epoch."""


Pair: TypeAlias = tuple[int, Terms, str, int, Terms, str, int]
"""A sync of two plain offers in brief: its number, and of both members, by arrival, terms, id and moment."""


def written_out(pair: Pair) -> Synced:
    """Return a sync in full."""
    number, first, first_id, first_ns, second, second_id, second_ns = pair
    namespace, event = first.key
    members = (first.offer(first_id, first_ns), second.offer(second_id, second_ns))
    return Synced(max(first_ns, second_ns), namespace, event, number, members)


@dataclass(slots=True)
class Rested:
    """In brief: a plain offer of this id, made at that moment, arrived and stands."""

    terms: Final[Terms]
    id: Final[str]
    at_ns: Final[int]


@dataclass(slots=True)
class Met:
    """In brief: a plain offer arrived, and synced with the one of before."""

    pair: Final[Pair]


Seen: TypeAlias = Effect | Rested | Met
"""What an observer sees: effects, and what happened in the lane, in brief."""


def in_full(seen: Seen) -> tuple[Effect, ...]:
    """Return the effects that something in brief stands for. The lane counts no arrivals: their number is 0."""
    if isinstance(seen, Rested):
        return (Pending(seen.terms.offer(seen.id, seen.at_ns), 0),)
    if isinstance(seen, Met):
        synced = written_out(seen.pair)
        return (Pending(synced.members[1], 0), synced)
    return (seen,)
