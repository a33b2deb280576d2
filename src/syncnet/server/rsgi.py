"""The RSGI face: what granian gives us for every request (RSGI 1.x, docs/spec/RSGI.md of granian)."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import Limits
from syncnet.errors import BadBodyError
from syncnet.server.access import Access
from syncnet.server.handler import BodyTooLargeError, Handler
from syncnet.server.pending import PendingRequests
from syncnet.server.reaper import ConnectionReaper, connection
from syncnet.server.responses import Response
from syncnet.server.short_way import ShortWay

__all__ = ["RSGIApp", "RequestCounts"]

_ERRORS = 400
_LENGTH_DIGITS_MAX = 20
_COUNTED_CONNECTIONS = 4_096


class _Client:
    """Whoever made a request that RSGI brought."""

    __slots__ = ("_protocol", "_scope", "_sweep")

    def __init__(self, scope: Any, protocol: Any, sweep: ConnectionReaper) -> None:
        self._scope = scope
        self._protocol = protocol
        self._sweep = sweep

    def reply(self, response: Response) -> None:
        """Hand over the answer, on whichever thread; it is not waited for, so a slow reader delays nobody."""
        self._protocol.response_bytes(*response)

    async def disconnected(self) -> None:
        watching = self._sweep.watch(connection(self._scope.client, self._scope.server))
        try:
            await self._protocol.client_disconnect()
        except asyncio.CancelledError:
            if not self._sweep.forget(watching):
                raise
            watching.uncancel()
        else:
            self._sweep.forget(watching)


class _Request(_Client):
    """A request as RSGI brings it: `scope` says what, `protocol` has the body and the connection.

    What granian is asked for it makes anew, so each is asked for once, and the headers by the names of those that are
    there. After the answer to one that `is_last` the connection is closed.
    """

    __slots__ = ("_headers", "_is_last", "_names", "_was_read", "method", "path")

    def __init__(self, scope: Any, protocol: Any, sweep: ConnectionReaper, *, is_last: bool) -> None:
        super().__init__(scope, protocol, sweep)
        self.method: str = scope.method
        self.path: str = scope.path
        self._is_last = is_last
        self._was_read = False
        self._headers = headers = scope.headers
        self._names: list[str] = headers.keys()

    @property
    def scheme(self) -> str:
        return str(self._scope.scheme)

    def query_text(self) -> str:
        text: str = self._scope.query_string
        return text

    def header(self, name: str) -> str:
        if name not in self._names:
            return ""
        value: str = self._headers.get(name, "")
        return value

    def reply(self, response: Response) -> None:
        """Hand over the answer, see above; and say so where the connection ends."""
        if self._is_last or (response.status >= _ERRORS and self._leaves_a_body()):
            response.headers.append(("connection", "close"))
        super().reply(response)

    async def body(self, bytes_max: int) -> bytes:
        """Return the body, whole: granian tells of one that broke off only where it is not read in chunks.

        So its length must be known before it is read, and bodies without one are not taken.
        """
        if self.header("transfer-encoding"):
            raise BadBodyError("expected a body with a Content-Length, got a chunked one", "length-required")
        if int(self.header("content-length")[:_LENGTH_DIGITS_MAX] or 0) > bytes_max:
            raise BodyTooLargeError
        self._was_read = True
        try:
            body: bytes = await self._protocol()
        except (ProtocolClosed, ProtocolError):
            raise BadBodyError("the body broke off") from None
        return body

    def _leaves_a_body(self) -> bool:
        """Return whether a body was not read: granian then ends the connection, and the client must be told."""
        if self._was_read:
            return False
        return bool(self.header("content-length").lstrip("0") or self.header("transfer-encoding"))


class RequestCounts:
    """How many requests came on each connection, by the address of its client.

    RSGI tells neither that a connection is new nor that it has ended, so addresses are forgotten when many others came
    after their last request: two dicts, the younger becomes the elder when it is full. With more than
    `_COUNTED_CONNECTIONS` taking turns a connection may so begin anew, and it lives longer; and where an address comes
    back with another connection, that one ends sooner. Neither loses a request.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def is_last(self, client: str) -> bool:
        """Count a request of `client`; return whether its connection is to be closed after the answer."""
        young = self._young
        requests = young.get(client)
        if requests is None:
            requests = self._old.pop(client, 0)
            if len(young) >= _COUNTED_CONNECTIONS:
                self._old, self._young = young, {}
                young = self._young
        requests += 1
        if requests >= self._requests_max:
            young.pop(client, None)
            return True
        young[client] = requests
        return False


class RSGIApp:
    """Serves a hub to granian; after so many requests a connection is closed. `loop` is for what cannot do without."""

    def __init__(self, hub: Coordinator, access: Access, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self._waiters = PendingRequests(hub, loop)
        self._handler = Handler(hub, access, limits, self._waiters)
        self._short_way = ShortWay(self._waiters, access, limits, self._client_of)
        self._counts = RequestCounts(limits.requests_per_connection_max)
        self._sweep = ConnectionReaper()

    def take(self, scope: Any, protocol: Any) -> None:
        """Take a request from granian, on a thread of granian's, one at a time; it is answered when there is an answer.

        What can be answered without an event loop is not given to one: that would cost more than the answer.
        """
        is_last = self._counts.is_last(scope.client)
        if not is_last and self._short_way.take(scope, protocol):
            return
        request = _Request(scope, protocol, self._sweep, is_last=is_last)
        if not self._handler.ask(request, request.reply):
            self._waiters.spawn(self._respond(request))

    async def _respond(self, request: _Request) -> None:
        request.reply(await self._handler.respond(request))

    def _client_of(self, scope: Any, protocol: Any) -> _Client:
        return _Client(scope, protocol, self._sweep)
