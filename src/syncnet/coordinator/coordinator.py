"""Joins a log to a machine: the one owner of a core; commands in, outcomes out.

The hub is the sole writer. It gives time to commands, knows who waits for which offer, keeps the timers of those who
will not wait for ever, and hands effects to its observers. It knows nothing of HTTP, of event loops and of what the
waiting are (tasks, threads, requests), and it waits for nobody (law 5 of the house): whoever waits left a function to
be told by, which hands over and returns. Any thread may call it.

Laws

1. Whoever makes an offer is told exactly once: its outcome, or the error that ended the wait (`Told`).
2. One waits for an offer at a time. Who asks again by its id takes the place of the one before, who is told so.
3. An offer whose waiter left stays for its linger, and is withdrawn when that is over; without a linger, at once.
4. An offer of the lane (core/lane.py) is as pending as any other. Before a command is applied and before the machine is
   read the lane is emptied, so that nobody can tell.
5. Functions to be told by, and observers, are called in the order of the log and under the lock of the hub, on
   whichever thread caused it. They must be quick, must not raise, and must not call the hub.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from syncnet.coordinator.timers import Timers
from syncnet.core.candidates import add
from syncnet.core.commands import Abort, Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Attached, Effect, Outcome, Pending, Replayed, SearchExhausted, Synced
from syncnet.core.lane import Lane
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.core.terms import Plain, Seen
from syncnet.errors import DrainingError, ReplacedError, RetryableError, SyncnetError
from syncnet.log import Log
from syncnet.log.memory import MemoryLog

__all__ = ["Coordinator", "Done", "Observer", "Passing", "Tell", "Timer", "Told"]

Observer: TypeAlias = Callable[[Seen], None]

Told: TypeAlias = Outcome | SyncnetError
"""What one who waits is told: how the offer ended; or why the wait ended, though the offer may still stand."""

Tell: TypeAlias = Callable[[Told], None]
Done: TypeAlias = Callable[[tuple[Effect, ...] | RetryableError], None]

_ID_BYTES = 8
_AGAIN_S = 0.5
_TICK_S = 0.001
_EARLY_NS_MAX = 5_000_000
"""By how much the timers of loops may be early: some count in milliseconds."""
_IDS_AT_ONCE = 256  # asking the system for randomness costs the same for many as for one


class Passing(Plain, Protocol):
    """An offer that may rest in the lane, and stand in the machine should somebody look."""

    def core_offer(self) -> Offer:
        """Return it as the machine takes it; called once at most."""

    def tell(self, told: Told) -> None:
        """Be told what became of it."""


class Timer(Protocol):
    """A call that is to come, and can be cancelled."""

    def cancel(self) -> None:
        """Let it not come; nothing happens where it has."""


CallLater: TypeAlias = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds, from whichever thread it is asked; `Timers.call_later` is one."""


