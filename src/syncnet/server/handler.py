"""The one handler of requests: what each path does, whichever protocol brought the request.

`start` takes a request on any thread. What it asks for is done at once where that is possible: an offer by GET is read,
matched and, if its mates are pending, answered before `start` returns. A body is read first; long work runs on the
event loop or in a thread. The answer always goes through `Request.answer`. The handler never raises: whatever goes
wrong becomes a problem document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.effects import Remembered, Synced, Withdrawn
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import BadBodyError, DrainingError, GoneError, RetryableError
from syncnet.server.access import Access, Caller
from syncnet.server.background import Background
from syncnet.server.request import BODY_HEADERS, Request
from syncnet.server.responses import NO_STORE, Header, Response, headers_of, problem
from syncnet.wire.answers import MEDIA_TYPES, as_yaml, encode_pending, encode_sync, encode_trace
from syncnet.wire.bodies import Texts, Values, decode_body, decode_form
from syncnet.wire.json_body import read_json_body
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import (
    Asked,
    did_you_mean,
    read_abort,
    read_namespace,
    read_offer,
    read_trace,
    read_withdrawal,
)
from syncnet.wire.query import read_query

__all__ = ["Handler"]

_INLINE_BYTES_MAX: Final = 16_384  # decoding a body of this size takes less time than starting a thread
_INLINE_YAML_BYTES_MAX: Final = 1_024  # likewise
_NO_TEXTS: Final = Texts()
_ANY_MEDIA_TYPE: Final = ("", "*/*")
_TEXT: Final = "text/plain; charset=utf-8"
_NO_MORE_COMMANDS: Final = "the server is shutting down and accepts no more commands"


class _Route(NamedTuple):
    """What a path does, by method, and the role that it needs (None: open to all).

    Each function answers the request, now or later, or raises; where it acts in a namespace it checks the role there.
    """

    role: str | None
    methods: dict[str, Callable[[Request, Caller], None]]


class Handler:
    """Answers requests by means of one coordinator, as far as `access` allows.

    `encoders` make the body of a sync, as JSON and then as YAML; a test replaces them.
    """

    encoders: tuple[Callable[[Synced], bytes], Callable[[bytes], bytes]]

    def __init__(
        self,
        coordinator: Coordinator,
        access: Access | None = None,
        limits: Limits = LIMITS,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.background: Background = Background(self._watch, loop)
        self._coordinator = coordinator
        self._access = Access() if access is None else access
        self._limits = limits
        self._url_bytes_max = limits.url_bytes_max
        self.yaml_answer_bytes_max: int = limits.yaml_answer_bytes_max
        self._routes: Final = {
            "/event": _Route("sync", {"GET": self._get_event, "POST": self._post_event, "DELETE": self._withdraw}),
            "/abort": _Route("admin", {"POST": self._abort}),
            "/stats": _Route("observe", {"GET": self._stats, "HEAD": self._stats}),
            "/trace": _Route("observe", {"GET": self._trace, "HEAD": self._trace}),
            "/healthz": _Route(None, {"GET": self._healthz, "HEAD": self._healthz}),
            "/readyz": _Route(None, {"GET": self._readyz, "HEAD": self._readyz}),
            "/openapi.json": _Route(None, {"GET": self._openapi, "HEAD": self._openapi}),
        }
        self._openapi_documents: dict[str, bytes] = {}
        self.encoders = (encode_sync, as_yaml)
        self.encoded_sync: Synced | None = None
        """The sync that was encoded last; `encoded_body` is its body."""
        self.encoded_body: bytes = b""
        self._yaml: tuple[bytes, asyncio.Future[bytes]] | None = None

    @property
    def routes(self) -> dict[str, tuple[str | None, list[str]]]:
        """The role that each path needs (None: open to all), and the methods that it takes."""
        return {path: (route.role, list(route.methods)) for path, route in self._routes.items()}

    def start(self, request: Request) -> None:
        """Do what a request asks for, and answer it, now or later."""
        try:
            caller = self._access.admit(request)
            request.extra_headers = caller.headers
            if caller.is_preflight:
                request.answer(Response(204, [], b""))
                return
            path, method = request.path, request.method
            if path not in self._routes or method not in self._routes[path].methods:
                request.answer(self._no_route(request))
                return
            route = self._routes[path]
            if caller.is_restricted and route.role is not None:
                caller.require(route.role)
            route.methods[method](request, caller)
        except Exception as error:
            request.fail(error)

    def disconnected(self, request: Request) -> None:
        """Note that the client of a request has disconnected; its offer is withdrawn after its linger."""
        if request.offer is not None:
            self._coordinator.disconnect(request.offer, request)
        request.fail(GoneError("the client has disconnected"))  # nobody reads this; it ends the request

    def _no_route(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return problem("unknown-path", f"no {request.path} here; {did_you_mean(request.path, self._routes)}")
        allowed = ", ".join(route.methods)
        detail = f"{request.path} takes {allowed}, got {request.method}"
        return problem("method-not-allowed", detail, headers=[("allow", allowed)])

    async def _watch(self, request: Request) -> None:
        """Look after a request that takes long: a body must come in time, and an offer goes with its client."""
        if request.offer is None and request.method == "POST":
            await asyncio.sleep(self._limits.body_read_s_max)
            if request.offer is None:
                request.stop_reading()
                wanted = f"expected the body within {self._limits.body_read_s_max} s"
                request.fail(BadBodyError(wanted, "slow-body"))
            return
        await request.disconnected()
        self.disconnected(request)

    def _in_background(self, request: Request, work: Coroutine[Any, Any, Response]) -> None:
        """Answer with the response that a coroutine returns."""

        async def respond() -> None:
            try:
                request.answer(await work)
            except Exception as error:
                request.fail(error)

        self.background.spawn(respond())

    # --- /event --------------------------------------------------------------------------------------------

    def _get_event(self, request: Request, caller: Caller) -> None:
        if request.present & BODY_HEADERS:
            request.refuse_body()
        text = request.query
        if len(text) > self._url_bytes_max or not text.isascii():
            self._check_query(text)
        asked = read_query(text, self._limits, caller.name)
        if asked is None:  # what is rare or wrong is read by the table of parameters, which makes the error
            texts = decode_form(text, self._limits.parameters_max)
            asked = read_offer(texts, _NO_TEXTS, limits=self._limits, owner=caller.name)
        self._offer(request, caller, asked)

    def _post_event(self, request: Request, caller: Caller) -> None:
        text = self._query_text(request)

        def then(body: bytes) -> None:
            asked = None
            if not text and len(body) <= _INLINE_BYTES_MAX and request.header("content-type") == "application/json":
                asked = read_json_body(body, self._limits, caller.name)
            if asked is not None:
                self._offer(request, caller, asked)
            else:
                self._with_parameters(request, text, body, offer)

        def offer(query: Texts, body: Texts | Values) -> None:
            self._offer(request, caller, read_offer(query, body, limits=self._limits, owner=caller.name))

        self._read_body(request, then)

    def _offer(self, request: Request, caller: Caller, asked: Asked) -> None:
        """Make the offer that a request asks for, with the request as its waiter."""
        spec, payload, id, output = asked
        if caller.is_restricted:
            caller.require("sync", spec.namespace)
        if output is not None:
            request.output = output
        elif request.accept not in _ANY_MEDIA_TYPE:
            request.output = preferred_output(request.accept)
        coordinator = self._coordinator
        named = id is not None
        offer = Offer(
            spec,
            coordinator.new_id() if id is None else id,
            coordinator.now_ns(),
            payload,
            len(payload),
            named,
            request,
        )
        request.offer = offer
        coordinator.offer(offer)
        if not request.is_answered:
            self.background.watch(request)

    def encode(self, synced: Synced) -> None:
        """Encode the answer to a sync, once for all of its members: they are called one after the other."""
        self.encoded_body = self.encoders[0](synced)
        self.encoded_sync = synced

    def answer_in_yaml(self, request: Request, headers: list[Header], body: bytes) -> None:
        """Answer a sync in YAML. That takes long, so it is made in a thread, once for all members that want it."""
        headers[0] = ("content-type", MEDIA_TYPES["yaml"])

        async def in_yaml() -> Response:
            if self._yaml is None or self._yaml[0] is not body:
                self._yaml = (body, asyncio.ensure_future(asyncio.to_thread(self.encoders[1], body)))
            return Response(200, headers, await asyncio.shield(self._yaml[1]))

        self._in_background(request, in_yaml())

    def _withdraw(self, request: Request, caller: Caller) -> None:
        request.refuse_body()
        namespace, id = read_withdrawal(self._query(request))
        caller.require("sync", namespace)
        if self._coordinator.is_shut_down:
            raise DrainingError(_NO_MORE_COMMANDS)
        owner = None if caller.may("admin", namespace) else caller.name

        def done(result: Sequence[Remembered] | RetryableError) -> None:
            try:
                if isinstance(result, RetryableError):
                    request.fail(result)
                elif result:
                    request.answer(Response(204, [NO_STORE], b""))
                else:
                    request.answer(self._not_withdrawn(caller, namespace, id))
            except Exception as error:
                request.fail(error)

        self._coordinator.withdraw(namespace, id, done, owner=owner)

    def _not_withdrawn(self, caller: Caller, namespace: str, id: str) -> Response:
        """Return the answer to a withdrawal that ended no offer."""
        machine = self._coordinator.machine
        if machine.pending_offer(namespace, id) is not None:
            caller.require("admin", namespace)  # it is an offer of another token
        known = machine.outcome_of(namespace, id, self._coordinator.now_ns())
        if known and known[0].owner != caller.name:
            caller.require("admin", namespace)
        if known and isinstance(known[1], Withdrawn):  # by an earlier DELETE, whose answer may have been lost
            return Response(204, [NO_STORE], b"")
        if known:
            return problem("already-over", f"the offer {id} has ended; asking again by its id returns its outcome")
        return problem("unknown-id", f"no offer {id} is pending in the namespace {namespace}")

    def _abort(self, request: Request, caller: Caller) -> None:
        text = self._query_text(request)

        def abort(query: Texts, body: Texts | Values) -> None:
            now_ns = self._coordinator.now_ns()
            wanted = read_abort(query, body, at_ns=now_ns, owner=caller.name, limits=self._limits)
            caller.require("admin", wanted.namespace)
            if self._coordinator.is_draining:  # withdrawals go on, so that a durable log does not keep the offer
                raise DrainingError(_NO_MORE_COMMANDS)
            self._coordinator.abort(wanted, done)

        def done(result: Sequence[Remembered] | RetryableError) -> None:
            if isinstance(result, RetryableError):
                request.fail(result)
            else:
                body = b'{"aborted":%d}\n' % len(result)
                request.answer(Response(200, headers_of("application/json"), body))

        self._read_body(request, lambda body: self._with_parameters(request, text, body, abort))

    # --- the rest ------------------------------------------------------------------------------------------

    def _stats(self, request: Request, caller: Caller) -> None:
        namespace = read_namespace(self._query(request))
        caller.require("observe", namespace)
        with self._coordinator.lock:
            machine = self._coordinator.machine
            pending, syncs, exhausted = machine.totals(namespace)
            offers = machine.pending(namespace)
        headers = headers_of("application/json")
        headers += [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(exhausted)),
        ]

        async def stats() -> Response:
            return Response(200, headers, await asyncio.to_thread(encode_pending, offers))

        self._in_background(request, stats())

    def _trace(self, request: Request, caller: Caller) -> None:
        wanted = read_trace(self._query(request))
        caller.require("observe", wanted.namespace)
        with self._coordinator.lock:
            syncs = self._coordinator.machine.trace(wanted.namespace, wanted.after, wanted.syncs_max)

        async def trace() -> Response:
            body = await asyncio.to_thread(encode_trace, wanted.namespace, syncs)
            return Response(200, headers_of("application/json"), body)

        self._in_background(request, trace())

    def _readyz(self, request: Request, caller: Caller) -> None:
        _ = caller
        if self._coordinator.is_draining:
            raise DrainingError("the server is shutting down and accepts no more offers")
        request.answer(Response(200, headers_of(_TEXT), b"ready\n"))

    def _healthz(self, request: Request, caller: Caller) -> None:
        _ = caller
        request.answer(Response(200, headers_of(_TEXT), b"ok\n"))

    def _openapi(self, request: Request, caller: Caller) -> None:
        _ = caller
        document = self._openapi_documents.get(request.mount_path)
        if document is None:  # made when first asked for: most servers never are
            from syncnet.server.openapi import openapi_document

            document = openapi_document(self.routes, self._limits, request.mount_path)
            self._openapi_documents[request.mount_path] = document
        request.answer(Response(200, headers_of("application/json"), document))

    # --- reading a request ---------------------------------------------------------------------------------

    def _query(self, request: Request) -> Texts:
        return decode_form(self._query_text(request), self._limits.parameters_max)

    def _query_text(self, request: Request) -> str:
        text = request.query
        if len(text) > self._limits.url_bytes_max or not text.isascii():
            self._check_query(text)
        return text

    def _check_query(self, text: str) -> None:
        """Check a query that is long or not ASCII.

        :raises BadBodyError: it is too long, or not UTF-8.
        """
        bytes_max = self._limits.url_bytes_max
        query = text.encode(errors="surrogateescape")
        query_bytes = len(query)
        if query_bytes > bytes_max:
            wanted = f"expected a query of at most {bytes_max} bytes"
            raise BadBodyError(f"{wanted}, got {query_bytes}; a POST has room in its body", "url-too-long")
        try:
            query.decode()
        except UnicodeDecodeError as error:
            got = f"the byte 0x{query[error.start]:02x} at byte {error.start + 1}"
            raise BadBodyError(f"expected UTF-8 in the query, got {got}", "bad-parameter") from None

    def _read_body(self, request: Request, then: Callable[[bytes], None]) -> None:
        """Read the body of a request and call `then` with it; what goes wrong there is answered."""

        def guarded(body: bytes) -> None:
            if request.is_answered:  # it came too late
                return
            self.background.forget(request)
            try:
                then(body)
            except Exception as error:
                request.fail(error)

        self.background.watch(request)
        request.read_body(self._limits.body_bytes_max, guarded)

    def _with_parameters(
        self, request: Request, text: str, body: bytes, then: Callable[[Texts, Texts | Values], None]
    ) -> None:
        """Call `then` with the parameters of a query and a body; a long body is decoded in a thread."""
        parameters_max = self._limits.parameters_max
        content_type = request.header("content-type")
        if len(body) <= (_INLINE_YAML_BYTES_MAX if "yaml" in content_type.lower() else _INLINE_BYTES_MAX):
            then(decode_form(text, parameters_max), decode_body(content_type, body, self._limits))
            return

        async def decode() -> None:
            try:
                values = await asyncio.to_thread(decode_body, content_type, body, self._limits)
                then(decode_form(text, parameters_max), values)
            except Exception as error:
                request.fail(error)

        self.background.spawn(decode())
