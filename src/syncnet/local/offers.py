"""An offer in a program: awaited by tasks of asyncio and trio, waited for by threads, withdrawn by any of them.

Laws

1. An offer gets its result once, under the coordinator's lock, on whichever thread caused it; it never changes then.
2. Tasks and threads that wait are woken once the result is there. Any number may wait for one offer.
3. A task that is cancelled while it awaits an offer withdraws it. Where the offer has ended already nothing is undone:
   a sync remains, and the offer still returns it (G6).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any, TypeAlias, cast, final

import msgspec

from syncnet.coordinator.waiters import Result
from syncnet.core.commands import OfferSpec
from syncnet.core.effects import Synced
from syncnet.local.results import SharedParts, error_of
from syncnet.local.wakers import (
    TrioParker,
    loop_here,
    new_thread_parker,
    trio_lowlevel,
    wake_asyncio,
    wake_thread,
    wake_trio,
)
from syncnet.wire.results import Sync

if TYPE_CHECKING:
    from syncnet.local.runtime import LocalRuntime

__all__ = ["Offer", "Wake"]

Wake: TypeAlias = Callable[[Any, object], None]
"""Wakes what was parked on its first argument. The second is `LocalRuntime.here`."""


@final
class Offer(msgspec.Struct, eq=False, weakref=True):
    """One offer of this program, pending or ended. `await` it, or call `result` from a thread.

    `id` names it among the members of its sync; `payload` is the object that was handed in. (It is a structure of
    msgspec because making one takes half the time of a class of Python; two offers are never equal.)
    """

    _runtime: LocalRuntime
    _spec: OfferSpec
    payload: Any
    id: str
    _result: Any = None  # a Result or a Sync
    _wake: Wake | None = None
    _parker: Any = None

    # --- for the program -----------------------------------------------------------------------------------

    @property
    def actor(self) -> str:
        """Who made it."""
        return self._spec.actor

    @property
    def events(self) -> tuple[str, ...]:
        """The event that it is for; several where it is a choice."""
        return self._spec.events

    @property
    def namespace(self) -> str:
        """The namespace that it is in."""
        return self._spec.namespace

    def done(self) -> bool:
        """Return whether it has ended, by a sync or otherwise."""
        return self._result is not None

    def withdraw(self) -> bool:
        """Withdraw the offer, from any thread or task; those who wait for it get `WithdrawnError`.

        Return True if it was pending, and is now in no later sync (G6); False where it had ended before.
        """
        return self._runtime.withdraw_offer(self)

    def __await__(self) -> Generator[Any, Any, Sync]:
        """Wait, in a task of asyncio or trio, and return the sync. Cancelling the task withdraws the offer.

        :raises TimedOutError: its timeout has passed.
        :raises WithdrawnError: it was withdrawn.
        :raises AbortedError: it was aborted.
        :raises RefusedError: its id is that of another offer, or another call replaced this one by its id.
        :raises UnavailableError: the runtime accepts no more offers, or was closed.
        """
        return self.wait().__await__()

    def result(self, timeout: float | None = None) -> Sync:
        """Wait, in a thread, and return the sync; raises what `await` raises.

        `timeout`, in seconds, ends this wait and nothing else, as in `concurrent.futures`: the offer stays pending, and
        `result` may be called again. The timeout that ends the offer is the one it was made with.

        :raises TimeoutError: the wait ended before the offer did.
        """
        if self._result is None and not self._wait_in_thread(timeout):
            raise TimeoutError(f"{self!r} is still pending after {timeout:g} s")
        return self.outcome()

    def __repr__(self) -> str:
        events = "|".join(self.events)
        result = self._result
        state = "pending" if result is None else "synced" if type(result) is Sync else type(result).__name__
        return f"<Offer {self.actor}:{events} {state}>"

    # --- for the runtime and the coordinator ---------------------------------------------------------------

    def charge(self, steps: int) -> None:
        """Do nothing: the whole program is one client."""

    def synced(self, synced: Synced, rank: int) -> None:
        """Take the sync; under the coordinator's lock. What its members share is made once for all of them."""
        runtime = self._runtime
        parts = runtime.latest_parts
        if parts is None or parts._synced is not synced:
            parts = runtime.latest_parts = SharedParts(synced)
        self._result = Sync(parts, rank)
        if self._wake is not None:
            self._wake(self._parker, self._runtime.here)

    def ended(self, result: Result) -> None:
        """Take any other result; under the coordinator's lock."""
        self._result = result
        if self._wake is not None:
            self._wake(self._parker, self._runtime.here)

    def park(self, wake: Wake, parker: Any) -> bool:
        """Have `wake` called with `parker` when the offer ends; return False where it has ended."""
        with self._runtime.lock:
            if self._result is not None:
                return False
            if self._wake is None:
                self._wake, self._parker = wake, parker
            elif self._wake is _wake_all:
                self._parker.append((wake, parker))
            else:
                self._wake, self._parker = _wake_all, [(self._wake, self._parker), (wake, parker)]
            return True

    async def wait(self) -> Sync:
        """Wait, in a task, and return the sync; see `__await__`."""
        loop = loop_here()
        if loop is None:
            return await self.wait_in_trio()
        if self._result is None:
            future = loop.create_future()
            if self.park(wake_asyncio, future):
                try:
                    await future
                except BaseException:  # cancelled; or the loop was closed
                    self.withdraw()
                    raise
        return self.outcome()

    async def wait_in_trio(self) -> Sync:
        """Wait, in a task of trio, and return the sync; see `__await__`."""
        if self._result is None:
            lowlevel = trio_lowlevel()
            parker = TrioParker(lowlevel.current_trio_token(), lowlevel.current_task(), self.withdraw)
            if self.park(wake_trio, parker):
                await lowlevel.wait_task_rescheduled(parker.abort)
                parker.on_cancel = None
        return self.outcome()

    def outcome(self) -> Sync:
        """Return the sync, or raise what ended the offer instead; it has ended."""
        result = self._result
        if type(result) is Sync:
            return result
        if result is None:
            raise RuntimeError("the offer is pending")
        raise error_of(cast("Result", result))

    def _wait_in_thread(self, timeout_s: float | None) -> bool:
        """Wait until the offer ends, and return True; or until so many seconds have passed, and return False."""
        lock = new_thread_parker()
        if not self.park(wake_thread, lock):
            return True
        try:
            if lock.acquire(True, -1 if timeout_s is None else min(max(0.0, timeout_s), TIMEOUT_MAX)):
                return True
        finally:
            self._unpark(lock)
        return self._result is not None

    def _unpark(self, parker: object) -> None:
        """Forget a parker whose wait has ended by itself."""
        with self._runtime.lock:
            if self._result is not None or self._wake is None:
                return
            if self._wake is _wake_all:
                self._parker = [each for each in self._parker if each[1] is not parker]
            elif self._parker is parker:
                self._wake = self._parker = None


def _wake_all(parkers: list[tuple[Wake, Any]], here: object) -> None:
    for wake, parker in parkers:
        wake(parker, here)
