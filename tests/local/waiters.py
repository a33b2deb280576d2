"""Ways to wait for one offer in the background: tasks of asyncio and of uvloop, tasks of trio, threads."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import trio
import uvloop

from syncnet import Offer, Sync

PATIENCE_S = 30


class Waiter(Protocol):
    """A task or a thread that waits for an offer."""

    def outcome(self) -> Sync:
        """Wait, and return or raise what the offer came to."""

    def cancel(self) -> None:
        """End the wait from outside; returns when it has ended."""


class _Waiter:
    def __init__(self) -> None:
        self.future: concurrent.futures.Future[Sync] = concurrent.futures.Future()

    def outcome(self) -> Sync:
        return self.future.result(PATIENCE_S)

    def ended(self, error: BaseException) -> None:
        self.future.set_exception(error)


class _TaskWaiter(_Waiter):
    def __init__(self, offer: Offer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._task: asyncio.Task[None]
        self._loop = loop
        begun: concurrent.futures.Future[None] = concurrent.futures.Future()

        async def wait() -> None:
            begun.set_result(None)
            try:
                self.future.set_result(await offer)
            except BaseException as error:
                self.ended(error)

        def begin() -> None:
            self._task = loop.create_task(wait())

        loop.call_soon_threadsafe(begin)
        begun.result(PATIENCE_S)  # a task that was cancelled before it began would never have waited

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self._task.cancel())
        concurrent.futures.wait([self.future], PATIENCE_S)


class _TrioWaiter(_Waiter):
    def __init__(self, offer: Offer, token: trio.lowlevel.TrioToken, nursery: trio.Nursery) -> None:
        super().__init__()
        self._token = token
        self._scope = trio.CancelScope()

        async def wait() -> None:
            try:
                with self._scope:
                    try:
                        self.future.set_result(await offer)
                    except trio.Cancelled as error:
                        self.ended(error)
                        raise
            except Exception as error:
                self.ended(error)

        token.run_sync_soon(nursery.start_soon, wait)

    def cancel(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        concurrent.futures.wait([self.future], PATIENCE_S)


class _ThreadWaiter(_Waiter):
    def __init__(self, offer: Offer) -> None:
        super().__init__()
        self._offer = offer
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self.future.set_result(self._offer.result())
        except Exception as error:
            self.ended(error)

    def cancel(self) -> None:
        """A thread cannot be cancelled; what it waits for is withdrawn."""
        self._offer.withdraw()
        self._thread.join(PATIENCE_S)


Wait = Callable[[Offer], Waiter]


@contextlib.contextmanager
def _loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[asyncio.AbstractEventLoop]:
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        assert asyncio.all_tasks(loop) == set()
        loop.close()


@contextlib.contextmanager
def _trio() -> Iterator[tuple[trio.lowlevel.TrioToken, trio.Nursery]]:
    started: concurrent.futures.Future[tuple[trio.lowlevel.TrioToken, trio.Nursery]] = concurrent.futures.Future()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            started.set_result((trio.lowlevel.current_trio_token(), nursery))
            await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    token, nursery = started.result(PATIENCE_S)
    try:
        yield token, nursery
    finally:
        token.run_sync_soon(nursery.cancel_scope.cancel)
        thread.join(PATIENCE_S)


@contextlib.contextmanager
def ways_to_wait() -> Iterator[dict[str, Wait]]:
    """Every way, by name; what they need runs in threads of its own until the end."""
    with _loop(asyncio.new_event_loop) as stock, _loop(uvloop.new_event_loop) as uv, _trio() as (token, nursery):
        yield {
            "asyncio": lambda offer: _TaskWaiter(offer, stock),
            "uvloop": lambda offer: _TaskWaiter(offer, uv),
            "trio": lambda offer: _TrioWaiter(offer, token, nursery),
            "threads": _ThreadWaiter,
        }
