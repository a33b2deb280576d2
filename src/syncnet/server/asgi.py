"""The ASGI adapter: syncnet as an application of its own, or as a part of a Starlette or FastAPI application.

    from starlette.applications import Starlette
    from syncnet import ASGIApp

    app = Starlette()
    app.mount("/sync", ASGIApp())

It needs no lifespan events. The server that runs the application must meet three conditions: one process, because two
would be two separate servers; no limit on requests at once below the number of offers that may be pending, because
requests that wait for each other must all be accepted; and a bound on a graceful shutdown (uvicorn:
`--timeout-graceful-shutdown`), because a server that waits for all requests waits for those that wait for their mates.
It cancels those that are left; they are answered with 503 `draining`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from syncnet.coordinator.coordinator import Coordinator
from syncnet.errors import BadBodyError, DrainingError
from syncnet.server.access import Access, parse_host, parse_origin
from syncnet.server.handler import Handler
from syncnet.server.request import LOOKED_AT, Request
from syncnet.server.responses import Header, Response, body_too_large, problem_of
from syncnet.server.streams import ASGIWriter
from syncnet.server.tokens import load_tokens

__all__ = ["ASGIApp"]

_CANCELLED: Final = "the server is shutting down, or does not want to wait any longer"

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


_Answer: TypeAlias = Response | Callable[[Any], Coroutine[Any, Any, None]]
"""A response, or what sends a stream."""


class _ASGIRequest(Request):
    """A request as ASGI brings it: `scope` describes it, `receive` has the body and then the end of the connection."""

    __slots__ = ("_headers", "_receive", "_response", "_scope")

    def __init__(self, handler: Handler, scope: Scope, receive: Receive) -> None:
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        path: str = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        present = LOOKED_AT.intersection([name.decode("latin-1") for name, _ in self._headers])
        query = scope["query_string"].decode(errors="surrogateescape")
        super().__init__(handler, scope["method"], path, query, present, self.header("host"), self.header("accept"))
        self._scope = scope
        self._receive = receive
        self._response: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    @property
    def http_version(self) -> str:
        return str(self._scope.get("http_version", "1.1"))

    @property
    def scheme(self) -> str:
        return str(self._scope.get("scheme", "http"))

    @property
    def mount_path(self) -> str:
        return str(self._scope.get("root_path") or "/")

    @property
    def address(self) -> str:
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    def header(self, name: str) -> str:
        wanted = name.encode()
        return ", ".join(value.decode("latin-1") for key, value in self._headers if key == wanted)

    def send(self, status: int, headers: list[Header], body: bytes) -> None:
        self._answer(Response(status, headers, body))

    def send_stream(self, run: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self._answer(run)

    def _answer(self, answer: _Answer) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed, and nothing waits there any more
            self._response.get_loop().call_soon_threadsafe(self._set, answer)

    def stop_reading(self) -> None:
        pass  # nothing is sent to a request that is answered

    def read_body(self, bytes_max: int) -> None:
        self.reserve_body(bytes_max)
        self.handler.background.spawn(self._read_body(bytes_max))

    async def response(self) -> _Answer:
        """Wait for the answer, and return it."""
        return await self._response

    async def disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read_body(self, bytes_max: int) -> None:
        body = bytearray()
        more = True
        try:
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.fail(BadBodyError("the body broke off"))
                    return
                body += message.get("body", b"")
                if len(body) > bytes_max:
                    self.fail(body_too_large(bytes_max))
                    return
                more = message.get("more_body", False)
        finally:
            self.body_over()
        self.body_came(bytes(body))

    def _set(self, response: _Answer) -> None:
        if not self._response.done():
            self._response.set_result(response)


class SharesCoordinator(Protocol):
    """A runtime of this program whose offers HTTP clients shall meet: a `Syncnet`."""

    @property
    def coordinator(self) -> Coordinator:
        """The coordinator to share."""


class ASGIApp:
    """An ASGI application that serves one coordinator; with none given it makes its own, on the memory log.

    `ASGIApp(net)` shares the coordinator of a `Syncnet`: clients meet the tasks and threads of this program. One that
    was given continues when the server ends.

    A page of another origin gets 403, unless its origin is in `cors_origins` (`"*"`: any). None switches this check and
    all CORS headers off, for an application that has a middleware of its own for it. `allow_hosts` are the names by
    which clients may address it (in addition to those of the loopback); with None the application around it checks
    that. `token_file` names the tokens that it accepts, as `--token-file` does; it is read once.

    :raises ValueError: an origin or a host is invalid.
    :raises TokenFileError: the token file is invalid.
    """

    def __init__(
        self,
        net: SharesCoordinator | None = None,
        *,
        cors_origins: Iterable[str] | None = (),
        allow_hosts: Iterable[str] | None = None,
        token_file: str | Path | None = None,
    ) -> None:
        self._is_owner = net is None
        self.coordinator: Coordinator = Coordinator() if net is None else net.coordinator
        access = Access(
            None if token_file is None else load_tokens(Path(token_file)),
            origins=None if cors_origins is None else map(parse_origin, cors_origins),
            hosts=None if allow_hosts is None else map(parse_host, allow_hosts),
        )
        self._handler = Handler(self.coordinator, access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the lifespan of a server whose only application this is."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"syncnet speaks HTTP only, got {scope['type']}")
        self._handler.background.loop = asyncio.get_running_loop()
        request = _ASGIRequest(self._handler, scope, receive)
        self._handler.start(request)
        try:
            response = await request.response()
        except asyncio.CancelledError:
            # A server that shuts down cancels what still waits. To raise this would be answered with 500 by it.
            self._handler.disconnected(request)
            response = problem_of(DrainingError(_CANCELLED))
            response.headers.extend(request.caller.headers)
        if not isinstance(response, Response):
            await response(ASGIWriter(send))
            return
        headers = [(name.encode(), value.encode()) for name, value in response.headers]
        if response.status not in (204, 304):  # which have no body, and so no length
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._is_owner:
            self.coordinator.shut_down()
        await send({"type": "lifespan.shutdown.complete"})