@dataclass(slots=True)
class _Place:
    """A pending offer: who waits for it, if anybody, and the timers of its timeout and of its linger.

    `is_overdue` tells that its linger is over, and that it stays only because a request that asks for it again is on
    its way through the log.
    """

    offer: Offer
    tell: Tell | None
    is_overdue: bool = False
    deadline: Timer | None = None
    lingering: Timer | None = None

    def cancel_timers(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        if self.lingering is not None:
            self.lingering.cancel()


class Coordinator:
    """The one owner of a machine.

    `call_later` serves its timers; by default a thread does that, begun when the first is set. Where all calls come
    from one thread the lock costs next to nothing.
    """

    def __init__(
        self,
        log: Log | None = None,
        machine: Machine | None = None,
        observers: Iterable[Observer] = (),
        call_later: CallLater | None = None,
    ) -> None:
        self._log = MemoryLog() if log is None else log
        self._machine = Machine() if machine is None else machine
        self._observers = tuple(observers)
        self._timers = Timers()
        self.call_later: Final[CallLater] = self._timers.call_later if call_later is None else call_later
        self._lock = threading.RLock()
        self._places: dict[tuple[str, str], _Place] = {}
        self._asking: dict[int, tuple[Offer, Tell | None]] = {}  # by identity; appended and not yet delivered
        self._on_their_way: dict[tuple[str, str], int] = {}  # how many of those bear an id that a client chose
        self._commanding: dict[int, tuple[Command, Done]] = {}
        self._unused_ids: list[str] = []
        self._draining = self._is_over = False
        self._latest_ns = 0
        self._lane: Lane[Passing] = Lane(self._machine)
        self._lane_is_taken = not isinstance(self._log, MemoryLog)  # else a log must see every offer
        self._is_settling = False
        self._log.open(self)
        self._take_over()

    def now_ns(self) -> int:
        """Return the time that commands bear: nanoseconds since the Unix epoch, never less than before."""
        now_ns = time.time_ns()
        if now_ns > self._latest_ns:
            self._latest_ns = now_ns
        return self._latest_ns

    def new_id(self) -> str:
        """Return an id for an offer whose client named none: 16 hexadecimal digits that nobody can guess."""
        with self._lock:
            if not self._unused_ids:
                self._unused_ids = self.new_ids()
            return self._unused_ids.pop()

    @staticmethod
    def new_ids() -> list[str]:
        """Return some hundred ids such as `new_id` returns."""
        return secrets.token_bytes(_ID_BYTES * _IDS_AT_ONCE).hex(" ", _ID_BYTES).split()

    @property
    def machine(self) -> Machine:
        """The state, to be read only, and under no other thread's feet: see `reading`."""
        with self._lock:
            self._settle()
        return self._machine

    def take_lane(self) -> Lane[Passing] | None:
        """Return the lane to the one who shall have it: whoever asks first, because its offers must be of one kind.

        None to all others, and to everybody where a log must see every offer. To be entered only by who holds
        `reading`, and lets the observers see what happens there, if there are any.
        """
        is_taken, self._lane_is_taken = self._lane_is_taken, True
        return None if is_taken else self._lane

    @property
    def reading(self) -> threading.RLock:
        """The lock to hold while the machine is read from a thread that does not own the hub."""
        return self._lock

    @property
    def is_draining(self) -> bool:
        """Return whether the hub takes no more offers."""
        return self._draining

    @property
    def is_over(self) -> bool:
        """Return whether all were sent away, and commands come to nothing."""
        return self._is_over

    # --- what the waiting do -------------------------------------------------------------------------------

    def offer(self, offer: Offer, tell: Tell) -> None:
        """Append an offer; `tell` is called once, perhaps before this returns. Its deadline is the hub's matter.

        :raises DrainingError: the hub takes no more offers; nothing was appended, and `tell` is not called.
        """
        with self._lock:
            if self._draining:
                raise DrainingError("the server is about to end and takes no more offers")
            self._append(offer, tell)

    @property
    def is_observed(self) -> bool:
        """Return whether there are observers."""
        return bool(self._observers)

    def observe(self, seen: Seen) -> None:
        """Let the observers see something; under the lock."""
        for see in self._observers:
            see(seen)

    def leave(self, offer: Offer, tell: Tell) -> None:
        """Wait no longer: the one who made `offer`, to be told by `tell`, has gone. Nothing happens where it was told.

        The offer stays for its linger, or is withdrawn at once where it has none.
        """
        with self._lock:
            self._settle()
            if id(offer) in self._asking:
                self._asking[id(offer)] = (offer, None)
                return
            place = self._places.get((offer.namespace, offer.id))
            if place is not None and place.tell == tell:
                place.tell = None
                self._linger(place)

    def withdraw(self, namespace: str, id: str, done: Done, *, owner: str | None = None) -> None:
        """Append the withdrawal of a pending offer; `done` is told its effects, none where no such offer is pending.

        With `owner` only an offer of the token of that name is taken back.
        """
        self._command(Withdraw(self.now_ns(), namespace, id, Cause.WITHDRAWN, owner=owner), done)

    def abort(self, abort: Abort, done: Done) -> None:
        """Append an abort; `done` is told its effects, one for each offer that it ended."""
        self._command(abort, done)

    def settle(self) -> None:
        """Let the offers of the lane stand in the machine; needed only where a timeout of one is near."""
        with self._lock:
            self._settle()

    def drain(self) -> None:
        """Take no more offers."""
        with self._lock:
            self._settle()
            self._lane.close()
            self._draining = True

    @property
    def is_idle(self) -> bool:
        """Return whether all that clients asked for has been delivered or refused, and none of it may still happen."""
        return not self._asking and not self._commanding

    def shut_down(self) -> int:
        """Take no more offers, and end every wait with `DrainingError`; return how many were waiting.

        The offers stay in the log and in the machine: a durable log has them when the server is back. To be called when
        the hub is quiet: an offer that is on its way might yet sync with one whose client has been sent away.
        """
        with self._lock:
            self.drain()
            self._is_over = True
            waiting = [tell for _, tell in self._asking.values() if tell]
            for place in self._places.values():
                place.cancel_timers()
                if place.tell:
                    waiting.append(place.tell)
            self._places.clear()
            self._asking.clear()
            self._on_their_way.clear()
            for tell in waiting:
                tell(DrainingError("the server is about to end"))
            return len(waiting)

    def close(self) -> None:
        """End every wait, and close the log."""
        self.shut_down()
        self._timers.close()
        self._log.close()

    # --- what the log does (it sees a LogConsumer) --------------------------------------------------------------

    def restore(self, snapshot: Snapshot) -> None:
        """Take on a state of before, and its time: the clock of this server may be behind that of the one before."""
        past = (
            *(offer for world in snapshot.worlds for _, offer in world.standing),
            *snapshot.outcomes,
            *snapshot.trace,
        )
        self._latest_ns = max(self._latest_ns, *(each.at_ns for each in past), 0)
        self._machine.restore(snapshot)

    def change_limits(self, limits: Limits) -> None:
        """Go on under other limits than those of the state that was restored."""
        self._machine.change_limits(limits)

    def snapshot(self) -> Snapshot:
        """Return the state after all that was delivered."""
        return self._machine.snapshot()

    def replay(self, command: Command) -> tuple[Effect, ...]:
        """Apply a command of before, and tell nobody."""
        self._latest_ns = max(self._latest_ns, command.at_ns)
        return self._machine.apply(command)

    def deliver(self, command: Command) -> tuple[Effect, ...]:
        """Apply a command, and tell those whom its effects concern."""
        with self._lock:
            if self._lane.is_used:
                self._settle()
            effects = self._machine.apply(command)
            observers = () if self._is_settling else self._observers
            for effect in effects:
                for see in observers:
                    see(effect)
                if isinstance(effect, Synced):
                    for member in effect.members:
                        self._end(member, effect)
                elif isinstance(effect, Pending):
                    if not isinstance(effects[-1], Synced):  # else it is told at once, and takes no place
                        self._begin_to_wait(_Place(effect.offer, self._arrived(effect.offer)))
                elif isinstance(effect, Attached):
                    self._attach(effect.offer)
                elif isinstance(effect, Replayed):
                    self._answer(effect.offer, effect.outcome)
                elif not isinstance(effect, SearchExhausted):
                    self._end(effect.offer, effect)
            if self._commanding and id(command) in self._commanding:
                self._commanding.pop(id(command))[1](effects)
            return effects

    def refuse(self, command: Command, error: RetryableError) -> None:
        """Tell whoever waits for a command that it has not happened."""
        with self._lock:
            if isinstance(command, Offer):
                self._answer(command, error)
            elif id(command) in self._commanding:
                self._commanding.pop(id(command))[1](error)
            elif not isinstance(command, Abort) and (place := self._places.get((command.namespace, command.id))):
                again = self._expire if isinstance(command, Expire) else self._let_go
                self.call_later(_AGAIN_S, lambda: again(place))  # a deadline is not dropped, and no ghost stays

    # --- inside --------------------------------------------------------------------------------------------

    def _append(self, offer: Offer, tell: Tell) -> None:
        self._asking[id(offer)] = (offer, tell)
        if offer.named:
            add(self._on_their_way, (offer.namespace, offer.id), 1)
        self._log.append(offer)

    def _command(self, command: Command, done: Done) -> None:
        with self._lock:
            self._commanding[id(command)] = (command, done)
            self._log.append(command)

    def _settle(self) -> None:
        """Let the offers of the lane stand in the machine, where they meet nobody; they were seen when they came."""
        self._is_settling = True
        try:
            for passing in self._lane.leave_all():
                self._append(passing.core_offer(), passing.tell)
        finally:
            self._is_settling = False

    def _take_over(self) -> None:
        """Take charge of the offers of before. Nobody waits for them any more, as if all their clients had left."""
        for arrival, offer in self._machine.all_pending():
            self.observe(Pending(offer, arrival))
            place = self._places[offer.namespace, offer.id] = _Place(offer, None)
            self._set_deadline(place)
            self._linger(place)

    def _begin_to_wait(self, place: _Place) -> None:
        """Note an offer that stands from now on, and set its timers."""
        offer = place.offer
        self._places[offer.namespace, offer.id] = place
        if offer.timeout_ns is not None:
            self._set_deadline(place)
        if place.tell is None:  # it left while the log was writing
            self._linger(place)

    def _set_deadline(self, place: _Place) -> None:
        offer = place.offer
        if offer.timeout_ns is not None:
            left_s = max(0, offer.at_ns + offer.timeout_ns - self.now_ns()) / 1e9
            place.deadline = self.call_later(left_s, lambda: self._expire(place))

    def _linger(self, place: _Place) -> None:
        if place.lingering is not None:
            place.lingering.cancel()
        if place.offer.named and place.offer.linger_ns:
            place.lingering = self.call_later(place.offer.linger_ns / 1e9, lambda: self._let_go(place))
        else:
            self._let_go(place)

    def _let_go(self, place: _Place) -> None:
        with self._lock:
            if place.tell is None and self._stands(place):
                offer = place.offer
                place.is_overdue = (offer.namespace, offer.id) in self._on_their_way
                if place.is_overdue:  # its client is not gone, or goes once more
                    return
                self._log.append(Withdraw(self.now_ns(), offer.namespace, offer.id, Cause.DISCONNECTED, offer.at_ns))

    def _expire(self, place: _Place) -> None:
        with self._lock:
            if self._stands(place):
                offer = place.offer
                left_ns = offer.at_ns + (offer.timeout_ns or 0) - self.now_ns()
                if 0 < left_ns < _EARLY_NS_MAX:  # with more than that left it is the clock that was set back
                    place.deadline = self.call_later(left_ns / 1e9 + _TICK_S, lambda: self._expire(place))
                    return
                self._log.append(Expire(self.now_ns(), offer.namespace, offer.id, offer.at_ns))

    def _stands(self, place: _Place) -> bool:
        return self._places.get((place.offer.namespace, place.offer.id)) is place

    def _attach(self, asking: Offer) -> None:
        """Let one who asks again take the place of the one before."""
        tell = self._arrived(asking)
        place = self._places[asking.namespace, asking.id]
        if tell is None:  # and this one has left again
            if place.tell is None:
                self._linger(place)
            return
        place.is_overdue = False
        if place.lingering is not None:
            place.lingering.cancel()
            place.lingering = None
        if place.tell is not None:
            place.tell(ReplacedError(f"another request took over the offer {asking.id}"))
        place.tell = tell

    def _end(self, offer: Offer, outcome: Outcome) -> None:
        """Tell the outcome of an offer to the one who waits for it."""
        key = (offer.namespace, offer.id)
        place = self._places.get(key)
        if place is None or place.offer is not offer:  # it was refused, and never had a place
            self._answer(offer, outcome)
            return
        del self._places[key]
        if place.deadline is not None or place.lingering is not None:
            place.cancel_timers()
        if place.tell is not None:
            place.tell(outcome)

    def _answer(self, asking: Offer, told: Told) -> None:
        """Tell one whose offer took no place."""
        tell = self._arrived(asking)
        if tell is not None:
            tell(told)
        place = self._places.get((asking.namespace, asking.id))
        if place is not None and place.is_overdue:
            self._let_go(place)

    def _arrived(self, asking: Offer) -> Tell | None:
        """Note that an offer came out of the log; return whom to tell, None where it left before."""
        entry = self._asking.pop(id(asking), None)
        if entry is None:
            return None
        if asking.named:
            add(self._on_their_way, (asking.namespace, asking.id), -1)
        return entry[1]
