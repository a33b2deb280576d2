"""What comes out: the effects, in the order in which they happened.

Every accepted offer gives `Pending` first, even where it syncs within the same command. `Synced`, `Withdrawn`,
`TimedOut` and `Refused` are final: after one of them an offer is in no later effect (G1, G6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from syncnet.core.commands import Cause, Offer

__all__ = ["Effect", "Missed", "Outcome", "Pending", "Refused", "Synced", "TimedOut", "Withdrawn"]


@dataclass(frozen=True, slots=True)
class Pending:
    """`offer` arrived and stands, the `arrival`-th of its namespace (1, 2, 3 …)."""

    offer: Offer
    arrival: int


@dataclass(frozen=True, slots=True)
class Synced:
    """`members`, in order of arrival, happened together: the `sync`-th entry of the namespace's trace (1, 2, 3 …)."""

    at_ns: int
    namespace: str
    event: str
    sync: int
    members: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """`offer` was taken back, by its client or because the client went away."""

    at_ns: int
    offer: Offer
    cause: Cause


@dataclass(frozen=True, slots=True)
class TimedOut:
    """`offer` gave up waiting.

    `present` names the actors of the pending offers that it was compatible with, in order of arrival, at most
    `PRESENT_OFFERS_MAX` of them. `missing` says how many more it would have taken, 1 or more; with a roster
    `missing_actors` names them.
    """

    at_ns: int
    offer: Offer
    present: tuple[str, ...]
    missing: int
    missing_actors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """The search for `offer` hit its bound in `event`: a set may be there that was not found (G3)."""

    at_ns: int
    offer: Offer
    event: str
    steps: int


@dataclass(frozen=True, slots=True)
class Refused:
    """`offer` was not taken, and the state is as it was before: the id is pending already, or a limit is reached."""

    offer: Offer
    code: Literal["id-pending", "full"]
    reason: str


Effect: TypeAlias = Pending | Synced | Withdrawn | TimedOut | Missed | Refused
Outcome: TypeAlias = Synced | Withdrawn | TimedOut | Refused
"""The effects that end an offer."""
