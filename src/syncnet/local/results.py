"""What an offer was told, as a value or an error of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from syncnet.coordinator.coordinator import Told
from syncnet.core.effects import Aborted, Refused, Synced, TimedOut, Withdrawn
from syncnet.errors import (
    AbortedError,
    DrainingError,
    RefusedError,
    RetryableError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
)
from syncnet.local.terms import KnownTerms
from syncnet.wire.answers import aborted_detail, timed_out_detail, waited_s
from syncnet.wire.payloads import value_of
from syncnet.wire.results import Happened, Member, Sync

__all__ = ["Happening", "Pair", "error_of"]


class Happening:
    """A sync as all of its members in this program see it: they share the members, and the payloads as objects."""

    __slots__ = ("_happened", "_ranks", "_synced")

    def __init__(self, synced: Synced) -> None:
        self._synced = synced
        self._happened: Happened | None = None
        self._ranks: dict[str, int] = {}

    def seen_by(self, id: str) -> Sync:
        """Return the sync as the member of that id sees it. One at a time may ask."""
        synced = self._synced
        if self._happened is None:
            members = tuple(
                Member(offer.id, offer.actor, dict(offer.labels), value_of(offer.payload)) for offer in synced.members
            )
            payloads = {member.actor: member.payload for member in members}
            self._happened = Happened(synced.event, synced.sync, payloads, members)
            self._ranks = {member.id: rank for rank, member in enumerate(members)}
        return Sync(self._happened, self._ranks[id])


class Pair(msgspec.Struct, eq=False):
    """A sync of the lane as both of its members see it, put together when one of them looks.

    Should both look at the same time in two threads, they may get two objects that are equal.
    """

    number: int
    _first: KnownTerms
    _first_id: str
    _first_payload: Any
    _second: KnownTerms
    _second_id: str
    _second_payload: Any
    _payloads: Mapping[str, Any] | None = None
    _members: tuple[Member, ...] = ()

    @property
    def event(self) -> str:
        """The event under which it happened."""
        return self._first.key[1]

    @property
    def payloads(self) -> Mapping[str, Any]:
        """The two payloads by actor."""
        payloads = self._payloads
        if payloads is None:
            payloads = {self._first.actor: self._first_payload, self._second.actor: self._second_payload}
            self._payloads = payloads
        return payloads

    @property
    def members(self) -> tuple[Member, ...]:
        """Both members in order of arrival."""
        if not self._members:
            self._members = (
                Member(self._first_id, self._first.actor, self._first.template.labels, self._first_payload),
                Member(self._second_id, self._second.actor, self._second.template.labels, self._second_payload),
            )
        return self._members


def error_of(told: Told | Sync) -> SyncnetError:
    """Return, made anew for each who asks, the error that says what an offer was told; a sync is none."""
    match told:
        case TimedOut():
            return TimedOutError(
                timed_out_detail(told),
                waited_s=waited_s(told),
                present=told.present,
                missing=told.missing,
                missing_actors=told.missing_actors,
            )
        case Withdrawn():
            return WithdrawnError(f"the offer of {told.offer.actor} was withdrawn")
        case Aborted():
            return AbortedError(aborted_detail(told), by=told.by, reason=told.reason)
        case Refused(_, code, reason):
            return RefusedError(reason, code) if code == "id-reused" else UnavailableError(reason, code)
        case DrainingError():
            return UnavailableError("this world takes no more offers: it was closed, or is about to be", told.code)
        case RetryableError():
            return UnavailableError(str(told), told.code)
        case SyncnetError():
            return RefusedError(str(told), told.code)
        case Synced() | Sync():
            raise TypeError("a sync is not an error")
