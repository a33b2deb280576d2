"""The one handler of requests: what each path does, whichever protocol brought it.

A face (`rsgi.py`, `asgi.py`) makes a `Request` out of what its server gives it, and writes the `Response` that it
gets back. What needs no event loop, which is an offer by GET, may be asked for on any thread (`ask`), and is answered
in the moment it is told; all else is a coroutine (`respond`). The handler never raises: whatever goes wrong becomes a
problem document.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from syncnet.coordinator.coordinator import Coordinator, Done
from syncnet.core.effects import Effect, Withdrawn
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import AccessError, BadBodyError, DrainingError, RetryableError, SyncnetError
from syncnet.server.access import Access, Asking, Caller
from syncnet.server.pending import Client, PendingRequest, PendingRequests, Reply
from syncnet.server.responses import NO_STORE, Header, Response, bug, headers_of, problem, problem_of
from syncnet.wire.answers import encode_pending, encode_trace
from syncnet.wire.bodies import Texts, Values, decode_body, decode_form
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import (
    did_you_mean,
    read_abort,
    read_namespace,
    read_offer,
    read_trace,
    read_withdrawal,
)

__all__ = ["BodyTooLargeError", "Handler", "Request", "Response"]

_INLINE_BYTES_MAX: Final = 16_384  # a body up to this size is decoded in less time than a thread takes to start
_T = TypeVar("_T")


class BodyTooLargeError(Exception):
    """The body is larger than was asked for; what was read of it is thrown away."""


class Request(Asking, Client, Protocol):
    """What the handler must know of a request."""

    path: str

    def query_text(self) -> str:
        """Return the query as it came, still escaped.

        :raises BadBodyError: it is not UTF-8.
        """

    async def body(self, bytes_max: int) -> bytes:
        """Return the body.

        :raises BodyTooLargeError: it has more than `bytes_max` bytes.
        """


_Respond: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]


class _Route(NamedTuple):
    """What a path does, by method, and the role that it wants (None: open to all).

    What answers asks the caller again once it knows the namespace.
    """

    role: str | None
    methods: dict[str, _Respond]


class Handler:
    """Answers requests with the help of one hub, as far as `access` allows.

    `waiters` are those who `ask`; `respond` has them served by its own loop.
    """

    def __init__(
        self,
        hub: Coordinator,
        access: Access | None = None,
        limits: Limits = LIMITS,
        waiters: PendingRequests | None = None,
    ) -> None:
        self._hub = hub
        self._access = Access() if access is None else access
        self._limits = limits
        self._waiters = PendingRequests(hub) if waiters is None else waiters
        self._routes: Final = {
            "/event": _Route("sync", {"GET": self._event, "POST": self._event, "DELETE": self._withdraw}),
            "/abort": _Route("admin", {"POST": self._abort}),
            "/stats": _Route("observe", {"GET": self._stats, "HEAD": self._stats}),
            "/trace": _Route("observe", {"GET": self._trace, "HEAD": self._trace}),
            "/healthz": _Route(None, {"GET": self._healthz, "HEAD": self._healthz}),
            "/readyz": _Route(None, {"GET": self._readyz, "HEAD": self._readyz}),
            "/openapi.json": _Route(None, {"GET": self._openapi, "HEAD": self._openapi}),
        }
        self._openapi_document = b""

    @property
    def routes(self) -> dict[str, tuple[str | None, list[str]]]:
        """The role that each path wants (None: open to all), and the methods that it takes."""
        return {path: (route.role, list(route.methods)) for path, route in self._routes.items()}

    def ask(self, request: Request, reply: Reply) -> bool:
        """Have a request answered, now or later, if no event loop is needed for that; return whether it will be."""
        if request.path != "/event" or request.method != "GET":
            return False
        try:
            caller = self._access.admit(request)
            if caller.headers:
                reply = _with_headers(caller.headers, reply)
            caller.require("sync")
            self._offer_by_get(request, caller, reply)
        except Exception as error:
            reply(self._problem_of(error, request))
        return True

    async def respond(self, request: Request) -> Response:
        """Return the answer to a request. Returns late where the request is an offer that waits."""
        self._waiters.loop = asyncio.get_running_loop()
        try:
            caller = self._access.admit(request)
        except AccessError as error:
            return problem_of(error)
        if caller.is_preflight:
            return Response(204, list(caller.headers), b"")
        try:
            route = self._routes.get(request.path)
            respond = route.methods.get(request.method) if route else None
            if route is None or respond is None:
                response = self._no_route(request)
            else:
                if route.role is not None:
                    caller.require(route.role)
                response = await respond(request, caller)
        except Exception as error:
            response = self._problem_of(error, request)
        if caller.headers:
            response.headers.extend(caller.headers)
        return response

    def _no_route(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return problem("unknown-path", f"no {request.path} here; {did_you_mean(request.path, self._routes)}")
        allowed = ", ".join(route.methods)
        detail = f"{request.path} takes {allowed}, got {request.method}"
        return problem("method-not-allowed", detail, headers=[("allow", allowed)])

    def _problem_of(self, error: Exception, request: Request) -> Response:
        if isinstance(error, SyncnetError):
            return problem_of(error)
        if isinstance(error, BodyTooLargeError):
            wanted = f"expected a body of at most {self._limits.body_bytes_max} bytes"
            return problem("too-large", f"{wanted}, got more")
        return bug(f"the answer to {request.method} {request.path}", error)

    # --- /event --------------------------------------------------------------------------------------------

    async def _event(self, request: Request, caller: Caller) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        reply = _handing_over(future)
        if request.method == "POST":
            query, body = self._query(request), await self._body(request)
            waiting = self._offer(request, caller, reply, query, body)
        else:
            waiting = self._offer_by_get(request, caller, reply)
        try:
            return await future
        except asyncio.CancelledError:
            waiting.leave()
            raise

    def _offer_by_get(self, request: Request, caller: Caller, reply: Reply) -> PendingRequest:
        """Make the offer that is all in the query of a request."""
        text = self._query_text(request)
        _refuse_body(request)
        return self._offer(request, caller, reply, decode_form(text, self._limits.parameters_max), Texts())

    def _offer(
        self, request: Request, caller: Caller, reply: Reply, query: Texts, body: Texts | Values
    ) -> PendingRequest:
        """Make the offer that a request asks for."""
        hub = self._hub
        asked = read_offer(query, body, at_ns=hub.now_ns(), new_id=hub.new_id, owner=caller.name, limits=self._limits)
        offer = asked.offer
        caller.require("sync", offer.namespace)
        output = asked.output or preferred_output(request.header("accept"))
        waiting = PendingRequest(self._waiters, request, reply, output, offer.id, offer)
        with hub.reading:
            hub.offer(offer, waiting.tell)
            if not waiting.is_over:
                self._waiters.watch(waiting)
        return waiting

    async def _withdraw(self, request: Request, caller: Caller) -> Response:
        _refuse_body(request)
        namespace, id = read_withdrawal(self._query(request))
        caller.require("sync", namespace)
        owner = None if caller.may("admin", namespace) else caller.name
        effects = await self._effects(lambda done: self._hub.withdraw(namespace, id, done, owner=owner))
        if effects:
            return Response(204, [NO_STORE], b"")
        with self._hub.reading:
            stands = self._hub.machine.standing_offer(namespace, id) is not None
            known = self._hub.machine.outcome_of(namespace, id, self._hub.now_ns())
        if stands:
            caller.require("admin", namespace)  # it is that of another token
        if known and known[0].owner != caller.name:
            caller.require("admin", namespace)
        if known and isinstance(known[1], Withdrawn):  # by a DELETE before this one, whose answer may have been lost
            return Response(204, [NO_STORE], b"")
        if known:
            return problem("already-over", f"the offer {id} has come to an end; asking again by its id tells which")
        return problem("unknown-id", f"no offer {id} is pending in the namespace {namespace}")

    async def _abort(self, request: Request, caller: Caller) -> Response:
        query, body = self._query(request), await self._body(request)
        abort = read_abort(query, body, at_ns=self._hub.now_ns(), owner=caller.name, limits=self._limits)
        caller.require("admin", abort.namespace)
        if self._hub.is_draining:  # an offer may be taken back still, lest a durable log has it after the start
            raise DrainingError("the server is about to end and takes no more commands")
        effects = await self._effects(lambda done: self._hub.abort(abort, done))
        return Response(200, headers_of("application/json"), b'{"aborted":%d}\n' % len(effects))

    async def _effects(self, command: Callable[[Done], None]) -> tuple[Effect, ...]:
        """Give a command to the hub and wait for its effects.

        :raises RetryableError: it was not put into the log.
        """
        if self._hub.is_over:
            raise DrainingError("the server is about to end and takes no more commands")
        future: asyncio.Future[tuple[Effect, ...] | RetryableError] = asyncio.get_running_loop().create_future()
        command(_handing_over(future))
        effects = await future
        if isinstance(effects, RetryableError):
            raise effects
        return effects

    # --- the rest ------------------------------------------------------------------------------------------

    async def _stats(self, request: Request, caller: Caller) -> Response:
        namespace = read_namespace(self._query(request))
        caller.require("observe", namespace)
        with self._hub.reading:
            machine = self._hub.machine
            pending, syncs, misses = machine.totals(namespace)
            offers = machine.pending(namespace)
        headers = headers_of("application/json")
        headers += [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(misses)),
        ]
        body = await asyncio.to_thread(encode_pending, offers)
        return Response(200, headers, body)

    async def _trace(self, request: Request, caller: Caller) -> Response:
        wanted = read_trace(self._query(request))
        caller.require("observe", wanted.namespace)
        with self._hub.reading:
            syncs = self._hub.machine.trace(wanted.namespace, wanted.after, wanted.syncs_max)
        body = await asyncio.to_thread(encode_trace, wanted.namespace, syncs)
        return Response(200, headers_of("application/json"), body)

    async def _readyz(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        if self._hub.is_draining:
            return problem("draining", "the server is about to end and takes no more offers")
        return Response(200, headers_of("text/plain; charset=utf-8"), b"ready\n")

    async def _healthz(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        return Response(200, headers_of("text/plain; charset=utf-8"), b"ok\n")

    async def _openapi(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        if not self._openapi_document:  # made when first asked for: most servers never are
            from syncnet.server.openapi import openapi_document

            self._openapi_document = openapi_document(self.routes, self._limits)
        return Response(200, headers_of("application/json"), self._openapi_document)

    # --- reading a request ---------------------------------------------------------------------------------

    def _query(self, request: Request) -> Texts:
        return decode_form(self._query_text(request), self._limits.parameters_max)

    def _query_text(self, request: Request) -> str:
        text, bytes_max = request.query_text(), self._limits.url_bytes_max
        if len(text) <= bytes_max and text.isascii():
            return text
        query_bytes = len(text.encode())
        if query_bytes > bytes_max:
            wanted = f"expected a query of at most {bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {query_bytes}; a POST has room in its body", "url-too-long")
        return text

    async def _body(self, request: Request) -> Texts | Values:
        try:
            async with asyncio.timeout(self._limits.body_read_s_max):
                body = await request.body(self._limits.body_bytes_max)
        except TimeoutError:
            raise BadBodyError(f"expected the body within {self._limits.body_read_s_max} s", "slow-body") from None
        content_type = request.header("content-type")
        if len(body) <= _INLINE_BYTES_MAX:
            return decode_body(content_type, body, self._limits.parameters_max)
        return await asyncio.to_thread(decode_body, content_type, body, self._limits.parameters_max)


def _handing_over(future: asyncio.Future[_T]) -> Callable[[_T], None]:
    """Return a function that sets a future of this thread's loop, on whichever thread it is called.

    Where that loop has ended nobody waits any more; whoever calls must not learn of it, lest the others are not told.
    """
    thread, loop = threading.get_ident(), future.get_loop()

    def set_result(result: _T) -> None:
        if not future.done():
            future.set_result(result)

    def hand_over(result: _T) -> None:
        if threading.get_ident() == thread:
            set_result(result)
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits there any more
                loop.call_soon_threadsafe(set_result, result)

    return hand_over


def _with_headers(headers: tuple[Header, ...], reply: Reply) -> Reply:
    """Return what hands over an answer with further headers."""

    def reply_with_headers(response: Response) -> None:
        response.headers.extend(headers)
        reply(response)

    return reply_with_headers


def _refuse_body(request: Request) -> None:
    """Refuse a GET with a body: left unread, it would hide from granian that the client has gone away."""
    brings_body = request.header("transfer-encoding") or request.header("content-length").lstrip("0")
    if brings_body or request.header("expect"):
        raise BadBodyError("expected no body with GET, got one; use POST")
