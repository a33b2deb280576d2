"""A proxy that cuts connections at random bytes: `python -m tests.crash.proxy PORT SERVER_PORT SEED`, until SIGTERM.

For each connection it chooses at random: no change, or a cut after some bytes of the requests or of the responses.
A cut is an end (FIN) or a reset (RST) for each side, or a half-close: the server sees the end of the requests, and the
connection stays open until the server closes it. There may be pauses before some of the pieces. At the end the proxy
prints how often it did what, as JSON.
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
"""A cut is within this many bytes: in the first few requests or responses of a connection."""
_PIECE_BYTES = 4_096
_RST = struct.pack("ii", 1, 0)


@dataclass
class Direction:
    """One direction of a connection; it is cut after `cut_after_bytes` (None: never)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    cut_after_bytes: int | None
    is_half_close: bool


class Proxy:
    def __init__(self, server_port: int, seed: str) -> None:
        self._server_port = server_port
        self._random = random.Random(f"proxy {seed}")
        self.done: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # the server is down
            self.done["refused"] += 1
            writer.transport.abort()
            return
        rng = self._random
        action = rng.choices(["whole", "request", "response", "half"], [4, 3, 3, 1])[0]
        at = rng.randrange(_BYTES_MAX)
        requests = Direction(reader, to_server, at if action in ("request", "half") else None, action == "half")
        responses = Direction(from_server, writer, at if action == "response" else None, False)
        has_pauses = rng.random() < 0.3
        tasks = [asyncio.create_task(self._forward(direction, has_pauses)) for direction in (requests, responses)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if requests.is_half_close and tasks[0].done():
                await tasks[1]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for side in (to_server, writer):
                self._end(side, by_reset=rng.random() < 0.5)

    async def _forward(self, direction: Direction, has_pauses: bool) -> None:
        """Forward bytes until one side ends, the other side is closed, or the direction is cut."""
        left = direction.cut_after_bytes
        with contextlib.suppress(OSError):
            while piece := await direction.reader.read(_PIECE_BYTES):
                if has_pauses and self._random.random() < 0.3:
                    self.done["pause"] += 1
                    await asyncio.sleep(self._random.uniform(0, 0.1))
                if left is not None:
                    piece, left = piece[:left], left - len(piece)
                direction.writer.write(piece)
                await direction.writer.drain()
                if left is not None and left <= 0:
                    break
        if left is not None and left <= 0:
            self.done["half-close" if direction.is_half_close else "cut"] += 1
        if direction.is_half_close:
            with contextlib.suppress(OSError):
                direction.writer.write_eof()

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
