"""What comes out: the effects, in the order in which they happened.

Every accepted offer gives `Pending` first, even where it syncs within the same command. `Synced`, `Withdrawn`,
`TimedOut`, `Aborted` and `Refused` are final: after one of them an offer is in no later effect (G1, G6).

An offer that was made before, and is made again by its id, is not accepted a second time (G7): it gives `Attached`
where the first is pending, and `Replayed` where it has come to an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from syncnet.core.commands import Cause, Offer

__all__ = [
    "Aborted",
    "Attached",
    "Effect",
    "Outcome",
    "Pending",
    "Refused",
    "Remembered",
    "Replayed",
    "SearchExhausted",
    "Synced",
    "TimedOut",
    "Withdrawn",
    "offers_of",
]


@dataclass(slots=True, unsafe_hash=True)
class Pending:
    """`offer` arrived and stands, the `arrival`-th of its namespace (1, 2, 3 …; 0 where nobody counted)."""

    offer: Final[Offer]
    arrival: Final[int]


@dataclass(slots=True, unsafe_hash=True)
class Synced:
    """`members`, in order of arrival, happened together: the `sync`-th entry of the namespace's trace (1, 2, 3 …)."""

    at_ns: Final[int]
    namespace: Final[str]
    event: Final[str]
    sync: Final[int]
    members: Final[tuple[Offer, ...]]


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
class SearchExhausted:
    """The search for `offer` hit its bound in `event`: a set may be there that was not found (G3)."""

    at_ns: int
    offer: Offer
    event: str
    steps: int


@dataclass(frozen=True, slots=True)
class Refused:
    """`offer` was not taken, and the state is as it was before.

    `id-reused`: its id belongs to another offer. `full`: the machine takes no more. `quota`: the namespace or the
    token takes no more.
    """

    offer: Offer
    code: Literal["id-reused", "full", "quota"]
    reason: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """`offer` was ended by somebody else: `by` (perhaps empty) says who, `reason` why."""

    at_ns: int
    offer: Offer
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Attached:
    """`offer` asks again for one that is pending: whoever made it waits for the outcome of that one from now on."""

    offer: Offer


@dataclass(frozen=True, slots=True)
class Replayed:
    """`offer` asks again for one that has come to an end: with `outcome`, the very same."""

    offer: Offer
    outcome: Remembered


Remembered: TypeAlias = Synced | TimedOut | Aborted | Withdrawn
"""The outcomes that are told again to one who asks again; of withdrawals those that a client wished for."""

Outcome: TypeAlias = Remembered | Refused
"""The effects that end an offer."""

Effect: TypeAlias = Pending | Outcome | SearchExhausted | Attached | Replayed


def offers_of(outcome: Outcome) -> tuple[Offer, ...]:
    """Return the offers that an outcome ends: the members of a sync, or the one offer of any other."""
    return outcome.members if isinstance(outcome, Synced) else (outcome.offer,)
