"""A minimal HTTP/1.1 client: one request at a time, over asyncio streams or by curl."""

import asyncio
import contextlib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n")
_HEADER = re.compile(rb"([^:\r\n]+):[ \t]*([^\r\n]*)\r\n")


class Response(NamedTuple):
    status: int
    rank: str
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem document: the last part of its type. Empty for any other body."""
        try:
            return str(json.loads(self.body)["type"]).rpartition(":")[2]
        except (ValueError, LookupError, TypeError):
            return ""


class LostError(Exception):
    """The connection broke before a whole response arrived."""


Server = tuple[str, int]
"""The host and the port of a server."""


class Connection:
    """A connection that is kept open for the next request, and opened again if it was lost: to the next server then."""

    def __init__(self, servers: Sequence[Server], first: int = 0) -> None:
        self._servers = servers
        self._used = first
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes | None, wait_s: float) -> Response:
        """Send a request; return its response.

        :raises LostError: the connection broke, or no whole response arrived within `wait_s`.
        """
        is_complete = False
        try:
            async with asyncio.timeout(wait_s):
                if self._open is None:
                    self._open = await asyncio.open_connection(*self._servers[self._used % len(self._servers)])
                reader, writer = self._open
                writer.write(_request(method, path, body))
                await writer.drain()
                response = await _read_response(reader)
            is_complete = True
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise LostError(repr(error)) from None
        finally:
            if not is_complete:
                self.move()
        return response

    def move(self) -> None:
        """Use the next server from now on."""
        self._used += 1
        self.close()

    def close(self) -> None:
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None


async def curl(server: Server, method: str, path: str, body: bytes | None, wait_s: float) -> Response:
    """Send a request with curl; return its response.

    :raises LostError: curl got no whole response.
    """
    arguments = ["--silent", "--include", "--max-time", f"{wait_s:g}", "--request", method]
    if body is not None:
        arguments += ["--header", "content-type: application/json", "--data-binary", body.decode()]
    process = await asyncio.create_subprocess_exec(
        "curl", *arguments, f"http://{server[0]}:{server[1]}{path}", stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        raise LostError(f"curl ended with {process.returncode}")
    reader = asyncio.StreamReader()
    reader.feed_data(output)
    reader.feed_eof()
    try:
        return await _read_response(reader)
    except (EOFError, asyncio.IncompleteReadError) as error:
        raise LostError(repr(error)) from None


def query(path: str, parameters: dict[str, object]) -> str:
    """Return a path with parameters as a query."""
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if name == "event" and isinstance(value, list):
            pairs += [(name, event) for event in value]
        elif isinstance(value, list):
            pairs.append((name, ",".join(value)))
        elif isinstance(value, dict):
            pairs.append((name, ",".join(f"{key}={text}" for key, text in value.items())))
        else:
            pairs.append((name, str(value)))
    return f"{path}?{urlencode(pairs)}"


def _request(method: str, path: str, body: bytes | None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    if body is not None:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + (body or b"")


async def _read_response(reader: asyncio.StreamReader) -> Response:
    head = await reader.readuntil(b"\r\n\r\n")
    status = _HEAD.match(head)
    if status is None:
        raise EOFError(f"expected the head of a response, got {head[:80]!r}")
    headers = {name.lower(): value for name, value in _HEADER.findall(head[status.end() :])}
    body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    return Response(int(status[1]), headers.get(b"syncnet-rank", b"").decode(), body)
