"""One HTTP request, whichever protocol brought it: what the handler reads of it, and how it is answered.

An adapter (`rsgi.py`, `asgi.py`) makes a request from what its server gives it and implements the methods that raise
`NotImplementedError` here. A request that makes an offer is also the waiter of that offer (`coordinator/waiters.py`).

Laws

1. A request is answered once, on whichever thread, by the first that calls `answer` or `fail`.
2. The answer is handed over and never waited for, so a slow reader delays nobody (G8).
3. Only a header that the handler looks at costs anything: most requests have none of `LOOKED_AT`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from syncnet.coordinator.waiters import Result
from syncnet.core.commands import Offer
from syncnet.core.effects import Synced
from syncnet.errors import BadBodyError, SyncnetError
from syncnet.server.responses import JSON_HEADERS, Header, Response, bug, ended, problem_of

if TYPE_CHECKING:
    from syncnet.server.handler import Handler

__all__ = ["BODY_HEADERS", "LOOKED_AT", "BodyCallback", "Request"]

LOOKED_AT: Final = frozenset(
    (
        "accept",
        "access-control-request-method",
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "origin",
        "sec-fetch-site",
        "transfer-encoding",
    )
)
"""The headers that are looked at, apart from `host`."""

BODY_HEADERS: Final = frozenset(("content-length", "expect", "transfer-encoding"))
"""The headers of a request that may have a body."""

_RANKS_TOTAL: Final = 100
_RANKS: Final[tuple[Header, ...]] = tuple(("syncnet-rank", str(rank)) for rank in range(_RANKS_TOTAL))

BodyCallback = Callable[[bytes], None]


class Request:
    """One request. `query` is still escaped, and has surrogates in place of bytes that are not UTF-8.

    `present` are the headers of `LOOKED_AT` that it has; `host` and `accept` are empty where there are none.

    `extra_headers` are added to its answer. `offer` is the offer that it made, if any, `output` the format in which it
    wants the sync. A request that waits `is_watched` (`background.py`), and later has a task for it, `watch`.
    """

    __slots__ = (
        "accept",
        "extra_headers",
        "handler",
        "host",
        "is_answered",
        "is_watched",
        "method",
        "offer",
        "output",
        "path",
        "present",
        "query",
        "watch",
    )

    def __init__(
        self, handler: Handler, method: str, path: str, query: str, present: frozenset[str], host: str, accept: str
    ) -> None:
        self.handler: Handler = handler
        self.method: str = method
        self.path: str = path
        self.query: str = query
        self.present: frozenset[str] = present
        self.host: str = host
        self.accept: str = accept
        self.is_answered: bool = False
        self.is_watched: bool = False
        self.extra_headers: tuple[Header, ...] = ()
        self.offer: Offer | None = None
        self.output: str = "json"
        self.watch: asyncio.Task[None] | None = None

    # --- what an adapter implements ------------------------------------------------------------------------

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        raise NotImplementedError

    @property
    def mount_path(self) -> str:
        """The path below which the handler is mounted."""
        return "/"

    def header(self, name: str) -> str:
        """Return the value of the header of that name (in small letters); empty where there is none."""
        raise NotImplementedError

    def read_body(self, bytes_max: int, then: BodyCallback) -> None:
        """Read the body and call `then` with it, on the event loop; where it cannot be read, answer with the error.

        :raises SyncnetError: the head says already that it cannot be read.
        """
        raise NotImplementedError

    def stop_reading(self) -> None:
        """Stop reading the body; `then` is not called any more."""
        raise NotImplementedError

    async def disconnected(self) -> None:
        """Return when the client has disconnected."""
        raise NotImplementedError

    def send(self, status: int, headers: list[Header], body: bytes) -> None:
        """Hand the answer over to the server; neither waits nor raises."""
        raise NotImplementedError

    # --- answers -------------------------------------------------------------------------------------------

    def answer(self, response: Response) -> None:
        """Answer the request, unless it was answered before."""
        if self.is_answered:
            return
        self.is_answered = True
        self.handler.background.forget(self)
        if self.extra_headers:
            response.headers.extend(self.extra_headers)
        self.send(*response)

    def fail(self, error: Exception) -> None:
        """Answer with the problem document of an error; one that is no error of syncnet's is a bug."""
        if isinstance(error, SyncnetError):
            self.answer(problem_of(error))
        else:
            self.answer(bug(f"the answer to {self.method} {self.path}", error))

    def refuse_body(self) -> None:
        """Refuse a request with a body: left unread, it would hide from granian that the client has disconnected.

        :raises BadBodyError: it has one.
        """
        if self.has_body() or ("expect" in self.present and self.header("expect")):
            raise BadBodyError(f"expected no body with {self.method}, got one; use POST")

    def has_body(self) -> bool:
        """Return whether the head announces a body."""
        present = self.present
        if "content-length" in present and self.header("content-length").lstrip("0"):
            return True
        return "transfer-encoding" in present and self.header("transfer-encoding") != ""

    # --- as the waiter of its offer ------------------------------------------------------------------------

    def synced(self, synced: Synced, rank: int) -> None:
        """Answer with the sync."""
        if self.is_answered or self.offer is None:
            return
        try:
            headers = [
                *JSON_HEADERS,
                ("syncnet-id", self.offer.id),
                _RANKS[rank] if rank < _RANKS_TOTAL else ("syncnet-rank", str(rank)),
            ]
            handler = self.handler
            if handler.encoded_sync is not synced:
                handler.encode(synced)
            body = handler.encoded_body
            if self.output != "json":
                handler.answer_in_yaml(self, headers, body)
                return
            self.is_answered = True
            if self.is_watched:
                handler.background.forget(self)
            if self.extra_headers:
                headers.extend(self.extra_headers)
            self.send(200, headers, body)
        except Exception as error:  # a bug in one answer must not keep the other members from theirs
            self.is_answered = False
            self.fail(error)

    def ended(self, result: Result) -> None:
        """Answer with any other result; the client can check that it is that of its own offer."""
        try:
            response = problem_of(result) if isinstance(result, SyncnetError) else ended(result)
            if self.offer is not None:
                response.headers.append(("syncnet-id", self.offer.id))
            self.answer(response)
        except Exception as error:  # see above
            self.fail(error)
