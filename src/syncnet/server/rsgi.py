"""The RSGI adapter: what granian gives us for every request (RSGI 1.x, docs/spec/RSGI.md of granian)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import Limits
from syncnet.errors import BadBodyError
from syncnet.server.access import Access
from syncnet.server.handler import Handler
from syncnet.server.reaper import ConnectionReaper, connection
from syncnet.server.request import LOOKED_AT, Request
from syncnet.server.responses import Header
from syncnet.server.rsgi_writer import RSGIWriter
from syncnet.server.shared_bodies import SharedBodies

__all__ = ["RSGIApp", "RequestCounts"]

_ERRORS = 400
_COUNTED_CONNECTIONS = 4_096
_CLOSE: Header = ("connection", "close")


class _RSGIRequest(Request):
    """A request as RSGI brings it: `scope` describes it, `protocol` has the body and the connection.

    Granian makes a new object for each attribute that is read, so each is read once, in `RSGIApp.take`. After the
    answer to a request that `is_last` the connection is closed.
    """

    __slots__ = ("headers", "is_last", "protocol", "reading", "reaper", "scope", "shared_bodies", "was_read")

    headers: Any
    is_last: bool
    protocol: Any
    reading: Any
    reaper: ConnectionReaper
    shared_bodies: SharedBodies
    scope: Any
    was_read: bool

    @property
    def http_version(self) -> str:
        return str(self.scope.http_version)

    @property
    def scheme(self) -> str:
        return str(self.scope.scheme)

    @property
    def address(self) -> str:
        client: str = self.scope.client
        return client.rpartition(":")[0]

    def header(self, name: str) -> str:
        value: str = self.headers.get(name, "")
        return value

    def send(self, status: int, headers: list[Header], body: bytes) -> None:
        if self.is_last or (status >= _ERRORS and self._leaves_a_body()):
            headers.append(_CLOSE)
        self.protocol.response_bytes(status, headers, body)

    def send_shared(self, headers: list[Header], body: bytes, readers: int) -> None:
        path = self.shared_bodies.path_of(body, readers)
        if path is None or self.is_last:
            self.send(200, headers, body)
        else:
            headers.append(("content-length", str(len(body))))
            self.protocol.response_file(200, headers, path)

    def send_stream(self, run: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        scope = self.scope
        self.handler.background.spawn(run(RSGIWriter(self.protocol, scope.client, scope.server)))

    def read_body(self, bytes_max: int) -> None:
        """Read the body, whole: granian reports one that broke off only where it is not read in chunks.

        So its length must be known before it is read, and bodies without one are refused. Granian's awaitable calls
        back on the event loop, so that no task is needed.
        """
        if self.header("transfer-encoding"):
            raise BadBodyError("expected a body with a Content-Length, got a chunked one", "length-required")
        self.reserve_body(bytes_max)
        self.was_read = True
        self.reading = self.protocol()
        self.reading.add_done_callback(self._body_read)

    def _body_read(self, reading: Any) -> None:
        self.reading = None  # breaks a reference cycle through an object that the garbage collector cannot enter
        self.body_over()
        try:
            body: bytes = reading.result()
        except asyncio.CancelledError:
            return
        except (ProtocolClosed, ProtocolError):
            self.fail(BadBodyError("the body broke off"))
        except Exception as error:
            self.fail(error)
        else:
            self.body_came(body)

    def stop_reading(self) -> None:
        if self.reading is not None:
            self.reading.cancel()

    def disconnected(self) -> Awaitable[None]:
        scope = self.scope
        return self.reaper.until_disconnected(self.protocol, connection(scope.client, scope.server))

    def _leaves_a_body(self) -> bool:
        """Return whether a body was not read: granian then closes the connection, and the client must know."""
        return not self.was_read and self.has_body()


class RequestCounts:
    """How many requests came on each connection, by the address of its client.

    RSGI reports neither that a connection is new nor that it has ended, so addresses are forgotten when many others
    came after their last request: there are two dicts, and when the newer one is full it replaces the older one. With
    more than `_COUNTED_CONNECTIONS` connections that take turns, a count may begin anew, and that connection lives
    longer; and where a new connection has the address of an old one, it ends sooner. Neither loses a request.
    """

    def __init__(self, requests_max: int) -> None:
        self._requests_max = requests_max
        self._new: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def is_last(self, client: str) -> bool:
        """Count a request of `client`; return whether its connection is to be closed after the answer."""
        new = self._new
        if client in new:
            requests = new[client] + 1
        else:
            requests = self._old.pop(client, 0) + 1
            if len(new) >= _COUNTED_CONNECTIONS:
                self._old, self._new = new, {}
                new = self._new
        if requests >= self._requests_max:
            new.pop(client, None)
            return True
        new[client] = requests
        return False


class RSGIApp:
    """Serves a coordinator to granian. `loop` is for what needs an event loop."""

    def __init__(
        self, coordinator: Coordinator, access: Access, limits: Limits, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.handler: Handler = Handler(coordinator, access, limits, loop)
        self._counts = RequestCounts(limits.requests_per_connection_max)
        self._reaper = ConnectionReaper()
        self._shared_bodies = SharedBodies(loop)

    def take(self, scope: Any, protocol: Any) -> None:
        """Take a request from granian, on a thread of granian's, one at a time; it is answered now or later."""
        headers = scope.headers
        present = LOOKED_AT.intersection(headers.keys())
        try:
            (host,) = headers.get_all("host")
        except ValueError:  # there is none, or there are several
            host = ", ".join(headers.get_all("host"))
        request = _RSGIRequest(
            self.handler,
            scope.method,
            scope.path,
            scope.query_string,
            present,
            host,
            headers.get("accept", "") if "accept" in present else "",
        )
        request.scope = scope
        request.protocol = protocol
        request.headers = headers
        request.reaper = self._reaper
        request.shared_bodies = self._shared_bodies
        request.is_last = self._counts.is_last(scope.client)
        request.was_read = False
        request.reading = None
        self.handler.start(request)
