"""What runs on the event loop for the handler: coroutines, and the watch over requests that take long.

Requests may be handled on any thread, most of them on granian's. A request that waits for its mates or for its body is
noted in a set, and only if it still waits some milliseconds later it gets a task: most are answered by then, and so
cost nothing on the loop. An answered request leaves the set at once, on the thread that answers it: the loop would have
to free it otherwise, and Python's lock would go back and forth between the two threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from syncnet.errors import BadBodyError
from syncnet.server.pools import Pool
from syncnet.server.request import Request
from syncnet.server.responses import Response

__all__ = ["Background"]

_T = TypeVar("_T")

POOLS: Final = ("bodies", "metrics", "reports", "yaml")
_LOOK_EVERY_S: Final = 0.02


class Background:
    """The tasks of one handler. `loop` is the event loop that serves its requests; any thread may call.

    A body must come within `body_read_s_max` seconds.
    """

    def __init__(self, body_read_s_max: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        self._body_read_s_max = body_read_s_max
        self._pools = {name: Pool(name) for name in POOLS}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: set[asyncio.Task[None]] = set()  # those that look after a request
        self._new: set[Request] = set()  # its methods are atomic, so that it needs no lock
        self._seen: set[Request] = set()  # those that were new at the last look
        self._looks_on: asyncio.AbstractEventLoop | None = None  # None where there is nothing to look after
        self._starting = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many requests wait for their mates or for their body."""
        return len(self._new) + len(self._watches)

    @property
    def jobs(self) -> dict[str, int]:
        """How many requests each pool has, the one at work included."""
        return {name: pool.queued for name, pool in self._pools.items()}

    def watch(self, request: Request) -> None:
        """Look after a request if it is still unanswered after some milliseconds."""
        request.is_watched = True
        self._new.add(request)
        if self._looks_on is not self.loop:
            self._start_looking()

    def forget(self, request: Request) -> None:
        """Note that a request is answered."""
        self._new.discard(request)
        if request.watch is not None:
            self.call(request.watch.cancel)
            request.watch = None

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop."""
        if not self.call(self._begin, coroutine, self._tasks):
            coroutine.close()

    def in_thread(
        self,
        pool: str,
        request: Request,
        use: Callable[[Request, _T], None],
        function: Callable[..., _T],
        *arguments: object,
    ) -> None:
        """Call a function that takes long in the thread of a pool (`POOLS`), and `use` with its result, on the loop.

        Errors are answered.
        """
        self.spawn(_in_thread(self._pools[pool], request, use, function, *arguments))

    def later(self, after_s: float, request: Request, response: Response) -> None:
        """Answer a request with a response after some time."""
        if self.loop is not None:
            self.call(self.loop.call_later, after_s, request.answer, response)

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function soon, on the loop; return False where that has ended."""
        if self.loop is None:
            return False
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # it was closed
            return False
        return True

    async def _look_after(self, request: Request) -> None:
        """Look after a request that takes long: its body must come in time, and its offer goes with its client."""
        if request.offer is not None:
            await request.disconnected()
            request.handler.disconnected(request)
            return
        await asyncio.sleep(self._body_read_s_max)
        if request.offer is None:
            request.stop_reading()
            wanted = f"expected the body within {self._body_read_s_max} s"
            request.fail(BadBodyError(wanted, "slow-body"))

    def _begin(self, coroutine: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        tasks.add(task)  # the loop itself keeps no strong reference
        task.add_done_callback(tasks.discard)
        return task

    def _start_looking(self) -> None:
        """Look from now on; again, where the loop has changed: an application may be used on one after the other."""
        with self._starting:
            if self._looks_on is self.loop:
                return
            self._looks_on = self.loop
        self.call(self._look_later)

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Begin to watch the requests that were new at the last look and are still unanswered."""
        if self._looks_on is not asyncio.get_running_loop():
            return
        for request in self._seen & self._new:
            self._new.discard(request)
            request.watch = watch = self._begin(self._look_after(request), self._watches)
            if request.is_answered:  # perhaps meanwhile, on another thread
                watch.cancel()
        self._seen = self._new.copy()
        if self._seen:
            self._look_later()
            return
        self._looks_on = None
        if self._new:  # one came before the line above, and saw that this was looking
            self._start_looking()


async def _in_thread(
    pool: Pool, request: Request, use: Callable[[Request, _T], None], function: Callable[..., _T], *arguments: object
) -> None:
    try:
        use(request, await pool.run(function, *arguments))
    except Exception as error:
        request.fail(error)
