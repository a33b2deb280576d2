"""What the result of an offer is to a program: a `Sync`, or an error of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from syncnet.coordinator.waiters import Result
from syncnet.core.effects import Aborted, Refused, TimedOut, Withdrawn
from syncnet.core.times import rfc3339
from syncnet.core.wording import waited_s
from syncnet.errors import (
    AbortedError,
    DrainingError,
    GaveUp,
    Hindrance,
    RefusedError,
    RetryableError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
)
from syncnet.wire.answers import aborted_detail, timed_out_detail
from syncnet.wire.payloads import value_of
from syncnet.wire.results import Member

__all__ = ["SharedParts", "error_of"]


class SharedParts(msgspec.Struct, eq=False):
    """What all members of a sync have in common; made when one of them looks, because most never do.

    Where two threads look at the same time, they may get two objects that are equal.
    """

    _synced: Any  # a Synced, which msgspec must not look into
    _members: tuple[Member, ...] | None = None
    _payloads: dict[str, Any] | None = None

    @property
    def event(self) -> str:
        """The event under which it happened."""
        event: str = self._synced.event
        return event

    @property
    def number(self) -> int:
        """Its number among the syncs of its namespace."""
        number: int = self._synced.sync
        return number

    @property
    def payloads(self) -> Mapping[str, Any]:
        """The payloads by actor."""
        payloads = self._payloads
        if payloads is None:
            payloads = self._payloads = {offer.actor: value_of(offer) for offer in self._synced.members}
        return payloads

    @property
    def members(self) -> tuple[Member, ...]:
        """All members in order of arrival."""
        members = self._members
        if members is None:
            members = self._members = tuple(
                [Member(offer.id, offer.actor, dict(offer.labels), value_of(offer)) for offer in self._synced.members]
            )
        return members


def error_of(result: Result) -> SyncnetError:
    """Return, made anew for each caller, the error that a result is; a sync is none."""
    match result:
        case TimedOut():
            return TimedOutError(
                timed_out_detail(result),
                waited_s=waited_s(result.offer, result.at_ns),
                present=result.present,
                missing=result.missing,
                missing_actors=result.missing_actors,
                gave_up=tuple([GaveUp(each.actor, each.how, rfc3339(each.at_ns)) for each in result.gave_up]),
                never_came=result.never_came,
                reasons=tuple([Hindrance(each.actor, each.event, each.reason) for each in result.reasons]),
            )
        case Withdrawn():
            return WithdrawnError(f"the offer of {result.offer.actor} was withdrawn")
        case Aborted():
            return AbortedError(aborted_detail(result), by=result.by, reason=result.reason)
        case Refused(_, code, reason):
            return RefusedError(reason, code) if code == "id-reused" else UnavailableError(reason, code)
        case DrainingError():
            return UnavailableError("this runtime accepts no more offers: it was closed, or is closing", result.code)
        case RetryableError():
            return UnavailableError(str(result), result.code)
        case SyncnetError():
            return RefusedError(str(result), result.code)
        case _:
            raise TypeError("a sync is not an error")
