"""Ceilings: the granian that serves syncnet, set up the same way, with an application that does almost nothing.

    python -m benchmarks.ceiling HOW BODY_BYTES HEADER=VALUE …

Every request is answered with 200, the given headers and a body of that size. HOW is one of

- `usual`: an RSGI application, one coroutine for each request on the event loop, as granian runs any application;
- `taken`: fixed answers in granian's own thread, which takes requests as syncnet does (server/embedding.py);
- `pairwise`: as `taken`, but holds the first request, and answers both when the second comes. It parses nothing;
- `body`: for POST. It takes requests as `taken`, reads the body without a task, then answers two by two.

It prints its address on standard error, as syncnet does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any, Final

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.rsgi import ProtocolClosed, ProtocolError
from granian.server.embed import Server

from syncnet.server.address import Address, listen
from syncnet.server.embedding import Granian


class _Fixed:
    """Answers each request at once, `usual` or `taken`."""

    def __init__(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.body = body
        self.headers = headers

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        self.take(scope, protocol)

    def take(self, scope: Any, protocol: Any) -> None:
        _ = scope
        protocol.response_bytes(200, self.headers, self.body)


class _Pairwise(_Fixed):
    """Holds the first request of each two, and answers both when the second comes."""

    _held: Any = None

    def take(self, scope: Any, protocol: Any) -> None:
        _ = scope
        self.pair(protocol)

    def pair(self, protocol: Any) -> None:
        held = self._held
        if held is None:
            self._held = protocol
            return
        self._held = None
        held.response_bytes(200, self.headers, self.body)
        protocol.response_bytes(200, self.headers, self.body)


class _Body(_Pairwise):
    """Reads the body of each request first. The callbacks run on the event loop, so all pairs are made there."""

    def take(self, scope: Any, protocol: Any) -> None:
        _ = scope
        protocol().add_done_callback(_Reading(self, protocol).done)


class _Reading:
    """A request whose body is being read."""

    __slots__ = ("_app", "_protocol")

    def __init__(self, app: _Body, protocol: Any) -> None:
        self._app = app
        self._protocol = protocol

    def done(self, future: Any) -> None:
        with contextlib.suppress(ProtocolClosed, ProtocolError):  # the client disconnected
            future.result()
            self._app.pair(self._protocol)


_APPS: Final = {"usual": _Fixed, "taken": _Fixed, "pairwise": _Pairwise, "body": _Body}


async def _serve(how: str, app: _Fixed) -> None:
    if how == "usual":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = Server(
            app,
            port=port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=1_000_000,
            log_enabled=False,
        )
    else:
        listener = listen(Address("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = Granian(app.take, listener)
    serving = asyncio.create_task(server.serve())
    await asyncio.sleep(0.1)  # until it listens
    print(f"ceiling: serves on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await serving


def _main(how: str, body_bytes: str, *headers: str) -> None:
    pairs = [(name, value) for name, _, value in (header.partition("=") for header in headers)]
    uvloop.run(_serve(how, _APPS[how](b"x" * int(body_bytes), pairs)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
