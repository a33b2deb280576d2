"""The one handler of requests: what each path does, whichever protocol brought it.

A face (`rsgi.py`, `asgi.py`) makes a `Request` out of what its server gives it, and writes the `Response` that it
gets back. The handler never raises: whatever goes wrong becomes a problem document.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from syncnet.core.commands import Offer
from syncnet.core.effects import Aborted, Effect, Outcome, Refused, Synced, TimedOut, Withdrawn
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
from syncnet.wire.answers import (
    MEDIA_TYPES,
    PROBLEM_MEDIA_TYPE,
    aborted_problem,
    encode_pending,
    encode_problem,
    encode_sync,
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
    read_trace,
    read_withdrawal,
)

__all__ = ["BodyTooLargeError", "Handler", "Request", "Response"]

_log = logging.getLogger("syncnet")

_RETRY_AFTER_S: Final = 1
_INLINE_BYTES_MAX: Final = 16_384  # a body up to this size is decoded in less time than a thread takes to start
_ANSWERS_KEPT: Final = 8

_T = TypeVar("_T")


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
        self._answers = _Answers()
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
        response = await self._routed(request, caller)
        response.headers.extend(caller.headers)
        return response

    async def _routed(self, request: Request, caller: Caller) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return _problem("unknown-path", f"no {request.path} here; {did_you_mean(request.path, self._routes)}")
        respond = route.methods.get(request.method)
        if respond is None:
            allowed = ", ".join(route.methods)
            detail = f"{request.path} takes {allowed}, got {request.method}"
            return _problem("method-not-allowed", detail, headers=[("allow", allowed)])
        try:
            if route.role is not None:
                caller.require(route.role)
            return await respond(request, caller)
        except ParameterError as error:
            return _problem(error.code, str(error), parameter=error.parameter)
        except BodyTooLargeError:
            return _problem("too-large", f"expected a body of at most {self._limits.body_bytes_max} bytes, got more")
        except SyncnetError as error:
            return _problem(error.code, str(error))
        except Exception:
            _log.exception("a bug: the answer to %s %s could not be made", request.method, request.path)
            return _problem("internal", "this is a bug in syncnet; its log has the details")

    # --- /event --------------------------------------------------------------------------------------------

    async def _event(self, request: Request, caller: Caller) -> Response:
        query, body = await self._parameters(request)
        asked = read_offer(
            query,
            body,
            at_ns=self._hub.now_ns(),
            new_id=self._hub.new_id,
            owner=caller.name,
            limits=self._limits,
        )
        caller.require("sync", asked.offer.namespace)
        output = asked.output or preferred_output(request.header("accept"))
        told = await self._told(asked.offer, request)
        if isinstance(told, SyncnetError):
            raise told
        return await self._told_response(asked.offer, told, output)

    async def _told(self, offer: Offer, request: Request) -> Told:
        """Make the offer and wait for what is told of it; leave it where the client goes away before."""
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        tell = _handing_over(future)
        self._hub.offer(offer, tell)
        if future.done():
            return future.result()
        watch = asyncio.create_task(self._leave_when_gone(offer, tell, request))
        try:
            return await future
        except asyncio.CancelledError:
            self._hub.leave(offer, tell)
            raise
        finally:
            watch.cancel()

    async def _leave_when_gone(self, offer: Offer, tell: Callable[[Told], None], request: Request) -> None:
        await request.disconnected()
        self._hub.leave(offer, tell)
        tell(GoneError("the client has gone"))  # nobody reads the answer; it ends the request

    async def _told_response(self, offer: Offer, told: Outcome, output: str) -> Response:
        match told:
            case Synced():
                answer = self._answers.of(told, output)
                body = answer.body if isinstance(answer.body, bytes) else await asyncio.shield(answer.body)
                headers = _headers(MEDIA_TYPES[output])
                headers += [("syncnet-id", offer.id), ("syncnet-rank", answer.ranks[offer.id])]
                return Response(200, headers, body)
            case TimedOut():
                return _problem_response("timed-out", timed_out_problem(told))
            case Aborted():
                return _problem_response("aborted", aborted_problem(told))
            case Refused():
                return _problem(told.code, told.reason)
            case Withdrawn():
                return _problem("withdrawn", f"the offer was withdrawn: {told.cause}")

    async def _withdraw(self, request: Request, caller: Caller) -> Response:
        _refuse_body(request)
        namespace, id = read_withdrawal(self._query(request))
        caller.require("sync", namespace)
        if self._hub.owners(namespace, id) - {caller.name}:
            caller.require("admin", namespace)
        effects = await self._effects(lambda done: self._hub.withdraw(namespace, id, done))
        if effects:
            return Response(204, [("cache-control", "no-store")], b"")
        known = self._hub.machine.outcome_of(namespace, id, self._hub.now_ns())
        if known and known[0].owner != caller.name:
            caller.require("admin", namespace)
        if known and isinstance(known[1], Withdrawn):  # by a DELETE before this one, whose answer may have been lost
            return Response(204, [("cache-control", "no-store")], b"")
        if known:
            return _problem("already-over", f"the offer {id} has come to an end; asking again by its id tells which")
        return _problem("unknown-id", f"no offer {id} is pending in the namespace {namespace}")

    async def _abort(self, request: Request, caller: Caller) -> Response:
        query, body = await self._parameters(request)
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

    async def _parameters(self, request: Request) -> tuple[Texts, Texts | Values]:
        """Return what the query and the body say."""
        query = self._query(request)
        if request.method == "POST":
            return query, await self._body(request)
        _refuse_body(request)
        return query, Texts()

    def _query(self, request: Request) -> Texts:
        if len(request.query) > self._limits.url_bytes_max:
            wanted = f"expected a query of at most {self._limits.url_bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {len(request.query)}; a POST has room in its body", "url-too-long")
        return decode_form(_utf8_query(request.query), self._limits.parameters_max)

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
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(set_result, result)

    return hand_over


class _Answer(NamedTuple):
    synced: Synced
    body: bytes | asyncio.Future[bytes]  # YAML takes its time, in a thread
    ranks: dict[str, str]


class _Answers:
    """The encoded answers of the last few syncs: the members of one ask for theirs within one turn of the loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], _Answer] = OrderedDict()

    def of(self, synced: Synced, output: str) -> _Answer:
        key = (
            id(synced),
            output,
        )  # safe as a name: the entry holds on to the sync, so no other can have this id
        answer = self._kept.get(key)
        if answer is None:
            ranks = {member.id: str(rank) for rank, member in enumerate(synced.members)}
            if output == "json":
                body: bytes | asyncio.Future[bytes] = encode_sync(synced, output)
            else:
                body = asyncio.ensure_future(asyncio.to_thread(encode_sync, synced, output))
            answer = self._kept[key] = _Answer(synced, body, ranks)
            if len(self._kept) > _ANSWERS_KEPT:
                self._kept.popitem(last=False)
        return answer


def _headers(media_type: str) -> list[tuple[str, str]]:
    return [("content-type", media_type), ("cache-control", "no-store")]


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
