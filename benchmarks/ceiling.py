"""The ceiling: the granian that serves syncnet, embedded and set the same, with an application that does nothing.

    python -m benchmarks.ceiling BODY_BYTES HEADER=VALUE …

Every request is answered with 200, the headers given and a body of that size. It says on standard error where it
serves, as syncnet does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from syncnet.core.limits import LIMITS
from syncnet.server.address import Address, listen
from syncnet.server.serve import Granian


class _Fixed:
    def __init__(self, body: bytes, headers: list[tuple[str, str]]) -> None:
        self._body = body
        self._headers = headers

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        _ = scope
        protocol.response_bytes(200, self._headers, self._body)


async def _serve(body: bytes, headers: list[tuple[str, str]]) -> None:
    listener = listen(Address("127.0.0.1", 0))
    port = listener.getsockname()[1]
    serving = asyncio.create_task(Granian(_Fixed(body, headers), listener, LIMITS).serve())  # type: ignore[arg-type]
    print(f"ceiling: serves on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await serving


def _main(body_bytes: str, *headers: str) -> None:
    pairs = [(name, value) for name, _, value in (header.partition("=") for header in headers)]
    uvloop.run(_serve(b"x" * int(body_bytes), pairs))


if __name__ == "__main__":
    _main(*sys.argv[1:])
