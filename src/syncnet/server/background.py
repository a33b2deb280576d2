"""What runs on the event loop for the handler: coroutines, and the watch over requests that take long.

Requests may be handled on any thread, most of them on granian's. A request that waits for its mates or for its body is
noted here, and only if it still does some milliseconds later it gets a task: most are answered by then, and so cost
nothing on the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from syncnet.server.request import Request

__all__ = ["Background"]

_LOOK_EVERY_S: Final = 0.02


class Background:
    """The tasks of one handler. `loop` is the event loop that serves its requests; any thread may call.

    `watch` is the coroutine function that looks after a request which takes long.
    """

    def __init__(
        self, watch: Callable[[Request], Coroutine[Any, Any, None]], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.loop = loop
        self._watch_request = watch
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()  # of the rest
        self._new: list[Request] = []
        self._old: list[Request] = []  # those that were new at the last look
        self._looks_on: asyncio.AbstractEventLoop | None = None

    def watch(self, request: Request) -> None:
        """Look after a request if it is still unanswered after some milliseconds."""
        with self._lock:
            if self._looks_on is self.loop:
                self._new.append(request)
                return
            # It does not look, or on a loop that has ended: an application may be used on one loop after the other.
            self._looks_on = self.loop
            self._old, self._new = [], [request]
        self.call(self._look_later)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop."""
        if not self.call(self._begin, coroutine):
            coroutine.close()

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function soon, on the loop; return False where that has ended."""
        if self.loop is None:
            return False
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # it was closed
            return False
        return True

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)  # the loop itself keeps no strong reference
        task.add_done_callback(self._tasks.discard)
        return task

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Begin to watch the requests that were new at the last look and are still unanswered."""
        with self._lock:
            if self._looks_on is not asyncio.get_running_loop():
                return
            old, self._old, self._new = self._old, self._new, []
            if not self._old:
                self._looks_on = None
        for request in old:
            if not request.is_answered and request.watch is None:
                request.watch = self._begin(self._watch_request(request))
        if self._looks_on is not None:
            self._look_later()
