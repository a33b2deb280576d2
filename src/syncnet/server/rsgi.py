"""The RSGI face: what granian calls for every request (RSGI 1.x, docs/spec/RSGI.md of granian)."""

from __future__ import annotations

from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError

from syncnet.errors import BadBodyError
from syncnet.server.handler import BodyTooLargeError, Handler

__all__ = ["RSGIApp"]

_LENGTH_DIGITS_MAX = 20


class _RSGIRequest:
    """A request as RSGI brings it: `scope` says what, `protocol` has the body and the connection."""

    __slots__ = ("_headers", "_protocol", "_scope", "left_unread", "method", "path", "query")

    def __init__(self, scope: Any, protocol: Any) -> None:
        self.method: str = scope.method
        self.path: str = scope.path
        self.query: bytes = scope.query_string.encode()
        self.left_unread = self.method == "POST"  # a body, until somebody has read it
        self._scope = scope
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
        self.left_unread = False
        try:
            body: bytes = await self._protocol()
        except (ProtocolClosed, ProtocolError):
            raise BadBodyError("the body broke off") from None
        return body

    async def disconnected(self) -> None:
        await self._protocol.client_disconnect()


class RSGIApp:
    """Wraps a handler for granian."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request. The answer is handed over, not waited for, so a slow reader delays nobody."""
        request = _RSGIRequest(scope, protocol)
        response = await self._handler.respond(request)
        if request.left_unread:  # granian ends such a connection, and a client must know before it uses it again
            response.headers.append(("connection", "close"))
        protocol.response_bytes(response.status, response.headers, response.body)
