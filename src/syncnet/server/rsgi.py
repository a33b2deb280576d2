"""The RSGI face: what granian calls for every request (RSGI 1.x, docs/spec/RSGI.md of granian)."""

from __future__ import annotations

import asyncio
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError

from syncnet.errors import BadBodyError
from syncnet.server.handler import BodyTooLargeError, Handler
from syncnet.server.sweep import Sweep, connection

__all__ = ["RSGIApp", "RequestCounts"]

_ERRORS = 400
_LENGTH_DIGITS_MAX = 20
_COUNTED_CONNECTIONS = 4_096


class _RSGIRequest:
    """A request as RSGI brings it: `scope` says what, `protocol` has the body and the connection."""

    __slots__ = ("_headers", "_protocol", "_scope", "_sweep", "_was_read", "method", "path", "query")

    def __init__(self, scope: Any, protocol: Any, sweep: Sweep) -> None:
        self.method: str = scope.method
        self.path: str = scope.path
        self.query: bytes = scope.query_string.encode()
        self._was_read = False
        self._scope = scope
        self._sweep = sweep
        self._headers = scope.headers
        self._protocol = protocol

    @property
    def scheme(self) -> str:
        return str(self._scope.scheme)

    def header(self, name: str) -> str:
        value: str = self._headers.get(name, "")
        return value

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

    def leaves_a_body(self) -> bool:
        """Tell whether a body was not read: granian then ends the connection, and the client must be told."""
        if self._was_read:
            return False
        return bool(self.header("content-length").lstrip("0") or self.header("transfer-encoding"))

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
        """Count a request of `client`; tell whether its connection is to be closed after the answer."""
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
    """Wraps a handler for granian; after so many requests a connection is closed."""

    def __init__(self, handler: Handler, requests_per_connection_max: int) -> None:
        self._handler = handler
        self._counts = RequestCounts(requests_per_connection_max)
        self._sweep = Sweep()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request. The answer is handed over, not waited for, so a slow reader delays nobody."""
        is_last = self._counts.is_last(scope.client)
        request = _RSGIRequest(scope, protocol, self._sweep)
        response = await self._handler.respond(request)
        if is_last or (response.status >= _ERRORS and request.leaves_a_body()):
            response.headers.append(("connection", "close"))
        protocol.response_bytes(response.status, response.headers, response.body)
