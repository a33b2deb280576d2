"""Joins a log to a machine: the one owner of a core; commands in, futures out.

The hub is the sole writer. It gives time to commands, keeps the futures of those who wait and the timers of those
who will not wait for ever, and hands effects to its observers. It knows nothing of HTTP, and waits for nobody:
a future is set and left to its reader (law 5 of the house).

An observer is called with every effect, in order, on the event loop; it must be quick and must not raise.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from syncnet.core.commands import Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Effect, Missed, Outcome, Pending, Synced
from syncnet.core.machine import Machine
from syncnet.errors import DrainingError, ParameterError
from syncnet.log import Log
from syncnet.log.memory import MemoryLog

__all__ = ["Hub", "Observer"]

Observer: TypeAlias = Callable[[Effect], None]

_ID_DIGITS = 16
_IDS_AT_ONCE = 256  # asking the system for randomness costs the same for many as for one


@dataclass(slots=True)
class _Waiter:
    """Who is told what became of an offer, and the timer that ends the wait."""

    future: asyncio.Future[Outcome]
    timer: asyncio.TimerHandle | None = None

    def tell(self, outcome: Outcome) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if not self.future.done():
            self.future.set_result(outcome)


class Hub:
    """The one owner of a machine. All methods are called on one event loop."""

    def __init__(
        self, log: Log | None = None, machine: Machine | None = None, observers: Iterable[Observer] = ()
    ) -> None:
        self._log = MemoryLog() if log is None else log
        self._machine = Machine() if machine is None else machine
        self._observers = tuple(observers)
        self._waiters: dict[tuple[str, str], _Waiter] = {}
        self._unused_ids: list[str] = []
        self._draining = False
        self._log.open(self._deliver)

    @staticmethod
    def now_ns() -> int:
        """Return the time that commands bear: nanoseconds since the Unix epoch."""
        return time.time_ns()

    def new_id(self) -> str:
        """Return an id for an offer whose client named none: 16 hexadecimal digits that nobody can guess."""
        if not self._unused_ids:
            digits = secrets.token_hex(_ID_DIGITS // 2 * _IDS_AT_ONCE)
            self._unused_ids = [digits[at : at + _ID_DIGITS] for at in range(0, len(digits), _ID_DIGITS)]
        return self._unused_ids.pop()

    @property
    def machine(self) -> Machine:
        """The state, to be read only."""
        return self._machine

    def offer(self, offer: Offer) -> asyncio.Future[Outcome]:
        """Append an offer and return the future of its outcome. The hub expires it when its timeout has passed.

        Cancelling the future does not take the offer back; `withdraw` does.

        :raises DrainingError: the hub takes no more offers; nothing was appended.
        :raises ParameterError: an offer of that id is pending; nothing was appended.
        """
        if self._draining:
            raise DrainingError("the server is about to end and takes no more offers")
        key = (offer.namespace, offer.id)
        if key in self._waiters:
            raise ParameterError("id", f"expected one that is not pending, got {offer.id}")
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future())
        self._waiters[key] = waiter
        self._log.append(offer)
        if offer.timeout_ns is not None and not waiter.future.done():
            waiter.timer = loop.call_later(offer.timeout_ns / 1e9, self._expire, key)
        return waiter.future

    def withdraw(self, offer: Offer, cause: Cause) -> None:
        """Append the withdrawal of an offer; without effect where its outcome is decided already."""
        if (offer.namespace, offer.id) in self._waiters:
            self._log.append(Withdraw(self.now_ns(), offer.namespace, offer.id, cause))

    def drain(self) -> int:
        """Take no more offers, and end every wait with `DrainingError`; return how many were waiting.

        The offers stay in the log and in the machine: a durable log has them when the server is back.
        """
        self._draining = True
        waiting = [waiter for waiter in self._waiters.values() if not waiter.future.done()]
        self._waiters.clear()
        for waiter in waiting:
            if waiter.timer is not None:
                waiter.timer.cancel()
            waiter.future.set_exception(DrainingError("the server is about to end"))
            waiter.future.exception()  # marks it as seen: the client may be gone, and nobody left to ask
        return len(waiting)

    def _expire(self, key: tuple[str, str]) -> None:
        if key in self._waiters:
            self._log.append(Expire(self.now_ns(), *key))

    def _deliver(self, command: Command) -> None:
        for effect in self._machine.apply(command):
            for observe in self._observers:
                observe(effect)
            match effect:
                case Synced():
                    for member in effect.members:
                        self._tell(member, effect)
                case Pending() | Missed():
                    pass
                case _:
                    self._tell(effect.offer, effect)

    def _tell(self, offer: Offer, outcome: Outcome) -> None:
        waiter = self._waiters.pop((offer.namespace, offer.id), None)
        if waiter is not None:
            waiter.tell(outcome)
