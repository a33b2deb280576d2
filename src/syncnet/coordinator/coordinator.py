"""The coordinator joins a log to a machine: it appends commands, applies what the log delivers, and calls the waiters.

It is the only owner of its machine. It gives time to commands, keeps the timers of timeouts and lingers, and hands the
effects to its observers. It knows nothing of HTTP, of event loops and of what a waiter is (a request, a task, a
thread). Any thread may call it.

The way of an offer: `offer` appends it to the log; the log delivers it (`deliver`), at once or later; the machine
answers that it is pending, that it synced, or why it is neither; the waiter travels in `Offer.waiter` and gets the
result. `waiters.py` has the life of a waiter as a table.

Laws

1. A waiter is called exactly once: with the outcome of its offer, or with the error that ended the wait (`Result`).
2. One waiter waits for an offer at a time. A request that asks again by the id replaces the waiter, which gets
   `ReplacedError`.
3. An offer whose client disconnected stays pending for its linger and is withdrawn when that is over; without a linger
   it is withdrawn at once.
4. Waiters, command callbacks and observers are called in the order of the log and under the lock, on whichever thread
   caused it. They must be quick, must not raise, and must not call the coordinator.
5. Time and ids come from the functions that the coordinator was given, and from nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from syncnet.coordinator.ids import random_ids
from syncnet.coordinator.timers import Timers
from syncnet.coordinator.waiters import TRANSITIONS, Event, Lingering, Waiter, state_of
from syncnet.core.commands import Abort, Cause, Command, EndCommand, Expire, Offer, Withdraw
from syncnet.core.counts import Counts
from syncnet.core.effects import (
    Aborted,
    Attached,
    Effect,
    Pending,
    Refused,
    Remembered,
    Replayed,
    Synced,
    TimedOut,
    Withdrawn,
)
from syncnet.core.limits import CHARGED_STEPS_MIN, Limits
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.errors import DrainingError, JournalError, ReplacedError, RetryableError
from syncnet.log import ELSEWHERE, ClusterReport, Log
from syncnet.log.memory import MemoryLog

__all__ = ["CommandCallback", "Coordinator", "Observer"]

Observer: TypeAlias = Callable[[Effect], None]

CommandCallback: TypeAlias = Callable[[Sequence[Remembered] | RetryableError], None]
"""Gets the outcomes of a withdrawal or an abort; or the error because of which it has not happened."""

_RETRY_NS = 500_000_000
_EARLY_NS_MAX = 5_000_000
"""By how much the clock of the timers may be ahead of the clock that commands carry."""


class Coordinator:
    """The one owner of a machine.

    `time_ns` is the clock of the commands (nanoseconds since the Unix epoch), `monotonic_ns` that of the timers, and
    `new_ids` returns some new ids. Without `timer_thread` the owner calls `fire_due_timers` itself, like a simulator.
    Coordinators that share a lock and timers (one for each namespace of a cluster) are given both; the owner of the
    timers calls `fire` then.
    """

    def __init__(
        self,
        log: Log | None = None,
        machine: Machine | None = None,
        observers: Sequence[Observer] = (),
        *,
        time_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        new_ids: Callable[[], list[str]] = random_ids,
        timer_thread: bool = True,
        lock: threading.RLock | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.machine: Machine = Machine() if machine is None else machine
        self.lock: threading.RLock = threading.RLock() if lock is None else lock
        """Protects the machine and everything here. The log holds it when it calls; hold it to read the machine."""
        self._log: Log = MemoryLog() if log is None else log
        self._observers = tuple(observers)
        self._time_ns = time_ns
        self._new_ids = new_ids
        self._unused_ids: list[str] = []
        self._latest_ns = 0
        if timers is None:
            timers = Timers(self.lock, self.fire, monotonic_ns, threaded=timer_thread)
        self._timers: Timers = timers
        self.is_draining: bool = False
        """No more offers are accepted."""
        self.is_shut_down: bool = False
        """All waits were ended, and commands have no effect."""
        self._log.open(self)
        self.machine.counts = Counts()  # what was replayed had been counted before the start
        with self.lock:
            self._adopt_pending()

    def now_ns(self) -> int:
        """Return the time for a command: nanoseconds since the Unix epoch, never less than before."""
        now_ns = self._time_ns()
        if now_ns > self._latest_ns:
            self._latest_ns = now_ns
        return self._latest_ns

    def new_id(self) -> str:
        """Return an id for an offer whose client chose none."""
        try:
            return self._unused_ids.pop()
        except IndexError:
            ids = self._new_ids()
            id = ids.pop()
            self._unused_ids = ids
            return id

    def add_observer(self, observer: Observer) -> None:
        """Call `observer` with each effect from now on."""
        with self.lock:
            self._observers = (*self._observers, observer)

    def remove_observer(self, observer: Observer) -> None:
        """Call `observer` no more; one that is not called anyway is ignored."""
        with self.lock:
            self._observers = tuple([other for other in self._observers if other is not observer])

    # --- what front ends call ------------------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Append an offer; its waiter is called once, perhaps before this returns.

        :raises DrainingError: no more offers are accepted; nothing was appended, and the waiter is not called.
        """
        with self.lock:
            if self.is_draining:
                raise DrainingError("the server is shutting down and accepts no more offers")
            self._log.append(offer)

    def disconnect(self, offer: Offer, waiter: Waiter) -> None:
        """Note that the client which made `offer` and waits for it by `waiter` has disconnected.

        Nothing happens where the waiter was called before. The offer stays pending for its linger.
        """
        with self.lock:
            pending = self.machine.pending_offer(offer.spec.namespace, offer.id)
            if pending is not None and pending.waiter is waiter:
                self._linger(pending)
            elif offer.waiter is waiter:  # not delivered yet
                offer.waiter = None
            else:
                self._forget_waiter(waiter)

    def withdraw(self, namespace: str, id: str, done: CommandCallback, *, owner: str | None = None) -> None:
        """Append the withdrawal of a pending offer; `done` gets its outcome, or none where no such offer is pending.

        With `owner` only an offer of the token of that name is withdrawn.
        """
        self._append(Withdraw(self.now_ns(), namespace, id, Cause.WITHDRAWN, owner=owner, waiter=done))

    def abort(self, abort: Abort, done: CommandCallback) -> None:
        """Append an abort; `done` gets the outcomes, one for each offer that it ended."""
        abort.waiter = done
        self._append(abort)

    def drain(self) -> None:
        """Accept no more offers."""
        with self.lock:
            self.is_draining = True

    @property
    def log(self) -> Log:
        """The log, to ask what it reports; nobody else may append to it."""
        return self._log

    def conditions(self) -> dict[str, RetryableError | None]:
        """Return the conditions under which the log takes commands, and the error of each that is not met."""
        on_disk = self._log.on_disk()
        if on_disk is None:
            return {}
        return {"journal": JournalError(on_disk.problem) if on_disk.problem else None}

    def when_ready(self, namespace: str, ready: Callable[[RetryableError | None], None]) -> None:  # noqa: ARG002
        """Call `ready` when the state of a namespace may be read: at once, except in a cluster (`cluster.py`)."""
        ready(None)

    def count(self) -> None:
        """Bring the totals of `machine` up to date; a single machine keeps them itself."""

    def leave(self) -> None:
        """Leave the cluster; a single server has none."""

    def cluster_report(self) -> ClusterReport | None:
        """Return what a node reports of its cluster; a single server has none."""
        return None

    @property
    def is_idle(self) -> bool:
        """Return whether all that clients asked for has been delivered or refused."""
        return not self._log.undelivered()

    def shut_down(self) -> int:
        """Accept no more offers, and end every wait with `DrainingError`; return how many clients were waiting.

        The offers stay in the log and in the machine: a durable log has them when the server is back. To be called when
        the coordinator is idle: an undelivered offer might yet sync with one whose client has already got 503.
        """
        with self.lock:
            self.is_draining = self.is_shut_down = True
            self._timers.clear()
            error = self._shut_down_error()
            ended = 0
            for offer in self.machine.all_pending():
                ended += self._end_wait(offer, error)
            for command in self._log.undelivered():
                if isinstance(command, Offer):
                    ended += self._end_wait(command, error)
                else:
                    _call_back(command, error)
            return ended

    def _shut_down_error(self) -> RetryableError:
        """Return the error with which `shut_down` ends the waits."""
        return DrainingError("the server is shutting down")

    def close(self) -> None:
        """End every wait, and close the log."""
        self.shut_down()
        self._timers.close()
        self._log.close()

    def fire_due_timers(self) -> int:
        """Append what is due; return in how many nanoseconds the next timer is due, -1 where there is none."""
        with self.lock:
            return self._timers.fire_due()

    # --- what the log calls (see LogConsumer) --------------------------------------------------------------

    def restore(self, snapshot: Snapshot) -> None:
        """Take on an earlier state, and its time: the clock of this server may be behind that of the one before."""
        for namespace in snapshot.namespaces:
            for offer in namespace.pending:
                self._latest_ns = max(self._latest_ns, offer.at_ns)
        for outcome in snapshot.outcomes:
            self._latest_ns = max(self._latest_ns, outcome.at_ns)
        for sync in snapshot.trace:
            self._latest_ns = max(self._latest_ns, sync.at_ns)
        for _, _, departures in snapshot.departures:
            self._latest_ns = max(self._latest_ns, departures[-1].at_ns)
        self.machine.restore(snapshot)

    def change_limits(self, limits: Limits) -> None:
        """Continue with other limits than those of the state that was restored."""
        self.machine.change_limits(limits)

    def snapshot(self) -> Snapshot:
        """Return the state after all delivered commands."""
        return self.machine.snapshot()

    def replay(self, command: Command) -> None:
        """Apply a command from before the start, without results to waiters."""
        self._latest_ns = max(self._latest_ns, command.at_ns)
        if isinstance(command, Offer):
            self.machine.offer(command)
        else:
            self.machine.end(command)

    def deliver(self, command: Command) -> None:
        """Apply a command and pass its results to the waiters."""
        if type(command) is Offer:
            self._deliver_offer(command)
        elif not isinstance(command, Offer):
            self._deliver_end(command)

    def refuse(self, command: Command, error: RetryableError) -> None:
        """Pass the error because of which a command has not happened to its waiter."""
        if isinstance(command, Offer):
            self._end_wait(command, error)
        elif not _call_back(command, error) and isinstance(command, Withdraw | Expire):
            self._try_again(command)

    # --- inside: offers ------------------------------------------------------------------------------------

    def _append(self, command: Command) -> None:
        with self.lock:
            self._log.append(command)

    def _deliver_offer(self, offer: Offer) -> None:
        machine = self.machine
        answer = machine.offer(offer)
        steps = machine.steps
        if steps.allowed - steps.left >= CHARGED_STEPS_MIN and offer.waiter is not None:
            offer.waiter.charge(steps.used)
        if self._observers:
            for effect in machine.effects_of(offer, answer):
                self._observe(effect)
        if answer is None:
            if offer.spec.timeout_ns is not None and offer.waiter is not ELSEWHERE:
                self._set_deadline(offer)
            if offer.waiter is None:  # its client disconnected before the log delivered
                self._linger(offer)
        elif type(answer) is Synced:
            for rank, member in enumerate(answer.members):
                if member.deadline_tick:
                    self._timers.remove(member.deadline_tick, (member.spec.namespace, member.id))
                    member.deadline_tick = 0
                waiter = member.waiter
                if waiter is not None:
                    member.waiter = None
                    waiter.synced(answer, rank)
        elif not isinstance(answer, Synced):
            self._answer_again(offer, answer)

    def _deliver_end(self, command: EndCommand) -> None:
        outcomes = self.machine.end(command)
        for outcome in outcomes:
            self._observe(outcome)
            if isinstance(outcome, TimedOut) and outcome.offer.waiter is not None:
                outcome.offer.waiter.charge(self.machine.steps.used)
            if not isinstance(outcome, Synced):
                self.machine.counts.ends[_word_for(outcome)] += 1
                self._ended(outcome.offer, outcome)
        _call_back(command, outcomes)

    def _answer_again(self, offer: Offer, answer: Attached | Replayed | Refused) -> None:
        """Pass the answer to an offer that was not accepted: it asked again, or was refused."""
        waiter, offer.waiter = offer.waiter, None
        if isinstance(answer, Refused):
            self.machine.counts.ends["refused"] += 1
        if isinstance(answer, Attached):
            self._attach(offer, waiter)
        elif waiter is None:
            return
        elif isinstance(answer, Replayed) and isinstance(answer.outcome, Synced):
            ids = [member.id for member in answer.outcome.members]
            waiter.synced(answer.outcome, ids.index(offer.id))
        else:
            waiter.ended(answer.outcome if isinstance(answer, Replayed) else answer)

    def _ended(self, offer: Offer, outcome: Remembered) -> None:
        """Pass the outcome of a pending offer to its waiter."""
        self._remove_deadline(offer)
        waiter, offer.waiter = offer.waiter, None
        if waiter is not None:
            waiter.ended(outcome)

    def _end_wait(self, offer: Offer, error: RetryableError) -> int:
        """End the wait for an offer with an error; return how many clients were waiting for it: 0 or 1."""
        waiter, offer.waiter = offer.waiter, None
        if waiter is None or waiter is ELSEWHERE or isinstance(waiter, Lingering):
            return 0
        waiter.ended(error)
        return 1

    def _observe(self, effect: Effect) -> None:
        for observer in self._observers:
            observer(effect)

    def _adopt_pending(self) -> None:
        """Take charge of the offers from before the start, as if all their clients had just disconnected."""
        self.now_ns()
        for offer in self.machine.all_pending():
            self._observe(Pending(offer))
            if offer.spec.timeout_ns is not None:
                self._set_deadline(offer)
            self._linger(offer)

    # --- inside: waiters that come and go ------------------------------------------------------------------

    def _attach(self, asking: Offer, waiter: Waiter | None) -> None:
        """Let the waiter of a request that asked again wait for the pending offer, in place of the one before."""
        pending = self.machine.pending_offer(asking.spec.namespace, asking.id)
        if pending is None:
            return
        if waiter is ELSEWHERE:
            self._move_elsewhere(pending)
            return
        if (state_of(pending), Event.ASKED_AGAIN) not in TRANSITIONS:
            return
        before, pending.waiter = pending.waiter, waiter
        if before is ELSEWHERE and pending.spec.timeout_ns is not None:
            self._set_deadline(pending)
        if before is not None:
            before.ended(_replaced(pending))
        if waiter is None:  # this client has disconnected as well
            self._linger(pending)

    def _move_elsewhere(self, offer: Offer) -> None:
        """Leave a pending offer to another node of the cluster, where its client asked again."""
        if (state_of(offer), Event.MOVED) not in TRANSITIONS:
            return
        before, offer.waiter = offer.waiter, ELSEWHERE
        self._remove_deadline(offer)
        if before is not None:
            before.ended(_replaced(offer))

    def _forget_waiter(self, waiter: Waiter) -> None:
        """Forget a waiter whose client has disconnected, where its offer was made again and is not delivered yet."""
        for command in self._log.undelivered():
            if isinstance(command, Offer) and command.waiter is waiter:
                command.waiter = None

    def _linger(self, offer: Offer) -> None:
        """Note that no client is connected for a pending offer any more."""
        if self.is_shut_down:
            offer.waiter = None
        elif offer.named and offer.spec.linger_ns:
            self._linger_for(offer, offer.spec.linger_ns)
        else:
            offer.waiter = None
            self._withdraw_abandoned(offer)

    def _linger_for(self, offer: Offer, linger_ns: int) -> None:
        offer.waiter = Lingering(offer, linger_ns, self._timers)

    def _linger_over(self, lingering: Lingering) -> None:
        offer = lingering.offer
        if offer.waiter is lingering and (state_of(offer), Event.LINGER_OVER) in TRANSITIONS:
            offer.waiter = None
            self._withdraw_abandoned(offer)

    def _withdraw_abandoned(self, offer: Offer) -> None:
        spec = offer.spec
        cause = Cause.DISCONNECTED
        self._log.append(Withdraw(self.now_ns(), spec.namespace, offer.id, cause, offer.at_ns, None, offer.asked))

    # --- inside: timers ------------------------------------------------------------------------------------

    def _set_deadline(self, offer: Offer) -> None:
        left_ns = offer.at_ns + (offer.spec.timeout_ns or 0) - self._latest_ns
        offer.deadline_tick = self._timers.add(left_ns, (offer.spec.namespace, offer.id), offer)

    def _remove_deadline(self, offer: Offer) -> None:
        if offer.deadline_tick:
            self._timers.remove(offer.deadline_tick, (offer.spec.namespace, offer.id))
            offer.deadline_tick = 0

    def fire(self, what: Any) -> None:
        """Handle a timer: of a pending offer's timeout, or of a linger. To be called with the lock."""
        if isinstance(what, Lingering):
            self._linger_over(what)
        else:
            self._expire(what)

    def _expire(self, offer: Offer) -> None:
        spec = offer.spec
        left_ns = offer.at_ns + (spec.timeout_ns or 0) - self.now_ns()
        if 0 < left_ns < _EARLY_NS_MAX:  # with more than that left, the clock was set back
            self._set_deadline(offer)
            return
        offer.deadline_tick = 0
        self._log.append(Expire(self.now_ns(), spec.namespace, offer.id, offer.at_ns))

    def _try_again(self, command: Withdraw | Expire) -> None:
        """Let a timer whose command the log refused fire once more, a little later."""
        offer = self.machine.pending_offer(command.namespace, command.id)
        if offer is None or offer.at_ns != command.made_ns:
            return
        if isinstance(command, Expire):
            if not offer.deadline_tick:
                offer.deadline_tick = self._timers.add(_RETRY_NS, (command.namespace, command.id), offer)
        elif (state_of(offer), Event.REFUSED) in TRANSITIONS:
            self._linger_for(offer, _RETRY_NS)


def _word_for(outcome: TimedOut | Withdrawn | Aborted) -> str:
    """Return the word by which an end without a sync is counted."""
    if isinstance(outcome, Withdrawn):
        return str(outcome.cause)
    return "timed-out" if isinstance(outcome, TimedOut) else "aborted"


def _replaced(offer: Offer) -> ReplacedError:
    return ReplacedError(f"another request replaced this one as the one that waits for {offer.id}")


def _call_back(command: EndCommand, result: Sequence[Remembered] | RetryableError) -> bool:
    """Call the callback of a command, if it has one, and forget it; return whether it had one."""
    done, command.waiter = command.waiter, None
    if done is None:
        return False
    done(result)
    return True
