"""The doors through which a program comes to syncnet, as the contract tests use them.

A test is an ordinary function: it lets parties begin, each an offer of its own that waits in the background in the
manner of its door (a task, a thread, a process), and asks each for its outcome. To add a door, write a class with the
methods of `Door` and name it in `DOORS`.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

import trio
import uvloop

from syncnet import Sync, Syncnet
from tests.end_to_end.running import until

__all__ = ["DOORS", "Door", "Party"]

T = TypeVar("T")

PATIENCE_S = 30
"""No outcome takes so long; a test that waits longer has failed."""


class Party(Protocol):
    """One who made an offer, and waits for it in the background."""

    def outcome(self) -> Sync:
        """Wait, and return the sync; or raise the error of syncnet that ended the offer, or that refused it."""

    def cancel(self) -> None:
        """Let it wait no longer, as parties of its kind are ended from outside: the offer is withdrawn by that."""


class Door(Protocol):
    """One way to a world that is new, and that this door alone comes to."""

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        """Let a party make an offer; `offer` has the parameters of `syncnet.Syncnet.send`. Returns at once."""

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        """Return the pending offers, as `GET /stats` tells them."""

    def withdraw(self, id: str) -> bool:
        """Withdraw the offer of that id; return whether it was pending."""

    def abort(self, **what: Any) -> int:
        """Abort by `event`, `actor` or `id`, with `reason` and `by`; return how many offers it ended."""


def until_pending(door: Door, offers: int) -> None:
    """Wait until so many offers are pending in the default namespace."""

    def pending() -> int:
        return len({id for actors in door.stats().values() for ids in actors.values() for id in ids})

    until(lambda: pending() == offers, lambda: f"{pending()} offers are pending, not {offers}")


# --- inside a program --------------------------------------------------------------------------------------


class _FutureParty:
    """A party behind a future of another thread; cancelling the future ends it."""

    def __init__(self, future: concurrent.futures.Future[Sync], ended: threading.Event) -> None:
        self._future, self._ended = future, ended

    def outcome(self) -> Sync:
        return self._future.result(PATIENCE_S)

    def cancel(self) -> None:
        self._future.cancel()
        assert self._ended.wait(PATIENCE_S)


class AsyncioDoor:
    """Tasks of asyncio, on a loop in a thread of its own."""

    def __init__(self, net: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._net, self._loop = net, loop

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        ended = threading.Event()

        async def party() -> Sync:
            try:
                if len(events) == 1:
                    told: Sync = await self._net.sync(events[0], actor=actor, **offer)
                else:
                    told = await self._net.choose(*events, actor=actor, **offer)
                return told
            finally:
                ended.set()

        return _FutureParty(asyncio.run_coroutine_threadsafe(party(), self._loop), ended)

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        return self._run(lambda: self._net.stats(namespace))

    def withdraw(self, id: str) -> bool:
        told: bool = self._run(lambda: self._net.withdraw(id))
        return told

    def abort(self, **what: Any) -> int:
        told: int = self._run(lambda: self._net.abort(**what))
        return told

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE_S)


@contextlib.contextmanager
def asyncio_door(net: Any, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Door]:
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    door = AsyncioDoor(net, loop)
    try:
        yield door
    finally:
        door._run(net.aclose) if hasattr(net, "aclose") else net.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


class TrioDoor:
    """Tasks of trio, in a run in a thread of its own."""

    def __init__(self, net: Any, token: trio.lowlevel.TrioToken, nursery: trio.Nursery) -> None:
        self._net, self._token, self._nursery = net, token, nursery

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        future: concurrent.futures.Future[Sync] = concurrent.futures.Future()
        scope = trio.CancelScope()
        ended = threading.Event()

        async def party() -> None:
            try:
                with scope:
                    if len(events) == 1:
                        future.set_result(await self._net.sync(events[0], actor=actor, **offer))
                    else:
                        future.set_result(await self._net.choose(*events, actor=actor, **offer))
            except Exception as error:
                future.set_exception(error)
            finally:
                ended.set()

        self._token.run_sync_soon(self._nursery.start_soon, party)
        return _TrioParty(future, ended, lambda: self._token.run_sync_soon(scope.cancel))

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        return trio.from_thread.run(self._net.stats, namespace, trio_token=self._token)

    def withdraw(self, id: str) -> bool:
        told: bool = trio.from_thread.run(self._net.withdraw, id, trio_token=self._token)
        return told

    def abort(self, **what: Any) -> int:
        told: int = trio.from_thread.run(lambda: self._net.abort(**what), trio_token=self._token)
        return told


class _TrioParty(_FutureParty):
    def __init__(
        self, future: concurrent.futures.Future[Sync], ended: threading.Event, cancel: Callable[[], None]
    ) -> None:
        super().__init__(future, ended)
        self._cancel = cancel

    def cancel(self) -> None:
        self._cancel()
        assert self._ended.wait(PATIENCE_S)


@contextlib.contextmanager
def trio_door(net: Any) -> Iterator[Door]:
    doors: concurrent.futures.Future[TrioDoor] = concurrent.futures.Future()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            doors.set_result(TrioDoor(net, trio.lowlevel.current_trio_token(), nursery))
            await trio.sleep_forever()

    token_and_scope: list[trio.CancelScope] = []

    async def run_in_scope() -> None:
        with trio.CancelScope() as scope:
            token_and_scope.append(scope)
            await run()

    thread = threading.Thread(target=trio.run, args=(run_in_scope,))
    thread.start()
    door = doors.result(PATIENCE_S)
    try:
        yield door
    finally:
        trio.from_thread.run(net.aclose, trio_token=door._token) if hasattr(net, "aclose") else net.close()
        door._token.run_sync_soon(token_and_scope[0].cancel)
        thread.join(PATIENCE_S)


class ThreadDoor:
    """Threads, one to each party."""

    def __init__(self, net: Any) -> None:
        self._net = net

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        try:
            made = self._net.send(*events, actor=actor, **offer)
        except Exception as error:
            return _Refused(error)
        return _ThreadParty(made)

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        told: dict[str, Any] = self._net.stats(namespace)
        return told

    def withdraw(self, id: str) -> bool:
        told: bool = self._net.withdraw(id)
        return told

    def abort(self, **what: Any) -> int:
        told: int = self._net.abort(**what)
        return told


class _ThreadParty:
    def __init__(self, offer: Any) -> None:
        self._offer = offer
        self._future: concurrent.futures.Future[Sync] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self._future.set_result(self._offer.result())
        except Exception as error:
            self._future.set_exception(error)

    def outcome(self) -> Sync:
        return self._future.result(PATIENCE_S)

    def cancel(self) -> None:
        self._offer.withdraw()
        self._thread.join(PATIENCE_S)


class _Refused:
    """A party whose offer was never made."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def outcome(self) -> Sync:
        raise self._error

    def cancel(self) -> None:
        pass


@contextlib.contextmanager
def thread_door() -> Iterator[Door]:
    with Syncnet() as net:
        yield ThreadDoor(net.blocking)


DOORS: dict[str, Callable[[], contextlib.AbstractContextManager[Door]]] = {
    "asyncio": lambda: asyncio_door(Syncnet(), asyncio.new_event_loop),
    "uvloop": lambda: asyncio_door(Syncnet(), uvloop.new_event_loop),
    "trio": lambda: trio_door(Syncnet()),
    "threads": thread_door,
}
"""Every door, by name. A context manager opens it on a fresh world, and closes both."""
