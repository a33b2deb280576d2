"""Who was there and left: for each event, the actors whose offers ended without a sync a short time ago.

A timeout removes an offer, and so changes what the next one can see. What is kept here lets every report distinguish
who gave up from who never came. The latest departure of each actor is kept, by event, for `DEPARTED_S` by the time of
the commands, and for so many actors as `DEPARTURES_PER_EVENT_MAX` and `DEPARTURES_MAX` allow; above a bound the oldest
are forgotten. An actor that takes part in a sync of the event is forgotten too: it has come back.

It is part of the machine's state (G4).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from syncnet.core.candidates import profile_of
from syncnet.core.commands import Offer, OfferSpec
from syncnet.core.limits import DEPARTED_S, DEPARTURES_MAX, DEPARTURES_PER_EVENT_MAX
from syncnet.core.steps import Steps

__all__ = ["Departure", "Departures", "EventDepartures"]

_DEPARTED_NS: Final = DEPARTED_S * 1_000_000_000
_DEPARTURES_PER_STEP: Final = 4
"""Departures that are looked at for one step."""
_FORGOTTEN_AT_ONCE_MAX: Final = 16
"""Events that one departure forgets because of their age: more than are added on average."""


@dataclass(frozen=True)
class Departure:
    """`actor` left at `at_ns`; `how` is `timed-out`, `withdrawn`, `disconnected`, `lost` or `aborted`.

    `roster_key` is that of its profile: empty where it had no roster.
    """

    actor: str
    how: str
    at_ns: int
    roster_key: bytes = b""


EventDepartures: TypeAlias = tuple[str, str, tuple[Departure, ...]]
"""A namespace, an event, and who left it, the oldest first."""


class Departures:
    """The departures of one machine; `events` has the event that was left last at the end."""

    def __init__(self) -> None:
        self.events: OrderedDict[tuple[str, str], dict[str, Departure]] = OrderedDict()
        self._total = 0

    def all(self) -> tuple[EventDepartures, ...]:
        """Return all that are kept, the event that was left last at the end."""
        return tuple([(*key, tuple(by_actor.values())) for key, by_actor in self.events.items()])

    def restore(self, events: tuple[EventDepartures, ...]) -> None:
        """Take on what `all` returned."""
        for namespace, event, departures in events:
            for departure in departures:
                self._add(namespace, event, departure)

    def note(self, spec: OfferSpec, how: str, at_ns: int) -> None:
        """Note that an offer ended without a sync."""
        departure = Departure(spec.actor, how, at_ns, profile_of(spec).roster_key if spec.roster else b"")
        for event in spec.events:
            self._add(spec.namespace, event, departure)
        while self._total > DEPARTURES_MAX:
            self._forget_oldest()
        for _ in range(_FORGOTTEN_AT_ONCE_MAX):
            if at_ns - next(reversed(next(iter(self.events.values())).values())).at_ns <= _DEPARTED_NS:
                return
            self._forget_oldest()

    def came_back(self, namespace: str, event: str, members: tuple[Offer, ...]) -> None:
        """Note that actors took part in a sync of an event."""
        by_actor = self.events.get((namespace, event))
        if by_actor is None:
            return
        for member in members:
            if by_actor.pop(member.spec.actor, None) is not None:
                self._total -= 1
        if not by_actor:
            del self.events[namespace, event]

    def of(self, spec: OfferSpec, now_ns: int, steps: Steps) -> dict[str, Departure]:
        """Return by actor who left the events of an offer and is remembered at `now_ns`, the oldest first.

        :raises BoundHit: the steps were not enough.
        """
        latest: dict[str, Departure] = {}
        for event in spec.events:
            by_actor = self.events.get((spec.namespace, event))
            steps.take(1)
            if by_actor is None:
                continue
            steps.take(len(by_actor) // _DEPARTURES_PER_STEP)
            for actor, departure in by_actor.items():
                if now_ns - departure.at_ns <= _DEPARTED_NS and (
                    actor not in latest or latest[actor].at_ns < departure.at_ns
                ):
                    latest.pop(actor, None)
                    latest[actor] = departure
        return latest

    def _forget_oldest(self) -> None:
        """Forget the event that was left longest ago."""
        _, by_actor = self.events.popitem(last=False)
        self._total -= len(by_actor)

    def _add(self, namespace: str, event: str, departure: Departure) -> None:
        key = (namespace, event)
        by_actor = self.events.setdefault(key, {})
        self.events.move_to_end(key)
        if by_actor.pop(departure.actor, None) is None:
            self._total += 1
        by_actor[departure.actor] = departure
        if len(by_actor) > DEPARTURES_PER_EVENT_MAX:
            del by_actor[next(iter(by_actor))]
            self._total -= 1
