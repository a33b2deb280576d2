"""The lane: where two plain offers meet without a search, and leave no trace of having waited but the trace itself.

An offer is *plain* when it asks for what most ask for: one event, one mate, the default labels and the default
selector. Where one plain offer is all that is pending under an event, rules 1 to 6 come down to one question: is the
next plain offer that of another actor? Then the two are the sync. So such an offer need not stand in the machine's
index; it rests here, and the lane answers that question in a small part of the time.

Laws

1. An event has one offer in the lane at most, and none in the machine while it has one in the lane.
2. Nobody can tell whether an offer rests here. Before anything else happens to the machine, and before anybody looks
   at it, whoever owns the lane empties it (`leave_all`) and hands the offers to the machine, in their order.
3. What the machine would refuse, the lane does not take.

The lane knows nothing of locks; its owner sees to it that one at a time comes in.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from syncnet.core.machine import Machine
from syncnet.core.terms import Plain

__all__ = ["Lane"]


_P = TypeVar("_P", bound=Plain)


class Lane(Generic[_P]):
    """The plain offers that rest, at most one to an event."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.resting: dict[tuple[str, str], _P] = {}
        """Who rests, by namespace and event; to be read only."""
        self._room = 0  # how many may rest; 0 where that must be asked of the machine again
        self._is_open = True
        self.number = 0
        """The number of the sync that happened last, to be read right after it."""

    def arrive(self, plain: _P, at_ns: int) -> _P | None:
        """Return the offer that `plain` syncs with at `at_ns`; `plain` itself where it rests; None where it cannot."""
        key = plain.terms.key
        resting = self.resting
        first = resting.pop(key, None)
        if first is not None:
            if first.terms.actor == plain.terms.actor:
                resting[key] = first
                return None
            self.number = self._machine.pair(key, at_ns, first, plain)
            return first
        if len(resting) >= self._room and not self._has_room():
            return None
        if not self._machine.is_quiet(key):
            return None
        resting[key] = plain
        return plain

    def leave(self, plain: _P) -> bool:
        """Take an offer out; tell whether it rested here."""
        if self.resting.get(plain.terms.key) is not plain:
            return False
        del self.resting[plain.terms.key]
        return True

    def leave_all(self) -> list[_P]:
        """Take all offers out, and return them by arrival."""
        self._room = 0
        if not self.resting:
            return []
        left = list(self.resting.values())
        self.resting = {}
        return left

    def close(self) -> None:
        """Take no more offers; whoever rested has left."""
        self._is_open = False

    def _has_room(self) -> bool:
        self._room = self._machine.room_for_plain() if self._is_open else 0
        return len(self.resting) < self._room
