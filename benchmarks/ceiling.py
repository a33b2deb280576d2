"""The ceiling: the granian that serves syncnet, embedded and set the same, with an application that does nothing.

    python -m benchmarks.ceiling HOW BODY_BYTES HEADER=VALUE …

Every request is answered with 200, the headers given and a body of that size. HOW is `usual`: an application of RSGI, a
coroutine on the event loop, as granian runs any other; or `taken`: by granian's thread where the request comes in, as
syncnet's are (server/embedding.py). It says on standard error where it serves, as syncnet does.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from syncnet.server.address import Address, listen
from syncnet.server.embedding import Granian


class _Fixed:
    def __init__(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        self._body = body
        self._headers = headers

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        self.take(scope, protocol)

    def take(self, scope: Any, protocol: Any) -> None:
        _ = scope
        protocol.response_bytes(200, self._headers, self._body)


async def _serve(how: str, app: _Fixed) -> None:
    if how == "taken":
        listener = listen(Address("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = Granian(app.take, listener)
    else:
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
    serving = asyncio.create_task(server.serve())
    await asyncio.sleep(0.1)  # until it listens
    print(f"ceiling: serves on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await serving


def _main(how: str, body_bytes: str, *headers: str) -> None:
    pairs = [(name, value) for name, _, value in (header.partition("=") for header in headers)]
    uvloop.run(_serve(how, _Fixed(b"x" * int(body_bytes), pairs)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
