"""An offer in a program: awaited by tasks of asyncio and trio, waited for by threads, withdrawn by anybody.

Laws

1. An offer is told once (`tell`), under the lock of its world, by whoever causes it; and never changes after that.
2. Whoever waits is woken once told. Any number may wait for one offer, each in its own way.
3. A task that is cancelled while it awaits an offer withdraws it. Where it has been told already nothing is undone: a
   sync stands, and the offer, if somebody kept it, still tells it (G6).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, TypeAlias, final

import msgspec

from syncnet.coordinator.coordinator import Timer, Told
from syncnet.core.commands import Offer as CoreOffer
from syncnet.core.effects import Synced
from syncnet.local.results import Happening, error_of
from syncnet.local.sleepers import (
    TrioSleeper,
    loop_here,
    new_thread_sleeper,
    trio_lowlevel,
    wake_asyncio,
    wake_thread,
    wake_trio,
)
from syncnet.local.terms import KnownTerms
from syncnet.wire.payloads import Held
from syncnet.wire.results import Sync

if TYPE_CHECKING:
    from syncnet.local.world import World

__all__ = ["Offer", "Wake"]

Wake: TypeAlias = Callable[[Any, object], None]
"""Wakes a sleeper. Its second argument is the loop or the run of trio that this thread is in, None where not known."""


@final
class Offer(msgspec.Struct, eq=False, weakref=True):
    """One offer of this program, pending or over. `await` it, or call `result` from a thread.

    `id` names it among the members of its sync; `payload` is the object that was handed in. (It is a structure of
    msgspec because making one takes half the time of a class of Python; two offers are never equal.)
    """

    _world: World
    terms: KnownTerms
    payload: Any
    id: str
    at_ns: int
    told: Told | Sync | Happening | None = None
    wake: Wake | None = None
    sleeper: Any = None
    timer: Timer | None = None

    # --- for everybody -------------------------------------------------------------------------------------

    @property
    def actor(self) -> str:
        """Who made it."""
        return self.terms.actor

    @property
    def events(self) -> tuple[str, ...]:
        """The event that it is for; several where it is a choice."""
        return self.terms.template.events

    @property
    def namespace(self) -> str:
        """The namespace that it is in."""
        return self.terms.template.namespace

    def done(self) -> bool:
        """Return whether it has come to an end, by a sync or otherwise."""
        return self.told is not None

    def withdraw(self) -> bool:
        """Take the offer back, from any thread or task; whoever waits for it gets `WithdrawnError`.

        Return True if it was pending, and is now in no later sync (G6); False where it was over before.
        """
        return self._world.withdraw_offer(self)

    def __await__(self) -> Generator[Any, Any, Sync]:
        """Wait, in a task of asyncio or trio, and return the sync. Cancelling the task withdraws the offer.

        :raises TimedOutError: its timeout has passed.
        :raises WithdrawnError: it was withdrawn.
        :raises AbortedError: somebody aborted it.
        :raises RefusedError: its id is that of another offer, or another took its place by its id.
        :raises UnavailableError: the world takes no more offers, or was closed.
        """
        return self.wait().__await__()

    def result(self, timeout: float | None = None) -> Sync:
        """Wait, in a thread, and return the sync; raises what `await` raises.

        `timeout`, in seconds, ends this wait and nothing else, as in `concurrent.futures`: the offer stays pending, and
        `result` may be called again. The timeout that ends the offer is the one it was made with.

        :raises TimeoutError: the wait ended before the offer did.
        """
        if self.told is None and not self._sleep_in_thread(timeout):
            raise TimeoutError(f"{self!r} is still pending after {timeout:g} s")
        return self.outcome()

    def __repr__(self) -> str:
        events = "|".join(self.events)
        told = self.told
        if told is None:
            state = "pending"
        elif isinstance(told, Sync | Happening):
            state = "synced"
        else:
            state = type(told).__name__
        return f"<Offer {self.actor}:{events} {state}>"

    # --- for the world that it is in -----------------------------------------------------------------------

    def core_offer(self) -> CoreOffer:
        """Return it as the machine takes it."""
        terms = self.terms.template
        if self.timer is not None:
            self.timer.cancel()  # from here on the hub keeps the deadline
            self.timer = None
        return CoreOffer(
            self.at_ns,
            terms.namespace,
            self.id,
            terms.events,
            terms.actor,
            terms.mates,
            terms.roster,
            terms.labels,
            terms.selector,
            Held(self.payload),
            terms.timeout_ns,
            terms.linger_ns,
            terms.named,
        )

    def tell(self, told: Told | Sync) -> None:
        """Be told what became of it; under the lock of the world."""
        self.told = self._world.happening(told) if type(told) is Synced else told
        if self.timer is not None:
            self.timer.cancel()
        if self.wake is not None:
            self.wake(self.sleeper, None)

    def fall_asleep(self, wake: Wake, sleeper: Any) -> bool:
        """Have `wake` called with `sleeper` when this is told; False where it was told already."""
        with self._world.lock:
            if self.told is not None:
                return False
            if self.wake is None:
                self.wake, self.sleeper = wake, sleeper
            elif self.wake is _wake_all:
                self.sleeper.append((wake, sleeper))
            else:
                self.wake, self.sleeper = _wake_all, [(self.wake, self.sleeper), (wake, sleeper)]
            return True

    async def wait(self) -> Sync:
        """Wait, in a task, and return the sync; see `__await__`."""
        loop = loop_here()
        if loop is None:
            return await self.wait_in_trio()
        if self.told is None:
            future = loop.create_future()
            if self.fall_asleep(wake_asyncio, future):
                try:
                    await future
                except BaseException:  # cancelled; or the loop is closed over it
                    self.withdraw()
                    raise
        return self.outcome()

    async def wait_in_trio(self) -> Sync:
        """Wait, in a task of trio, and return the sync; see `__await__`."""
        if self.told is None:
            lowlevel = trio_lowlevel()
            sleeper = TrioSleeper(lowlevel.current_trio_token(), lowlevel.current_task(), self.withdraw)
            if self.fall_asleep(wake_trio, sleeper):
                await lowlevel.wait_task_rescheduled(sleeper.abort)
                sleeper.abandon = None
        return self.outcome()

    def outcome(self) -> Sync:
        """Return the sync, or raise what ended the offer instead; it is over."""
        told = self.told
        if type(told) is Sync:
            return told
        if isinstance(told, Happening):
            with self._world.lock:
                sync = self.told = told.seen_by(self.id)
            return sync
        raise RuntimeError("the offer is pending") if told is None else error_of(told)

    def _sleep_in_thread(self, timeout_s: float | None) -> bool:
        """Sleep until told, and return True; or until so many seconds are over, and return False."""
        lock = new_thread_sleeper()
        if not self.fall_asleep(wake_thread, lock):
            return True
        try:
            if lock.acquire(True, -1 if timeout_s is None else min(max(0.0, timeout_s), TIMEOUT_MAX)):
                return True
        finally:
            self._wake_no_more(lock)
        return self.told is not None

    def _wake_no_more(self, sleeper: object) -> None:
        """Forget a sleeper that woke by itself."""
        with self._world.lock:
            if self.told is not None or self.wake is None:
                return
            if self.wake is _wake_all:
                self.sleeper = [each for each in self.sleeper if each[1] is not sleeper]
            elif self.sleeper is sleeper:
                self.wake = None


def _wake_all(sleepers: list[tuple[Wake, Any]], here: object) -> None:
    for wake, sleeper in sleepers:
        wake(sleeper, here)
