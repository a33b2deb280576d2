"""The ASGI face: syncnet as an application of its own, or as a part of a Starlette or FastAPI application.

    from starlette.applications import Starlette
    from syncnet import ASGIApp

    app = Starlette()
    app.mount("/sync", ASGIApp())

Needs no lifespan events. Three things to see to in the server that runs the application: one process, because two
would be two worlds; no limit on requests at once below the number of offers that may wait, because requests that wait
for each other must all be let in; and a bound on a graceful shutdown (uvicorn: `--timeout-graceful-shutdown`), because
a server that waits for all requests waits for those that wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias

from syncnet.coordinator.coordinator import Coordinator
from syncnet.errors import BadBodyError
from syncnet.server.access import Access, parse_host, parse_origin
from syncnet.server.handler import BodyTooLargeError, Handler
from syncnet.server.tokens import load_tokens

__all__ = ["ASGIApp"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class _ASGIRequest:
    """A request as ASGI brings it: `scope` says what, `receive` has the body and then the end of the connection."""

    __slots__ = ("_headers", "_query", "_receive", "method", "path", "scheme")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        self._query: bytes = scope["query_string"]
        self.scheme: str = scope.get("scheme", "http")
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive

    def query_text(self) -> str:
        try:
            return self._query.decode()
        except UnicodeDecodeError as error:
            raise BadBodyError(
                f"expected UTF-8 in the query, got the byte 0x{self._query[error.start]:02x} at byte {error.start + 1}",
                "bad-parameter",
            ) from None

    def header(self, name: str) -> str:
        wanted = name.encode()
        return ", ".join(value.decode("latin-1") for key, value in self._headers if key == wanted)

    async def body(self, bytes_max: int) -> bytes:
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BadBodyError("the body broke off")
            body += message.get("body", b"")
            if len(body) > bytes_max:
                raise BodyTooLargeError
            if not message.get("more_body", False):
                return bytes(body)

    async def disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class ASGIApp:
    """An ASGI application that serves one hub; with none given it makes its own, on the memory log.

    `ASGIApp(net.hub)` shares the world of a `Syncnet`: clients meet the tasks and threads of this program. A hub that
    was given lives on when the server ends.

    A page of another origin gets 403, unless its origin stands in `cors_origins` (`"*"`: any). None switches that
    off, and all headers of CORS, for an application that sees to it with a middleware of its own. `allow_hosts` are
    the names by which it may be asked (beside those of the loopback); with None the application around it sees to
    that. `token_file` names the tokens that it wants, as `--token-file` does; it is read once.

    :raises ValueError: an origin or a host is none.
    :raises TokenFileError: the token file does not do.
    """

    def __init__(
        self,
        hub: Coordinator | None = None,
        *,
        cors_origins: Iterable[str] | None = (),
        allow_hosts: Iterable[str] | None = None,
        token_file: str | Path | None = None,
    ) -> None:
        self._owns_hub = hub is None
        self.hub = Coordinator() if hub is None else hub
        access = Access(
            None if token_file is None else load_tokens(Path(token_file)),
            origins=None if cors_origins is None else map(parse_origin, cors_origins),
            hosts=None if allow_hosts is None else map(parse_host, allow_hosts),
        )
        self._handler = Handler(self.hub, access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the life of a server that this application is the whole of."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"syncnet speaks HTTP only, got {scope['type']}")
        response = await self._handler.respond(_ASGIRequest(scope, receive))
        headers = [(name.encode(), value.encode()) for name, value in response.headers]
        if response.status != 204:  # which has no body, and so no length
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._owns_hub:
            self.hub.shut_down()
        await send({"type": "lifespan.shutdown.complete"})
