"""The one handler of requests: what each path does, whichever protocol brought the request.

`start` takes a request on any thread. What it asks for is done at once where that is possible: an offer by GET is read,
matched and, if its mates are pending, answered before `start` returns. A body is read first; long work runs on the
event loop or in a thread. The answer always goes through `Request.answer`. The handler never raises: whatever goes
wrong becomes a problem document.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.effects import Remembered, Synced, Withdrawn
from syncnet.core.limits import LIMITS, Limits
from syncnet.errors import PROBLEMS, DrainingError, GoneError, RetryableError
from syncnet.server.access import Access, Caller
from syncnet.server.background import Background
from syncnet.server.body_budget import BodyBudget
from syncnet.server.explain import Explanations
from syncnet.server.page import PAGE_PATHS, Page
from syncnet.server.pages import from_node
from syncnet.server.reports import Reports
from syncnet.server.request import BODY_HEADERS, Request
from syncnet.server.responses import NO_STORE, Header, Response, headers_of, problem, problem_of
from syncnet.server.shares import Shares
from syncnet.wire.answers import MEDIA_TYPES, as_yaml, encode_sync
from syncnet.wire.bodies import Texts, Values, decode_body, decode_form
from syncnet.wire.json_body import read_json_body
from syncnet.wire.negotiation import preferred_output
from syncnet.wire.parameters import Asked, did_you_mean, read_abort, read_offer, read_withdrawal
from syncnet.wire.query import read_query

__all__ = ["Handler"]

_INLINE_BYTES_MAX: Final = 16_384  # decoding a body of this size takes less time than starting a thread
_BYTES_PER_STEP: Final = 100  # decoding JSON, roughly
_STEPS_PER_YAML_BYTE: Final = 4
_SCANNED_PER_STEP: Final = 10  # pending offers whose actor is compared
_INLINE_YAML_BYTES_MAX: Final = 1_024  # likewise
_SHARED_BYTES_MIN: Final = 65_536  # a copy of a smaller answer takes no more memory than a connection
_NO_TEXTS: Final = Texts()
_HELD_S_MAX: Final = 0.25  # a refusal that comes later slows down a client that repeats it in a loop
_ANY_MEDIA_TYPE: Final = ("", "*/*")
_NO_MORE_COMMANDS: Final = "the server is shutting down and accepts no more commands"

_Action: TypeAlias = Callable[[Request], None]
"""Answers a request, now or later, or raises; where it acts in a namespace it checks the role there."""


class _Route(NamedTuple):
    """What a path does, by method, and the role that it needs (None: open to all)."""

    role: str | None
    methods: dict[str, _Action]


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
        self.background: Background = Background(limits.body_read_s_max, loop)
        self.bodies: BodyBudget = BodyBudget(limits.bodies_bytes_max)
        self.shares: Shares = Shares(limits)
        self.requests_total: int = 0
        self.problems: dict[str, int] = dict.fromkeys(PROBLEMS, 0)
        """How many responses were problem documents, by code."""
        self.output_left_out: Callable[[], int] | None = None
        """Returns how many changes were left out of standard output, where they are written there."""
        self.circles: Callable[[], dict[bool, int]] | None = None
        """Returns how many circles there are, certain (True) and possible ones, where something looks for them."""
        self.node_name: str = ""
        """The name of this node of a cluster, for the header `Syncnet-Node`; empty without a cluster."""
        self._counting = threading.Lock()
        self._coordinator = coordinator
        self._access = Access() if access is None else access
        self._limits = limits
        self._url_bytes_max = limits.url_bytes_max
        self.yaml_answer_bytes_max: int = limits.yaml_answer_bytes_max
        explanations = Explanations(coordinator, self.background, limits)
        reports = Reports(coordinator, self.background, limits, self._access)
        self._reports: Reports = reports
        self._routes: dict[str, _Route] = {
            "/event": _Route("sync", {"GET": self._get_event, "POST": self._read_body, "DELETE": self._withdraw}),
            "/abort": _Route("admin", {"POST": self._read_body}),
            "/explain": _Route("observe", {"GET": explanations.explain, "HEAD": explanations.explain}),
            "/namespaces": _Route("observe", {"GET": explanations.namespaces, "HEAD": explanations.namespaces}),
            "/stats": _Route("observe", {"GET": reports.stats, "HEAD": reports.stats}),
            "/trace": _Route("observe", {"GET": reports.trace, "HEAD": reports.trace}),
            "/metrics": _Route("observe", {"GET": reports.metrics, "HEAD": reports.metrics}),
            "/livez": _Route(None, {"GET": reports.healthz, "HEAD": reports.healthz}),
            "/healthz": _Route(None, {"GET": reports.healthz, "HEAD": reports.healthz}),
            "/readyz": _Route(None, {"GET": reports.readyz, "HEAD": reports.readyz}),
            "/openapi.json": _Route(None, {"GET": reports.openapi, "HEAD": reports.openapi}),
        }
        page = Page()
        self._routes.update({path: _Route(None, {"GET": page.file, "HEAD": page.file}) for path in PAGE_PATHS})
        self.encoders = (encode_sync, as_yaml)
        self.encoded_sync: Synced | None = None
        """The sync that was encoded last; `encoded_body` is its body."""
        self.encoded_body: bytes = b""
        self.is_encoded_large: bool = False
        self._yaml_of: bytes = b""
        self._yaml: bytes = b""

    @property
    def routes(self) -> dict[str, tuple[str | None, list[str]]]:
        """The role that each path needs (None: open to all), and the methods that it takes."""
        return {path: (route.role, list(route.methods)) for path, route in self._routes.items()}

    def start(self, request: Request) -> None:
        """Do what a request asks for, and answer it, now or later."""
        self.requests_total += 1
        try:
            caller = request.caller = self._access.admit(request)
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
            if self.shares.debtors and route.role is not None and self._refused_to_debtor(request):
                return
            route.methods[method](request)
        except Exception as error:
            request.fail(error)

    def end_streams(self) -> None:
        """End all streams, each after its last whole happening."""
        self._reports.end_streams()

    def count_problem(self, code: str) -> None:
        """Count a response that is a problem document; any thread may call."""
        with self._counting:
            self.problems[code] += 1

    def _refused_to_debtor(self, request: Request) -> bool:
        """Refuse a request whose client has used up its share of work, after a while; return whether that was so."""
        wait_s = self.shares.wait_s(request.client)
        if not wait_s:
            return False
        detail = f"the requests of {request.client} took too much work; expected none for {math.ceil(wait_s)} s"
        response = problem("rate-limited", detail, headers=self.shares.headers(wait_s))
        self.background.later(min(wait_s, _HELD_S_MAX), request, response)
        return True

    def disconnected(self, request: Request) -> None:
        """Note that the client of a request has disconnected; its offer is withdrawn after its linger."""
        if request.offer is not None:
            self._coordinator.disconnect(request.offer, request)
        gone = problem_of(GoneError("the client has disconnected"))  # nobody reads this; it ends the request
        request.answer(gone._replace(problem=""))  # and is not counted

    def _no_route(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            known = [path for path in self._routes if path not in PAGE_PATHS]
            return problem("unknown-path", f"no {request.path} here; {did_you_mean(request.path, known)}")
        allowed = ", ".join(route.methods)
        detail = f"{request.path} takes {allowed}, got {request.method}"
        return problem("method-not-allowed", detail, headers=[("allow", allowed)])

    # --- /event --------------------------------------------------------------------------------------------

    def _get_event(self, request: Request) -> None:
        if request.present & BODY_HEADERS:
            request.refuse_body()
        text = request.query
        if len(text) > self._url_bytes_max or not text.isascii():
            request.check_query(self._url_bytes_max)
        asked = read_query(text, self._limits, request.caller.name)
        if asked is None:  # what is rare or wrong is read by the table of parameters, which makes the error
            self._offer_by_table(request, _NO_TEXTS)
        else:
            self._offer(request, asked)

    def _post_event(self, request: Request, body: bytes) -> None:
        if self.shares.debtors and self._refused_to_debtor(request):  # by what came while the body did
            return
        if (
            not request.query
            and len(body) <= _INLINE_BYTES_MAX
            and request.header("content-type") == "application/json"
        ):
            asked = read_json_body(body, self._limits, request.caller.name)
            if asked is not None:
                self._offer(request, asked)
                return
        self._decode(request, body, self._offer_by_table)

    def _offer_by_table(self, request: Request, body: Texts | Values) -> None:
        query = decode_form(request.query, self._limits.parameters_max)
        self._offer(request, read_offer(query, body, limits=self._limits, owner=request.caller.name))

    def _offer(self, request: Request, asked: Asked) -> None:
        """Make the offer that a request asks for, with the request as its waiter."""
        spec, payload, id, output = asked
        caller = request.caller
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
        self.is_encoded_large = len(self.encoded_body) > _SHARED_BYTES_MIN
        self.encoded_sync = synced

    def answer_in_yaml(self, request: Request, headers: list[Header], body: bytes) -> None:
        """Answer a sync in YAML. That takes long, so it is made in a thread."""
        headers[0] = ("content-type", MEDIA_TYPES["yaml"])
        self.background.in_thread("yaml", request, Request.answer, self._in_yaml, headers, body)

    def _in_yaml(self, headers: list[Header], body: bytes) -> Response:
        """Return the answer in YAML, made once for all members of a sync that want it."""
        if self._yaml_of is not body:
            self._yaml = self.encoders[1](body)
            self._yaml_of = body
        return Response(200, headers, self._yaml)

    def _withdraw(self, request: Request) -> None:
        request.refuse_body()
        namespace, id = read_withdrawal(request.parameters(self._limits))
        caller = request.caller
        caller.require("sync", namespace)
        if self._coordinator.is_shut_down:
            raise DrainingError(_NO_MORE_COMMANDS)
        owner = None if caller.may("admin", namespace) else caller.name
        self._coordinator.withdraw(namespace, id, partial(self._withdrawn, request, namespace, id), owner=owner)

    def _withdrawn(
        self, request: Request, namespace: str, id: str, result: Sequence[Remembered] | RetryableError
    ) -> None:
        try:
            if isinstance(result, RetryableError):
                request.fail(result)
            elif result:
                request.answer(Response(204, [NO_STORE], b""))
            else:
                request.answer(self._not_withdrawn(request.caller, namespace, id))
        except Exception as error:
            request.fail(error)

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

    def _post_abort(self, request: Request, body: bytes) -> None:
        self._decode(request, body, self._abort)

    def _abort(self, request: Request, body: Texts | Values) -> None:
        query = decode_form(request.query, self._limits.parameters_max)
        now_ns, caller = self._coordinator.now_ns(), request.caller
        wanted = read_abort(query, body, at_ns=now_ns, owner=caller.name, limits=self._limits)
        caller.require("admin", wanted.namespace)
        if self._coordinator.is_draining:  # withdrawals go on, so that a durable log does not keep the offer
            raise DrainingError(_NO_MORE_COMMANDS)
        if wanted.actor:  # all pending offers of the namespace are looked at
            request.charge(self._coordinator.machine.totals(wanted.namespace)[0] // _SCANNED_PER_STEP)
        self._coordinator.abort(wanted, partial(_aborted, request))

    # --- bodies --------------------------------------------------------------------------------------------

    def _read_body(self, request: Request) -> None:
        """Read the body of a POST, and then do what it asks for."""
        request.check_query(self._url_bytes_max)
        request.use_body = self._post_event if request.path == "/event" else self._post_abort
        self.background.watch(request)
        request.read_body(self._limits.body_bytes_max)

    def _decode(self, request: Request, body: bytes, use: Callable[[Request, Texts | Values], None]) -> None:
        """Decode a body and call `use` with its parameters; a long one is decoded in a thread."""
        content_type = request.header("content-type")
        is_yaml = "yaml" in content_type.lower()
        yaml_bytes = min(len(body), self._limits.yaml_bytes_max)  # more are refused, unread
        request.charge(yaml_bytes * _STEPS_PER_YAML_BYTE if is_yaml else len(body) // _BYTES_PER_STEP)
        if len(body) <= (_INLINE_YAML_BYTES_MAX if is_yaml else _INLINE_BYTES_MAX):
            use(request, decode_body(content_type, body, self._limits))
            return
        pool = "yaml" if is_yaml else "bodies"
        self.background.in_thread(pool, request, use, decode_body, content_type, body, self._limits)


def _aborted(request: Request, result: Sequence[Remembered] | RetryableError) -> None:
    if isinstance(result, RetryableError):
        request.fail(result)
    else:
        response = Response(200, headers_of("application/json"), b'{"aborted":%d}\n' % len(result))
        request.answer(from_node(request, response))
