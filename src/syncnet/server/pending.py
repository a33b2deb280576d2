"""Requests that wait to be told what became of their offers, and are answered in the moment they are told.

Laws

1. A request is answered once, by whoever tells it: on whichever thread, under the lock of the hub. So the answer is
   handed over, and never waited for (law 5 of the house).
2. What takes long, which is YAML, is made in another thread, and the answer follows.
3. Where the client of a request that waits goes away, the offer is left. A request is watched once it has waited for
   some milliseconds; the mates of most are there by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias

from syncnet.coordinator.coordinator import Coordinator, Told
from syncnet.core.commands import Offer
from syncnet.core.effects import Synced
from syncnet.errors import GoneError, SyncnetError
from syncnet.server.responses import JSON_HEADERS, NO_STORE, Header, Response, bug, ended, problem_of
from syncnet.server.sync_answers import SyncAnswer, SyncAnswers
from syncnet.wire.answers import MEDIA_TYPES

__all__ = ["Client", "PendingRequest", "PendingRequests", "Reply"]

_LOOK_EVERY_S: Final = 0.02
_YAML_HEADERS: Final = (("content-type", MEDIA_TYPES["yaml"]), NO_STORE)

Reply: TypeAlias = Callable[[Response], None]
"""Hands over the answer to a request, on whichever thread; it neither waits nor raises."""


class Client(Protocol):
    """Whoever made a request."""

    async def disconnected(self) -> None:
        """Return when the client has gone away."""


class PendingRequest:
    """One request that made an offer, the one of that id, and how it wants to be answered."""

    __slots__ = ("_offer", "_output", "_reply", "_waiters", "client", "id", "is_over", "watch")

    def __init__(
        self, waiters: PendingRequests, client: Client, reply: Reply, output: str, id: str, offer: Offer | None
    ) -> None:
        self._waiters = waiters
        self._reply = reply
        self._output = output
        self._offer = offer
        self.id = id
        self.client = client
        self.is_over = False
        self.watch: asyncio.Task[None] | None = None

    def core_offer(self) -> Offer:
        """Return the offer, the very same whenever asked."""
        if self._offer is None:
            raise TypeError("only an offer that is plain may be made later")
        return self._offer

    def tell(self, told: Told) -> None:
        """Answer with what became of the offer; who was answered before is not. Under the lock of the hub."""
        try:
            if isinstance(told, Synced):
                self._happen(*self._waiters.answers.of(told, self.id))
            elif self.end():
                self._reply(problem_of(told) if isinstance(told, SyncnetError) else ended(told))
        except Exception as error:  # a bug in one answer must not keep others from theirs
            self.end()
            self._reply(bug("an answer", error))

    def leave(self) -> None:
        """Leave the offer, because the client has gone away."""
        with self._waiters.hub.reading:
            self._waiters.hub.leave(self.core_offer(), self.tell)
            self.tell(GoneError("the client has gone"))  # nobody reads the answer; it ends the request

    def _happen(self, answer: SyncAnswer, rank: Header) -> None:
        if not self.end():
            return
        if self._output == "json":
            self._reply(Response(200, [*JSON_HEADERS, ("syncnet-id", self.id), rank], answer.json))
        else:
            self._waiters.spawn(self._happen_in_yaml(answer, rank))

    async def _happen_in_yaml(self, answer: SyncAnswer, rank: Header) -> None:
        try:
            self._reply(Response(200, [*_YAML_HEADERS, ("syncnet-id", self.id), rank], await answer.yaml()))
        except Exception as error:
            self._reply(bug("an answer in YAML", error))

    def end(self) -> bool:
        """Note that it is being answered, and return whether it was not before; under the lock of the hub."""
        if self.is_over:
            return False
        self.is_over = True
        self._waiters.look_away(self)
        return True


class PendingRequests:
    """All requests of one handler that wait. `loop` is the event loop that serves them; any thread may call.

    Who has not waited for long is in a set, and is taken out when it is told. So with all that come and go at once the
    loop has nothing to do, and need not take Python's lock from those who do.
    """

    def __init__(self, hub: Coordinator, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.hub: Final = hub
        self.answers: Final = SyncAnswers()
        self.loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._young: set[PendingRequest] = set()  # this and the next under the lock of the hub
        self._looked_at: set[PendingRequest] = set()  # those of the young who were so already when we looked last
        self._is_looking = False

    def watch(self, waiting: PendingRequest) -> None:
        """See to it that one who waits for long is left when its client goes; under the lock of the hub."""
        self._young.add(waiting)
        if not self._is_looking:
            self._is_looking = True
            self._on_the_loop(self._look_later)

    def look_away(self, waiting: PendingRequest) -> None:
        """Let the client of one be watched no more; under the lock of the hub."""
        self._young.discard(waiting)
        if waiting.watch is not None:
            self._on_the_loop(waiting.watch.cancel)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the loop."""
        if not self._on_the_loop(self._begin, coroutine):
            coroutine.close()

    def _on_the_loop(self, call: Callable[..., object], *arguments: object) -> bool:
        """Call a function soon, on the loop; return False where that has ended."""
        if self.loop is None:
            return False
        try:
            self.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # it was closed
            return False
        return True

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)  # the loop does not hold on to it
        task.add_done_callback(self._tasks.discard)
        return task

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Have those watched who are still there since the last time; go on as long as anybody is young."""
        with self.hub.reading:
            for waiting in self._looked_at & self._young:
                self._young.discard(waiting)
                waiting.watch = self._begin(_leave_when_gone(waiting))
            self._looked_at = self._young.copy()
            self._is_looking = bool(self._young)
            if self._is_looking:
                self._look_later()


async def _leave_when_gone(waiting: PendingRequest) -> None:
    await waiting.client.disconnected()
    waiting.leave()
