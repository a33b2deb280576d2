"""What an offer was told, as a value or an error of Python."""

from __future__ import annotations

from syncnet.core.effects import Aborted, Refused, Synced, TimedOut, Withdrawn
from syncnet.errors import (
    AbortedError,
    DrainingError,
    RefusedError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    WithdrawnError,
    WorldError,
)
from syncnet.hub import Told
from syncnet.wire.answers import aborted_detail, timed_out_detail, waited_s
from syncnet.wire.payloads import value_of
from syncnet.wire.results import Member, Sync

__all__ = ["Happening", "error_of"]


class Happening:
    """A sync as all of its members in this program see it: they share the members, and the payloads as objects."""

    __slots__ = ("_members", "_payloads", "_ranks", "_synced")

    def __init__(self, synced: Synced) -> None:
        self._synced = synced
        self._members: tuple[Member, ...] = ()
        self._payloads: dict[str, object] = {}
        self._ranks: dict[str, int] = {}

    def seen_by(self, id: str) -> Sync:
        """Return the sync as the member of that id sees it. One at a time may ask."""
        synced = self._synced
        if not self._members:
            self._members = tuple(
                Member(offer.id, offer.actor, dict(offer.labels), value_of(offer.payload)) for offer in synced.members
            )
            self._payloads = {member.actor: member.payload for member in self._members}
            self._ranks = {member.id: rank for rank, member in enumerate(self._members)}
        return Sync(synced.event, synced.sync, self._payloads, self._members, self._ranks[id])


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
        case WorldError():
            return UnavailableError(str(told), told.code)
        case SyncnetError():
            return RefusedError(str(told), told.code)
        case Synced() | Sync():
            raise TypeError("a sync is not an error")
