"""A proxy that cuts connections at random bytes: `python -m tests.crash.proxy PORT SERVER_PORT SEED`, until SIGTERM.

What it does with a connection is drawn when it comes: nothing, or a cut after so many bytes of the requests or of the
answers, told to either side by FIN, by RST, or not to the server at all before the client has gone (a half-close), and
pauses before some of the pieces. At the end it prints how often it did what, as JSON.
"""

import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
import sys
from collections import Counter
from dataclasses import dataclass

_BYTES_MAX = 1_500
"""Cuts come before so many bytes: within the first few requests or answers of a connection."""
_PIECE_BYTES = 4_096
_RST = struct.pack("ii", 1, 0)


@dataclass
class Way:
    """One direction of a connection, and after how many bytes it is cut (None: never)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    cut_after_bytes: int | None
    is_half: bool


class Proxy:
    def __init__(self, server_port: int, seed: str) -> None:
        self._server_port = server_port
        self._random = random.Random(f"proxy {seed}")
        self.done: Counter[str] = Counter()
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._serving.discard(task)

    async def end(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # the server is away
            self.done["refused"] += 1
            writer.transport.abort()
            return
        draw = self._random
        fate = draw.choices(["whole", "request", "answer", "half"], [4, 3, 3, 1])[0]
        at = draw.randrange(_BYTES_MAX)
        there = Way(reader, to_server, at if fate in ("request", "half") else None, fate == "half")
        back = Way(from_server, writer, at if fate == "answer" else None, False)
        pausing = draw.random() < 0.3
        ways = [asyncio.create_task(self._carry(way, pausing)) for way in (there, back)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if there.is_half and ways[0].done():
                await ways[1]
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for side in (to_server, writer):
                self._end(side, by_reset=draw.random() < 0.5)

    async def _carry(self, way: Way, pausing: bool) -> None:
        """Carry bytes until the one end has no more, the other takes no more, or they are cut."""
        left = way.cut_after_bytes
        with contextlib.suppress(OSError):
            while piece := await way.reader.read(_PIECE_BYTES):
                if pausing and self._random.random() < 0.3:
                    self.done["pause"] += 1
                    await asyncio.sleep(self._random.uniform(0, 0.1))
                if left is not None:
                    piece, left = piece[:left], left - len(piece)
                way.writer.write(piece)
                await way.writer.drain()
                if left is not None and left <= 0:
                    break
        if left is not None and left <= 0:
            self.done["half-close" if way.is_half else "cut"] += 1
        if way.is_half:
            with contextlib.suppress(OSError):
                way.writer.write_eof()

    def _end(self, side: asyncio.StreamWriter, *, by_reset: bool) -> None:
        self.done["reset" if by_reset else "end"] += 1
        if by_reset:
            side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            side.transport.abort()
        else:
            side.close()


async def main(port: str, server_port: str, seed: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    proxy = Proxy(int(server_port), seed)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", int(port)):
        await stop.wait()
        await proxy.end()
    sys.stdout.write(json.dumps(proxy.done) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
