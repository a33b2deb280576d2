"""One HTTP request, whichever protocol brought it: what the handler reads of it, and how it is answered.

An adapter (`rsgi.py`, `asgi.py`) makes a request from what its server gives it and implements the methods that raise
`NotImplementedError` here. A request that makes an offer is also the waiter of that offer (`coordinator/waiters.py`).

Laws

1. A request is answered once, on whichever thread, by the first that calls `answer` or `fail`.
2. The answer is handed over and never waited for, so a slow reader delays nobody (G8).
3. Only a header that the handler looks at costs anything: most requests have none of `LOOKED_AT`.
4. No closures and no coroutines here, in `handler.py` and in `rsgi.py`. They are compiled, and mypyc's closures and
   coroutines would be in reference cycles with granian's objects, which the garbage collector cannot enter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from syncnet.coordinator.waiters import Result
from syncnet.core.commands import Offer
from syncnet.core.effects import Synced
from syncnet.core.limits import CHARGED_STEPS_MIN, Limits
from syncnet.errors import BadBodyError, SyncnetError
from syncnet.server.access import ANONYMOUS, Caller
from syncnet.server.responses import JSON_HEADERS, Header, Response, body_too_large, bug, ended, problem_of
from syncnet.server.shares import REFUSAL_STEPS
from syncnet.wire.bodies import Texts, decode_form

if TYPE_CHECKING:
    from syncnet.server.handler import Handler

__all__ = ["BODY_HEADERS", "LOOKED_AT", "REFUSALS", "Request"]

LOOKED_AT: Final = frozenset(
    (
        "accept",
        "access-control-request-method",
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "last-event-id",
        "origin",
        "sec-fetch-site",
        "transfer-encoding",
    )
)
"""The headers that are looked at, apart from `host`."""

BODY_HEADERS: Final = frozenset(("content-length", "expect", "transfer-encoding"))
"""The headers of a request that may have a body."""

REFUSALS: Final = frozenset((400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 429))
"""The statuses of requests that were wrong, or more than their client may send."""

_LENGTH_DIGITS_MAX: Final = 20
_RANKS_TOTAL: Final = 100
_RANKS: Final[tuple[Header, ...]] = tuple(("syncnet-rank", str(rank)) for rank in range(_RANKS_TOTAL))


class Request:
    """One request. `query` is still escaped, and has surrogates in place of bytes that are not UTF-8.

    `present` are the headers of `LOOKED_AT` that it has; `host` and `accept` are empty where there are none;
    several are joined by commas.

    `caller` is who sent it. `use_body` gets its body when it has come, for which `reserved_bytes` are reserved.
    `offer` is the offer that it made, if any, `output` the format in which it wants the sync. A request that waits
    `is_watched` (`background.py`), and later has a task for it, `watch`.
    """

    __slots__ = (
        "accept",
        "caller",
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
        "reserved_bytes",
        "use_body",
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
        self.caller: Caller = ANONYMOUS
        self.reserved_bytes: int = 0
        self.use_body: Callable[[Request, bytes], None] | None = None
        self.offer: Offer | None = None
        self.output: str = "json"
        self.watch: asyncio.Task[None] | None = None

    # --- what an adapter implements ------------------------------------------------------------------------

    @property
    def http_version(self) -> str:
        """`1.1`, for example."""
        raise NotImplementedError

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """The address from which it came, without the port."""
        raise NotImplementedError

    @property
    def mount_path(self) -> str:
        """The path below which the handler is mounted."""
        return "/"

    def header(self, name: str) -> str:
        """Return the value of the header of that name (in small letters); empty where there is none."""
        raise NotImplementedError

    def read_body(self, bytes_max: int) -> None:
        """Read the body and call `body_came` with it, on the event loop; where it cannot be read, call `fail`.

        :raises SyncnetError: the head says already that it cannot be read.
        """
        raise NotImplementedError

    def stop_reading(self) -> None:
        """Stop reading the body: nobody needs it any more."""
        raise NotImplementedError

    def disconnected(self) -> Awaitable[None]:
        """Return what ends when the client has disconnected."""
        raise NotImplementedError

    def send(self, status: int, headers: list[Header], body: bytes) -> None:
        """Hand the answer over to the server; neither waits nor raises."""
        raise NotImplementedError

    def send_shared(self, headers: list[Header], body: bytes, readers: int) -> None:  # noqa: ARG002
        """Hand a large answer with status 200 over, which `readers` clients get, with as little memory as possible."""
        self.send(200, headers, body)

    def send_stream(self, run: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine that sends a stream with the `Writer` of this connection (`streams.py`)."""
        raise NotImplementedError

    # --- answers -------------------------------------------------------------------------------------------

    def answer(self, response: Response) -> None:
        """Answer the request, unless it was answered before. A refusal is charged to the client."""
        if self.is_answered:
            return
        self.is_answered = True
        self.handler.background.forget(self)
        if response.problem:
            self.handler.count_problem(response.problem)
        if response.status in REFUSALS:
            self.handler.shares.charge(self.client, REFUSAL_STEPS)
        if self.caller.headers:
            response.headers.extend(self.caller.headers)
        self.send(response.status, response.headers, response.body)

    def answer_with_stream(self, run: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        """Answer the request with what a coroutine sends, unless it was answered before."""
        if not self.is_answered:
            self.is_answered = True
            self.send_stream(run)

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

    # --- what it brings ------------------------------------------------------------------------------------

    def parameters(self, limits: Limits) -> Texts:
        """Return the parameters of the query.

        :raises BadBodyError: the query is too long, not UTF-8, or has too many parameters.
        """
        self.check_query(limits.url_bytes_max)
        return decode_form(self.query, limits.parameters_max)

    def check_query(self, bytes_max: int) -> None:
        """Check the length and the encoding of the query.

        :raises BadBodyError: it is too long, or not UTF-8.
        """
        if len(self.query) <= bytes_max and self.query.isascii():
            return
        query = self.query.encode(errors="surrogateescape")
        query_bytes = len(query)
        if query_bytes > bytes_max:
            wanted = f"expected a query of at most {bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {query_bytes}; a POST has room in its body", "url-too-long")
        try:
            query.decode()
        except UnicodeDecodeError as error:
            got = f"the byte 0x{query[error.start]:02x} at byte {error.start + 1}"
            raise BadBodyError(f"expected UTF-8 in the query, got {got}", "bad-parameter") from None

    @property
    def client(self) -> str:
        """Who pays for it (`shares.py`): the name of the caller's token, or else the address."""
        return self.caller.name or self.address

    def charge(self, steps: int) -> None:
        """Charge the client for work that takes long; less than a request may take is free."""
        if steps >= CHARGED_STEPS_MIN:
            self.handler.shares.charge(self.client, steps)

    def reserve_body(self, bytes_max: int) -> None:
        """Reserve memory for the body, which an adapter is about to read.

        :raises BadBodyError: its head announces more than `bytes_max`.
        :raises BusyError: too many bodies are being read.
        """
        length = self.header("content-length")
        body_bytes = int(length[:_LENGTH_DIGITS_MAX]) if length.isdecimal() else 0
        if body_bytes > bytes_max:
            raise body_too_large(bytes_max)
        self.reserved_bytes = self.handler.bodies.reserve(self.client, body_bytes)

    def body_over(self) -> None:
        """Release the memory that was reserved for the body: it has come, or will not come."""
        reserved_bytes, self.reserved_bytes = self.reserved_bytes, 0
        if reserved_bytes:
            self.handler.bodies.release(self.client, reserved_bytes)

    def body_came(self, body: bytes) -> None:
        """Pass the body on, unless the request was answered meanwhile."""
        use_body, self.use_body = self.use_body, None
        if self.is_answered or use_body is None:
            return
        self.handler.background.forget(self)
        try:
            use_body(self, body)
        except Exception as error:
            self.fail(error)

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
            if self.output != "json" and len(body) <= handler.yaml_answer_bytes_max:
                handler.answer_in_yaml(self, headers, body)
                return
            self.is_answered = True
            if self.is_watched:
                handler.background.forget(self)
            if self.caller.headers:
                headers.extend(self.caller.headers)
            if handler.is_encoded_large and len(synced.members) > 1:
                self.send_shared(headers, body, len(synced.members))
            else:
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
