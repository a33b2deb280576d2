"""The front ends of syncnet inside one process, with one interface for the contract tests.

A test is an ordinary function. It starts parties: each makes one offer and waits in the background, in a task, a thread
or a process, as its front end does. Then the test reads the outcome of each party. To add a front end, write a class
with the methods of `FrontEnd` and add it to `FRONT_ENDS`.
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

__all__ = ["FRONT_ENDS", "FrontEnd", "Party"]

T = TypeVar("T")

PATIENCE_S = 30
"""A test that waits longer for an outcome has failed."""


class Party(Protocol):
    """An actor that has made an offer and waits for its outcome in the background."""

    def outcome(self) -> Sync:
        """Wait and return the sync, or raise the error that ended or refused the offer."""

    def cancel(self) -> None:
        """Cancel the task, thread or process that waits; this withdraws the offer."""


class FrontEnd(Protocol):
    """One front end, with namespaces that no other test uses."""

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        """Start a party that makes an offer, and return at once; `offer` are options of `syncnet.Net.sync`."""

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        """Return the pending offers, in the format of `GET /stats`."""

    def withdraw(self, id: str) -> bool:
        """Withdraw the offer with this id; return whether it is withdrawn."""

    def abort(self, **what: Any) -> int:
        """End offers by `event`, `actor` or `id`, with `reason` and `by`; return how many."""


def until_pending(front_end: FrontEnd, offers: int) -> None:
    """Wait until this many offers are pending in the default namespace."""

    def pending() -> int:
        return len({id for actors in front_end.stats().values() for ids in actors.values() for id in ids})

    until(lambda: pending() == offers, lambda: f"{pending()} offers are pending, not {offers}")


# --- in one process ----------------------------------------------------------------------------------------


class _FutureParty:
    """A party that another thread runs; cancelling the future cancels it."""

    def __init__(self, future: concurrent.futures.Future[Sync], ended: threading.Event) -> None:
        self._future, self._ended = future, ended

    def outcome(self) -> Sync:
        return self._future.result(PATIENCE_S)

    def cancel(self) -> None:
        self._future.cancel()
        assert self._ended.wait(PATIENCE_S)


class AsyncioFrontEnd:
    """Tasks of asyncio, on an event loop in a thread of its own."""

    def __init__(self, net: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._net, self._loop = net, loop

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        ended = threading.Event()

        async def party() -> Sync:
            try:
                if len(events) == 1:
                    result: Sync = await self._net.sync(events[0], actor=actor, **offer)
                else:
                    result = await self._net.choose(*events, actor=actor, **offer)
                return result
            finally:
                ended.set()

        return _FutureParty(asyncio.run_coroutine_threadsafe(party(), self._loop), ended)

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        return self._run(lambda: self._net.stats(namespace))

    def withdraw(self, id: str) -> bool:
        result: bool = self._run(lambda: self._net.withdraw(id))
        return result

    def abort(self, **what: Any) -> int:
        result: int = self._run(lambda: self._net.abort(**what))
        return result

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE_S)


@contextlib.contextmanager
def asyncio_front_end(net: Any, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[FrontEnd]:
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    front_end = AsyncioFrontEnd(net, loop)
    try:
        yield front_end
    finally:
        front_end._run(net.aclose) if hasattr(net, "aclose") else net.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


class TrioFrontEnd:
    """Tasks of trio, in a thread of their own."""

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
        result: bool = trio.from_thread.run(self._net.withdraw, id, trio_token=self._token)
        return result

    def abort(self, **what: Any) -> int:
        result: int = trio.from_thread.run(lambda: self._net.abort(**what), trio_token=self._token)
        return result


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
def trio_front_end(net: Any) -> Iterator[FrontEnd]:
    front_ends: concurrent.futures.Future[TrioFrontEnd] = concurrent.futures.Future()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            front_ends.set_result(TrioFrontEnd(net, trio.lowlevel.current_trio_token(), nursery))
            await trio.sleep_forever()

    scopes: list[trio.CancelScope] = []

    async def run_in_scope() -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await run()

    thread = threading.Thread(target=trio.run, args=(run_in_scope,))
    thread.start()
    front_end = front_ends.result(PATIENCE_S)
    try:
        yield front_end
    finally:
        trio.from_thread.run(net.aclose, trio_token=front_end._token) if hasattr(net, "aclose") else net.close()
        front_end._token.run_sync_soon(scopes[0].cancel)
        thread.join(PATIENCE_S)


class ThreadFrontEnd:
    """Threads, one for each party."""

    def __init__(self, net: Any) -> None:
        self._net = net

    def begin(self, *events: str, actor: str, **offer: Any) -> Party:
        try:
            made = self._net.send(*events, actor=actor, **offer)
        except Exception as error:
            return _Refused(error)
        return _ThreadParty(made)

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        result: dict[str, Any] = self._net.stats(namespace)
        return result

    def withdraw(self, id: str) -> bool:
        result: bool = self._net.withdraw(id)
        return result

    def abort(self, **what: Any) -> int:
        result: int = self._net.abort(**what)
        return result


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
    """A party whose offer was refused at once."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def outcome(self) -> Sync:
        raise self._error

    def cancel(self) -> None:
        pass


@contextlib.contextmanager
def thread_front_end() -> Iterator[FrontEnd]:
    with Syncnet() as net:
        yield ThreadFrontEnd(net.blocking)


FRONT_ENDS: dict[str, Callable[[], contextlib.AbstractContextManager[FrontEnd]]] = {
    "asyncio": lambda: asyncio_front_end(Syncnet(), asyncio.new_event_loop),
    "uvloop": lambda: asyncio_front_end(Syncnet(), uvloop.new_event_loop),
    "trio": lambda: trio_front_end(Syncnet()),
    "threads": thread_front_end,
}
"""The front ends by name. Each is a context manager that makes a new `Syncnet` and closes it."""
