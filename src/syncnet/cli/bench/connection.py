"""One connection of `syncnet bench`: it sends a request that is ready as bytes, and calls back with the response.

A load generator that is slower than the server measures itself. Therefore the usual response of a syncnet server, a
head with a `content-length` and a body, is parsed here. All else that HTTP/1.1 allows, and that proxies use, goes to
h11. This module does not interpret the body of a response, and does not decide what is requested and when.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

import h11

from syncnet.client.answers import Answer

__all__ = ["Connection", "ResponseReader", "now_s"]

now_s: Callable[[], float] = time.perf_counter

_HEAD_END: Final = b"\r\n\r\n"
_PLAIN_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_NOT_PLAIN: Final = re.compile(rb"\r\n(?:transfer-encoding|connection):", re.IGNORECASE)
_HEAD_BYTES_MAX: Final = 65_536


class ResponseReader:
    """Parses responses, one at a time.

    `is_last` is true after a response that ends its connection.
    """

    def __init__(self) -> None:
        self._data = b""
        self._http: h11.Connection | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self.is_last: bool = False

    def read(self, data: bytes) -> Answer | None:
        """Take some bytes, or none at the end of the connection; return the response once it is complete.

        :raises ValueError: the bytes are not an HTTP response.
        """
        if self._http is not None:
            return self._read_any(data)
        self._data = self._data + data if self._data else data
        end = self._data.find(_HEAD_END)
        if end < 0 and data:
            if len(self._data) > _HEAD_BYTES_MAX:
                raise ValueError(f"expected a head of at most {_HEAD_BYTES_MAX} bytes, got more")
            return None
        head = self._data[: end + 2]
        start, length = _PLAIN_HEAD.match(head), _LENGTH.search(head)
        if end < 0 or start is None or length is None or start[1] in (b"204", b"304") or _NOT_PLAIN.search(head):
            return self._read_any(self._data)
        size = end + len(_HEAD_END) + int(length[1])
        if len(self._data) < size:
            if not data:
                raise ValueError("the response broke off")
            return None
        if len(self._data) > size:
            raise ValueError("expected one response, got more")
        body, self._data = self._data[end + len(_HEAD_END) :], b""
        return Answer(int(start[1]), _headers(head), body)

    def _read_any(self, data: bytes) -> Answer | None:
        """Do the same as `read`, for all of HTTP/1.1."""
        try:
            if self._http is None:
                self._http = h11.Connection(h11.CLIENT)
                self._http.send(h11.Request(method="POST", target="/", headers=[("Host", ""), ("Content-Length", "0")]))
                self._http.send(h11.EndOfMessage())
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                    self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return self._response(self._http)
        except h11.RemoteProtocolError as error:
            raise ValueError(f"expected HTTP, but: {error}") from None

    def _response(self, http: h11.Connection) -> Answer:
        response = Answer(self._status, self._headers, bytes(self._body))
        self.is_last = http.their_state is not h11.DONE or bool(http.trailing_data[0])
        self._http, self._data = None, b""
        self._headers, self._body = {}, bytearray()
        return response


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:-1]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Connection(asyncio.Protocol):
    """One connection, one request at a time.

    `on_response` is called with the response. `on_lost` is called with a kind and a message if the connection is lost
    before the response is complete. Neither is called after `close`.
    """

    def __init__(self, on_response: Callable[[Answer], None], on_lost: Callable[[str, str], None]) -> None:
        self._on_response = on_response
        self._on_lost = on_lost
        self._reader = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self.is_waiting: bool = False
        self.idle_since_s: float = now_s()

    @property
    def is_open(self) -> bool:
        """Return whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Send a request."""
        self.is_waiting = True
        if self._transport is None or self._transport.is_closing():
            self._lost("connection-lost", "the connection was closed")
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Close the connection; the server then withdraws an offer that is pending on it."""
        self.is_waiting = False
        if self._transport is not None:
            self._transport.abort()  # does not wait for data that is still to be sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Implement `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Implement `asyncio.Protocol`."""
        if not self.is_waiting:  # bytes without a request
            self.close()
            return
        try:
            response = self._reader.read(data)
        except ValueError as error:
            self._lost("not-http", str(error))
            return
        if response is not None:
            self._received(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """Implement `asyncio.Protocol`."""
        if not self.is_waiting:
            return
        if exc is None:  # the end of the connection may be the end of the response
            try:
                response = self._reader.read(b"")
            except ValueError:
                response = None
            if response is not None:
                self._received(response)
                return
        self._lost("connection-lost", str(exc) if exc else "the connection was closed before the response was complete")

    def _received(self, response: Answer) -> None:
        self.is_waiting = False
        self.idle_since_s = now_s()
        if self._reader.is_last:
            self.close()
        self._on_response(response)

    def _lost(self, kind: str, message: str) -> None:
        self.close()
        self._on_lost(kind, message)
