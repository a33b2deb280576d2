"""The lane: where two plain offers meet without a search, and leave no trace of having waited but the trace itself.

An offer is *plain* when it asks for what most ask for: one event, one mate, the default labels and the default
selector. Where one plain offer is all that is pending under an event, rules 1 to 6 come down to one question: is the
next plain offer that of another actor? Then the two are the sync. So such an offer need not stand in the machine's
index; it rests here, and the lane answers that question in a small part of the time.

Laws

1. An event has one offer in the lane at most, and none in the machine while it has one in the lane.
2. Nobody can tell whether an offer rests here. Before anything else happens to the machine, and before anybody looks
   at it, whoever owns the lane empties it (`leave_all`) and hands the offers to the machine, in their order. What the
   lane knows of the machine is true until then.
3. What the machine would refuse, the lane does not take.

The lane knows nothing of locks; its owner sees to it that one at a time comes in.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from syncnet.core.machine import Machine, World
from syncnet.core.terms import Pair, Plain, Terms

__all__ = ["Lane"]

_P = TypeVar("_P", bound=Plain)

_QUIET_KEPT: Final = 10_000


class Lane(Generic[_P]):
    """The plain offers that rest, at most one to an event, and the syncs that the machine does not know of yet."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._resting: dict[tuple[str, str], _P] = {}
        self._quiet: dict[tuple[str, str], World] = {}  # events under which nothing stands in the machine
        self._pairs: deque[Pair] = deque(maxlen=machine.limits.trace_syncs_max)
        self._room = 0  # how many may rest; 0 where that must be asked of the machine again
        self._is_open = True
        self.number = 0
        """The number of the sync that happened last, to be read right after it."""

    def meet(self, terms: Terms, id: str, at_ns: int) -> _P | None:
        """Return the offer with which one of these terms, that id and that moment syncs at once; it rests no more.

        None where there is none: the offer may `rest`.
        """
        key = terms.key
        first = self._resting.get(key)
        if first is None or first.terms.actor == terms.actor:
            return None
        del self._resting[key]
        world = self._quiet[key]
        world.arrivals += 2
        world.syncs = self.number = number = world.syncs + 1
        self._pairs.append((number, first.terms, first.id, first.at_ns, terms, id, at_ns))
        return first

    def rest(self, plain: _P) -> bool:
        """Let an offer rest that met nobody, and return whether it does.

        Where it may not, the lane must be emptied before the offer is given to the machine.
        """
        key = plain.terms.key
        resting = self._resting
        if key in resting or (len(resting) >= self._room and not self._has_room()):
            return False
        if key not in self._quiet and not self._is_quiet(key):
            return False
        resting[key] = plain
        return True

    def leave(self, plain: _P) -> bool:
        """Take an offer out; return whether it rested here."""
        if self._resting.get(plain.terms.key) is not plain:
            return False
        del self._resting[plain.terms.key]
        return True

    @property
    def is_used(self) -> bool:
        """Return whether something is in it that `leave_all` would bring out, or that it remembers of the machine."""
        return bool(self._room or self._quiet or self._pairs)

    def leave_all(self) -> list[_P]:
        """Let the machine know of all syncs, take all offers out, and return them by arrival."""
        if self._pairs:
            self._machine.note(self._pairs)
            self._pairs.clear()
        self._room = 0
        self._quiet.clear()
        left = list(self._resting.values())
        self._resting.clear()
        return left

    def close(self) -> None:
        """Take no more offers; whoever rested has left."""
        self._is_open = False

    def _has_room(self) -> bool:
        self._room = self._machine.room_for_plain() if self._is_open else 0
        return len(self._resting) < self._room

    def _is_quiet(self, key: tuple[str, str]) -> bool:
        """Ask the machine about an event, and remember its world where nothing stands there."""
        world = self._machine.quiet_world(*key)
        if world is None:
            return False
        if len(self._quiet) >= _QUIET_KEPT:
            self._quiet = {each: self._quiet[each] for each in self._resting}
        self._quiet[key] = world
        return True
