"""The one handler of requests: what each path does, whichever protocol brought it.

A face (`rsgi.py`, `asgi.py`) makes a `Request` out of what its server gives it, and writes the `Response` that it
gets back. The handler never raises: whatever goes wrong becomes a problem document.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from syncnet.core.commands import Cause, Offer
from syncnet.core.effects import Outcome, Refused, Synced, TimedOut, Withdrawn
from syncnet.core.limits import BODY_BYTES_MAX, BODY_READ_S_MAX
from syncnet.errors import PROBLEMS, AccessError, BadBodyError, ParameterError, SyncnetError
from syncnet.hub import Hub
from syncnet.server.access import Access, Asking, Caller
from syncnet.wire.answers import (
    MEDIA_TYPES,
    PROBLEM_MEDIA_TYPE,
    encode_pending,
    encode_problem,
    encode_sync,
    timed_out_problem,
)
from syncnet.wire.bodies import Texts, Values, decode_body, decode_form
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import did_you_mean, read_namespace, read_offer

__all__ = ["BodyTooLargeError", "Handler", "Request", "Response"]

_log = logging.getLogger("syncnet")

_RETRY_AFTER_S: Final = 1
_INLINE_BYTES_MAX: Final = 16_384  # a body up to this size is decoded in less time than a thread takes to start
_ANSWERS_KEPT: Final = 8


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


class _Route(NamedTuple):
    """Which methods a path takes, the role that it wants (None: open to all), and what answers it.

    What answers asks the caller again once it knows the namespace.
    """

    methods: tuple[str, ...]
    role: str | None
    respond: Callable[[Request, Caller], Awaitable[Response]]


class Handler:
    """Answers requests with the help of one hub, as far as the rules of access allow."""

    def __init__(self, hub: Hub, access: Access | None = None) -> None:
        self._hub = hub
        self._access = Access() if access is None else access
        self._answers = _Answers()
        self._routes: Final = {
            "/event": _Route(("GET", "POST"), "sync", self._event),
            "/stats": _Route(("GET", "HEAD"), "observe", self._stats),
            "/healthz": _Route(("GET", "HEAD"), None, self._healthz),
        }

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
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            detail = f"{request.path} takes {allowed}, got {request.method}"
            return _problem("method-not-allowed", detail, headers=[("allow", allowed)])
        try:
            if route.role is not None:
                caller.require(route.role)
            return await route.respond(request, caller)
        except ParameterError as error:
            return _problem(error.code, str(error), parameter=error.parameter)
        except BodyTooLargeError:
            return _problem("too-large", f"expected a body of at most {BODY_BYTES_MAX} bytes, got more")
        except SyncnetError as error:
            return _problem(error.code, str(error))
        except Exception:
            _log.exception("a bug: the answer to %s %s could not be made", request.method, request.path)
            return _problem("internal", "this is a bug in syncnet; its log has the details")

    # --- /event --------------------------------------------------------------------------------------------

    async def _event(self, request: Request, caller: Caller) -> Response:
        query = decode_form(_utf8_query(request.query))
        if request.method != "POST":
            _refuse_body(request)
        body = await _read_body(request) if request.method == "POST" else Texts()
        asked = read_offer(query, body, at_ns=self._hub.now_ns(), offer_id=self._hub.new_id())
        caller.require("sync", asked.offer.namespace)
        output = asked.output or preferred_output(request.header("accept"))
        outcome = await self._outcome(asked.offer, request)
        return await self._outcome_response(asked.offer, outcome, output)

    async def _outcome(self, offer: Offer, request: Request) -> Outcome:
        """Make the offer and wait for its end; take it back where the client goes away before."""
        future = self._hub.offer(offer)
        if future.done():
            return future.result()
        watch = asyncio.create_task(self._withdraw_when_gone(offer, request))
        try:
            return await future
        except asyncio.CancelledError:
            self._hub.withdraw(offer, Cause.DISCONNECTED)
            raise
        finally:
            watch.cancel()

    async def _withdraw_when_gone(self, offer: Offer, request: Request) -> None:
        await request.disconnected()
        self._hub.withdraw(offer, Cause.DISCONNECTED)

    async def _outcome_response(self, offer: Offer, outcome: Outcome, output: str) -> Response:
        match outcome:
            case Synced():
                answer = self._answers.of(outcome, output)
                body = answer.body if isinstance(answer.body, bytes) else await asyncio.shield(answer.body)
                headers = _headers(MEDIA_TYPES[output])
                headers += [("syncnet-id", offer.id), ("syncnet-rank", answer.ranks[offer.id])]
                return Response(200, headers, body)
            case TimedOut():
                return _problem_response("timed-out", timed_out_problem(outcome))
            case Refused():
                return _problem("full", outcome.reason)
            case Withdrawn():
                return _problem("withdrawn", f"the offer was withdrawn: {outcome.cause}")

    # --- the rest ------------------------------------------------------------------------------------------

    async def _stats(self, request: Request, caller: Caller) -> Response:
        namespace = read_namespace(decode_form(_utf8_query(request.query)))
        caller.require("observe", namespace)
        machine = self._hub.machine
        pending, syncs, misses = machine.totals(namespace)
        headers = _headers("application/json")
        headers += [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(misses)),
        ]
        body = await asyncio.to_thread(encode_pending, machine.pending(namespace))
        return Response(200, headers, body)

    async def _healthz(self, request: Request, caller: Caller) -> Response:
        _ = request, caller
        return Response(200, _headers("text/plain; charset=utf-8"), b"ok\n")


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
    if status == 503:
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


async def _read_body(request: Request) -> Texts | Values:
    try:
        async with asyncio.timeout(BODY_READ_S_MAX):
            body = await request.body(BODY_BYTES_MAX)
    except TimeoutError:
        raise BadBodyError(f"expected the body within {BODY_READ_S_MAX:g} s", "slow-body") from None
    content_type = request.header("content-type")
    if len(body) <= _INLINE_BYTES_MAX:
        return decode_body(content_type, body)
    return await asyncio.to_thread(decode_body, content_type, body)
