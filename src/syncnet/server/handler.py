"""The one handler of requests: what each path does, whichever protocol brought it.

A face (`rsgi.py`, `asgi.py`) makes a `Request` out of what its server gives it, and writes the `Response` that it
gets back. The handler never raises: whatever goes wrong becomes a problem document.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from syncnet.core.commands import Offer
from syncnet.core.effects import Aborted, Effect, Refused, Synced, TimedOut, Withdrawn
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import (
    PROBLEMS,
    AccessError,
    BadBodyError,
    DrainingError,
    GoneError,
    ParameterError,
    SyncnetError,
    WorldError,
)
from syncnet.hub import Done, Hub, Told
from syncnet.server.access import Access, Asking, Caller
from syncnet.server.sync_answers import SyncAnswer, SyncAnswers
from syncnet.wire.answers import (
    MEDIA_TYPES,
    PROBLEM_MEDIA_TYPE,
    aborted_problem,
    encode_pending,
    encode_problem,
    encode_trace,
    timed_out_problem,
)
from syncnet.wire.bodies import Texts, Values, decode_body, decode_form
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import (
    did_you_mean,
    read_abort,
    read_namespace,
    read_offer,
    read_query_offer,
    read_trace,
    read_withdrawal,
)

__all__ = ["BodyTooLargeError", "Handler", "Request", "Response"]

_log = logging.getLogger("syncnet")

_RETRY_AFTER_S: Final = 1
_WATCHED_AFTER_S: Final = 0.005  # the mates of most are on their way; till then nobody looks whether a client has gone
_INLINE_BYTES_MAX: Final = 16_384  # a body up to this size is decoded in less time than a thread takes to start
_NO_STORE: Final = ("cache-control", "no-store")
_SYNC_HEADERS: Final = {output: (("content-type", MEDIA_TYPES[output]), _NO_STORE) for output in MEDIA_TYPES}

_T = TypeVar("_T")

_Result: TypeAlias = SyncAnswer | TimedOut | Aborted | Refused | Withdrawn | SyncnetError
"""What a request is told: what the hub says, and of a sync the answer."""


class BodyTooLargeError(Exception):
    """The body is larger than was asked for; what was read of it is thrown away."""


class Request(Asking, Protocol):
    """What the handler must know of a request."""

    path: str
    query: bytes

    async def body(self, bytes_max: int) -> bytes:
        """Return the body.

        :raises BodyTooLargeError: it has more than `bytes_max` bytes.
        """

    async def disconnected(self) -> None:
        """Return when the client has gone away."""


class Response(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


_Respond: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]


class _Route(NamedTuple):
    """What a path does, by method, and the role that it wants (None: open to all).

    What answers asks the caller again once it knows the namespace.
    """

    role: str | None
    methods: dict[str, _Respond]


class Handler:
    """Answers requests with the help of one hub, on the event loop that calls it first, as far as `access` allows."""

    def __init__(self, hub: Hub, access: Access | None = None, limits: Limits = LIMITS) -> None:
        self._hub = hub
        self._access = Access() if access is None else access
        self._limits = limits
        self._answers = SyncAnswers()
        self._young: list[_Waiting] = []
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

    async def respond(self, request: Request) -> Response:
        """Return the answer to a request. Returns late where the request is an offer that waits."""
        try:
            caller = self._access.admit(request)
        except AccessError as error:
            return _problem(error.code, str(error))
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
            return _problem("unknown-path", f"no {request.path} here; {did_you_mean(request.path, self._routes)}")
        allowed = ", ".join(route.methods)
        detail = f"{request.path} takes {allowed}, got {request.method}"
        return _problem("method-not-allowed", detail, headers=[("allow", allowed)])

    def _problem_of(self, error: Exception, request: Request) -> Response:
        match error:
            case ParameterError():
                return _problem(error.code, str(error), parameter=error.parameter)
            case BodyTooLargeError():
                wanted = f"expected a body of at most {self._limits.body_bytes_max} bytes"
                return _problem("too-large", f"{wanted}, got more")
            case SyncnetError():
                return _problem(error.code, str(error))
        _log.error("a bug: the answer to %s %s could not be made", request.method, request.path, exc_info=error)
        return _problem("internal", "this is a bug in syncnet; its log has the details")

    # --- /event --------------------------------------------------------------------------------------------

    async def _event(self, request: Request, caller: Caller) -> Response:
        hub, limits = self._hub, self._limits
        if request.method == "POST":
            query, body = self._query(request), await self._body(request)
            asked = read_offer(query, body, at_ns=hub.now_ns(), new_id=hub.new_id, owner=caller.name, limits=limits)
        else:
            text = self._query_text(request)
            _refuse_body(request)
            asked = read_query_offer(text, at_ns=hub.now_ns(), new_id=hub.new_id, owner=caller.name, limits=limits)
        offer = asked.offer
        caller.require("sync", offer.namespace)
        output = asked.output or preferred_output(request.header("accept"))
        waiting = _Waiting(offer, request, self._answers)
        hub.offer(offer, waiting.tell)
        told = waiting.future.result() if waiting.future.done() else await self._told(waiting)
        if isinstance(told, SyncAnswer):
            body_bytes = told.json() if output == "json" else await told.yaml()
            return Response(200, [*_SYNC_HEADERS[output], ("syncnet-id", offer.id), told.rank_of(offer)], body_bytes)
        if isinstance(told, SyncnetError):
            return self._problem_of(told, request)  # not raised: that would tie the error and this call into a cycle
        return _ended_response(told)

    async def _told(self, waiting: _Waiting) -> _Result:
        """Wait for what is told of an offer; leave it where the client goes away before."""
        if not self._young:
            asyncio.get_running_loop().call_later(_WATCHED_AFTER_S, self._watch_young)
        self._young.append(waiting)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            self._hub.leave(waiting.offer, waiting.tell)
            raise
        finally:
            if waiting.watch is not None:
                waiting.watch.cancel()

    def _watch_young(self) -> None:
        """See to it that those who still wait are left when their clients go; most were told before it came to that."""
        young, self._young = self._young, []
        for waiting in young:
            if not waiting.future.done():
                waiting.watch = asyncio.create_task(self._leave_when_gone(waiting))

    async def _leave_when_gone(self, waiting: _Waiting) -> None:
        await waiting.request.disconnected()
        self._hub.leave(waiting.offer, waiting.tell)
        waiting.tell(GoneError("the client has gone"))  # nobody reads the answer; it ends the request

    async def _withdraw(self, request: Request, caller: Caller) -> Response:
        _refuse_body(request)
        namespace, id = read_withdrawal(self._query(request))
        caller.require("sync", namespace)
        owner = None if caller.may("admin", namespace) else caller.name
        effects = await self._effects(lambda done: self._hub.withdraw(namespace, id, done, owner=owner))
        if effects:
            return Response(204, [_NO_STORE], b"")
        if self._hub.machine.standing_offer(namespace, id):
            caller.require("admin", namespace)  # it is that of another token
        known = self._hub.machine.outcome_of(namespace, id, self._hub.now_ns())
        if known and known[0].owner != caller.name:
            caller.require("admin", namespace)
        if known and isinstance(known[1], Withdrawn):  # by a DELETE before this one, whose answer may have been lost
            return Response(204, [_NO_STORE], b"")
        if known:
            return _problem("already-over", f"the offer {id} has come to an end; asking again by its id tells which")
        return _problem("unknown-id", f"no offer {id} is pending in the namespace {namespace}")

    async def _abort(self, request: Request, caller: Caller) -> Response:
        query, body = self._query(request), await self._body(request)
        abort = read_abort(query, body, at_ns=self._hub.now_ns(), owner=caller.name, limits=self._limits)
        caller.require("admin", abort.namespace)
        if self._hub.is_draining:  # an offer may be taken back still, lest a durable log has it after the start
            raise DrainingError("the server is about to end and takes no more commands")
        effects = await self._effects(lambda done: self._hub.abort(abort, done))
        return Response(200, _headers("application/json"), b'{"aborted":%d}\n' % len(effects))

    async def _effects(self, command: Callable[[Done], None]) -> tuple[Effect, ...]:
        """Give a command to the hub and wait for its effects.

        :raises WorldError: it was not put into the log.
        """
        if self._hub.is_over:
            raise DrainingError("the server is about to end and takes no more commands")
        future: asyncio.Future[tuple[Effect, ...] | WorldError] = asyncio.get_running_loop().create_future()
        command(_handing_over(future))
        effects = await future
        if isinstance(effects, WorldError):
            raise effects
        return effects

    # --- the rest ------------------------------------------------------------------------------------------

    async def _stats(self, request: Request, caller: Caller) -> Response:
        namespace = read_namespace(self._query(request))
        caller.require("observe", namespace)
        with self._hub.reading:  # threads of this program may share the world
            machine = self._hub.machine
            pending, syncs, misses = machine.totals(namespace)
            offers = machine.pending(namespace)
        headers = _headers("application/json")
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
        return Response(200, _headers("application/json"), body)

    async def _readyz(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        if self._hub.is_draining:
            return _problem("draining", "the server is about to end and takes no more offers")
        return Response(200, _headers("text/plain; charset=utf-8"), b"ready\n")

    async def _healthz(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        return Response(200, _headers("text/plain; charset=utf-8"), b"ok\n")

    async def _openapi(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        if not self._openapi_document:  # made when first asked for: most servers never are
            from syncnet.server.openapi import openapi_document

            self._openapi_document = openapi_document(self.routes, self._limits)
        return Response(200, _headers("application/json"), self._openapi_document)

    # --- reading a request ---------------------------------------------------------------------------------

    def _query(self, request: Request) -> Texts:
        return decode_form(self._query_text(request), self._limits.parameters_max)

    def _query_text(self, request: Request) -> str:
        if len(request.query) > self._limits.url_bytes_max:
            wanted = f"expected a query of at most {self._limits.url_bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {len(request.query)}; a POST has room in its body", "url-too-long")
        return _utf8_query(request.query)

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


class _Waiting:
    """A request that waits to be told what became of its offer.

    A sync is told as the answer that its members share: it is looked up while they are told, one after the other.
    """

    __slots__ = ("_answers", "_loop", "_thread", "future", "offer", "request", "watch")

    def __init__(self, offer: Offer, request: Request, answers: SyncAnswers) -> None:
        self.offer = offer
        self.request = request
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.future: asyncio.Future[_Result] = self._loop.create_future()
        self.watch: asyncio.Task[None] | None = None
        self._answers = answers

    def tell(self, told: Told) -> None:
        """Let it know; called under the lock of the hub, on whichever thread."""
        result = self._answers.of(told) if isinstance(told, Synced) else told
        if threading.get_ident() == self._thread:
            self._set(result)
        else:
            self._loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: _Result) -> None:
        if not self.future.done():
            self.future.set_result(result)


def _ended_response(outcome: TimedOut | Aborted | Refused | Withdrawn) -> Response:
    match outcome:
        case TimedOut():
            return _problem_response("timed-out", timed_out_problem(outcome))
        case Aborted():
            return _problem_response("aborted", aborted_problem(outcome))
        case Refused():
            return _problem(outcome.code, outcome.reason)
        case Withdrawn():
            return _problem("withdrawn", f"the offer was withdrawn: {outcome.cause}")


def _headers(media_type: str) -> list[tuple[str, str]]:
    return [("content-type", media_type), _NO_STORE]


def _problem(code: str, detail: str, headers: list[tuple[str, str]] | None = None, **members: object) -> Response:
    return _problem_response(code, encode_problem(code, detail, **members), headers)


def _problem_response(code: str, body: bytes, extra: list[tuple[str, str]] | None = None) -> Response:
    headers = _headers(PROBLEM_MEDIA_TYPE) + (extra or [])
    status = PROBLEMS[code].status
    if status in (429, 503):
        headers.append(("retry-after", str(_RETRY_AFTER_S)))
    elif status == 401:
        headers.append(("www-authenticate", 'Bearer realm="syncnet"'))
    return Response(status, headers, body)


def _utf8_query(query: bytes) -> str:
    try:
        return query.decode()
    except UnicodeDecodeError as error:
        raise BadBodyError(
            f"expected UTF-8 in the query, got the byte 0x{query[error.start]:02x} at byte {error.start + 1}",
            "bad-parameter",
        ) from None


def _refuse_body(request: Request) -> None:
    """Refuse a GET with a body: left unread, it would hide from granian that the client has gone away."""
    brings_body = request.header("transfer-encoding") or request.header("content-length").lstrip("0")
    if brings_body or request.header("expect"):
        raise BadBodyError("expected no body with GET, got one; use POST")
