"""What comes out: the effects, in the order in which they happened.

Every accepted offer gives `Pending` first, even where it syncs within the same command. `Synced`, `Withdrawn`,
`TimedOut`, `Aborted` and `Refused` are final: after one of them an offer is in no later effect (G1, G6).

An offer that was made before, and is made again by its id, is not accepted a second time (G7): it gives `Attached`
where the first is pending, and `Replayed` where it has ended.

`Synced` is a plain class because very many are made; the others are dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from syncnet.core.commands import Cause, Offer
from syncnet.core.departures import Departure

__all__ = [
    "Aborted",
    "Attached",
    "Effect",
    "Outcome",
    "Pending",
    "Reason",
    "Refused",
    "Remembered",
    "Replayed",
    "SearchExhausted",
    "Synced",
    "TimedOut",
    "Withdrawn",
    "how_ended",
    "offers_of",
]


@dataclass(frozen=True)
class Pending:
    """`offer` arrived and is pending; `offer.arrival` is its number in its namespace (1, 2, 3 …)."""

    offer: Offer


class Synced:
    """`members`, in order of arrival, happened together: the `sync`-th entry of the namespace's trace (1, 2, 3 …)."""

    __slots__ = ("at_ns", "event", "members", "namespace", "sync")

    def __init__(self, at_ns: int, namespace: str, event: str, sync: int, members: tuple[Offer, ...]) -> None:
        self.at_ns: int = at_ns
        self.namespace: str = namespace
        self.event: str = event
        self.sync: int = sync
        self.members: tuple[Offer, ...] = members

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Synced):
            return NotImplemented
        return (self.at_ns, self.namespace, self.event, self.sync, self.members) == (
            other.at_ns,
            other.namespace,
            other.event,
            other.sync,
            other.members,
        )

    def __hash__(self) -> int:
        return hash((self.namespace, self.sync))

    def __repr__(self) -> str:
        return f"<Synced {self.namespace}#{self.sync} {self.event} {self.members}>"


@dataclass(frozen=True)
class Withdrawn:
    """`offer` was withdrawn, by its client or because its client disconnected."""

    at_ns: int
    offer: Offer
    cause: Cause


@dataclass(frozen=True)
class Reason:
    """One thing that hinders an offer, in words: about `actor` and `event`, either of which may be empty."""

    actor: str
    event: str
    reason: str


@dataclass(frozen=True)
class TimedOut:
    """The timeout of `offer` has passed.

    `present` names the actors of the pending offers that it was compatible with, in order of arrival, at most
    `PRESENT_OFFERS_MAX` of them; before them, those of the same roster that timed out together with it. `missing` says
    how many more members it needed, 1 or more; with a roster `missing_actors` names them.

    `gave_up` are actors that left its events a short time before and are not back: those on its roster, or those that
    its selector does not exclude by their name. `never_came` are those on its roster that neither have an offer of its
    events pending nor are remembered to have left. `reasons`, at most `REASONS_MAX`, say why those that are there did
    not sync.
    """

    at_ns: int
    offer: Offer
    present: tuple[str, ...]
    missing: int
    missing_actors: tuple[str, ...]
    gave_up: tuple[Departure, ...] = ()
    never_came: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class SearchExhausted:
    """The search for `offer` hit its bound in `event`, so a set that can sync may not have been found (G3)."""

    at_ns: int
    offer: Offer
    event: str
    steps: int


@dataclass(frozen=True)
class Refused:
    """`offer` was refused, and the state is as it was before.

    `id-reused`: its id belongs to another offer. `full`: the machine has no room. `quota`: the namespace or the token
    has no room.
    """

    offer: Offer
    code: Literal["id-reused", "full", "quota"]
    reason: str


@dataclass(frozen=True)
class Aborted:
    """`offer` was ended by another client: `by` (perhaps empty) says who, `reason` why."""

    at_ns: int
    offer: Offer
    by: str
    reason: str


@dataclass(frozen=True)
class Attached:
    """`offer` asks again for one that is pending; its waiter gets the outcome of that one."""

    offer: Offer


@dataclass(frozen=True)
class Replayed:
    """`offer` asks again for one that has ended, with this `outcome`."""

    offer: Offer
    outcome: Remembered


Remembered: TypeAlias = Synced | TimedOut | Aborted | Withdrawn
"""The outcomes that are kept and answered again (G7); of withdrawals those that a client asked for."""

Outcome: TypeAlias = Remembered | Refused
"""The effects that end an offer."""

Effect: TypeAlias = Pending | Outcome | SearchExhausted | Attached | Replayed


def offers_of(outcome: Outcome) -> tuple[Offer, ...]:
    """Return the offers that an outcome ends: the members of a sync, or the one offer of any other."""
    return outcome.members if isinstance(outcome, Synced) else (outcome.offer,)


def how_ended(outcome: Outcome) -> str:
    """Return how an outcome ended its offers, in one word: that of the JSON log."""
    if isinstance(outcome, Withdrawn):
        return outcome.cause.value
    if isinstance(outcome, TimedOut):
        return "timed-out"
    if isinstance(outcome, Aborted):
        return "aborted"
    return "synced" if isinstance(outcome, Synced) else "refused"
