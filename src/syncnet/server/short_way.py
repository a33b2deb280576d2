"""The short way of a plain offer: from the request as granian has it to the answer of a pair, in half the time.

Most requests are a GET that names an event and an actor and has the headers that every client sends. For such there is
nothing to decide, so all the layers that decide are passed by: the query is read by one expression, two offers meet in
the lane (core/lane.py), and their answer is written at once. Whatever is not so goes the long way, through the handler,
and gets the same answers: tests/server/test_short_way.py sends the same requests both ways.

It runs on granian's thread. One long function, because to call a function takes longer than what most of its lines do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.limits import Limits
from syncnet.core.terms import Met, PlainTerms, Rested
from syncnet.errors import DrainingError
from syncnet.server.access import Access
from syncnet.server.pending import PendingRequest, PendingRequests
from syncnet.server.responses import JSON_HEADERS
from syncnet.server.sync_answers import RANKS
from syncnet.wire.answers import encode_pair
from syncnet.wire.parameters import read_plain

__all__ = ["ShortWay"]

_USUAL_HEADERS: Final = frozenset(("host", "user-agent", "accept", "accept-encoding", "connection"))
_JSON_ACCEPTED: Final = ("*/*", "application/json")
_CONTENT_TYPE, _NO_STORE = JSON_HEADERS
_FIRST, _SECOND = RANKS[:2]


class _PlainWaiting(PendingRequest):
    """A request whose offer may rest in the lane; that is made where somebody needs it."""

    __slots__ = ("at_ns", "protocol", "terms")

    def __init__(
        self, waiters: PendingRequests, client: Any, protocol: Any, terms: PlainTerms, id: str, at_ns: int
    ) -> None:
        super().__init__(waiters, client, client.reply, "json", id, None)
        self.protocol = protocol
        self.terms = terms
        self.at_ns = at_ns

    def core_offer(self) -> Offer:
        if self._offer is None:
            self._offer = self.terms.offer(self.id, self.at_ns)
        return self._offer


class ShortWay:
    """The short way into one hub, on which others do not share the lane."""

    def __init__(
        self, waiters: PendingRequests, access: Access, limits: Limits, client_of: Callable[[Any, Any], Any]
    ) -> None:
        self._hub = hub = waiters.hub
        self._lane: Any = hub.take_lane()
        self._lock = hub.reading
        self._is_observed = hub.is_observed
        self._waiters = waiters
        self._access = access
        self._limits = limits
        self._client_of = client_of
        self._ids: list[str] = []

    def take(self, scope: Any, protocol: Any) -> bool:
        """Answer a request, now or later; return False where nothing was done, and it must go the long way."""
        lane = self._lane
        terms = read_plain(scope.query_string, self._limits)
        if terms is None or lane is None or scope.path != "/event" or scope.method != "GET":
            return False
        headers = scope.headers
        names = headers.keys()
        if not _USUAL_HEADERS.issuperset(names) or not self._access.is_open_to(headers.get("host")):
            return False
        if "accept" in names and headers.get("accept") not in _JSON_ACCEPTED:
            return False
        if not self._ids:
            self._ids = Coordinator.new_ids()
        id = self._ids.pop()
        with self._lock:
            at_ns = self._hub.now_ns()
            first = lane.meet(terms, id, at_ns)
            if first is None:
                self._wait(_PlainWaiting(self._waiters, self._client_of(scope, protocol), protocol, terms, id, at_ns))
                return True
            first.end()
            number = lane.number
            if self._is_observed:
                self._hub.observe(Met((number, first.terms, first.id, first.at_ns, terms, id, at_ns)))
        actor, first_actor, first_id = terms.actor, first.terms.actor, first.id
        body = encode_pair(terms.key[1], number, first_id, first_actor, id, actor)
        first.protocol.response_bytes(200, [_CONTENT_TYPE, _NO_STORE, ("syncnet-id", first_id), _FIRST], body)
        protocol.response_bytes(200, [_CONTENT_TYPE, _NO_STORE, ("syncnet-id", id), _SECOND], body)
        return True

    def _wait(self, waiting: _PlainWaiting) -> None:
        if self._lane.rest(waiting):
            if self._is_observed:
                self._hub.observe(Rested(waiting.terms, waiting.id, waiting.at_ns))
        else:
            try:
                self._hub.offer(waiting.core_offer(), waiting.tell)
            except DrainingError as error:
                waiting.tell(error)
        if not waiting.is_over:
            self._waiters.watch(waiting)
