"""A process with many readers of the live trace: `python -m benchmarks.trace_readers PORT READERS`.

It prints a line when all streams have begun, reads until its standard input ends, and then prints how many bytes the
slowest reader got. It shares the cores with the server that is measured. So each reader empties its socket only twice a
second, and the kernel discards what came instead of copying it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from typing import Final

_EVERY_S: Final = 0.5
_ANSWER_S_MAX: Final = 30.0
_RECEIVED_BYTES_MAX: Final = 1 << 20
_REQUEST: Final = b"GET /trace HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def _opened(port: int) -> socket.socket:
    reader = socket.create_connection(("127.0.0.1", port), _ANSWER_S_MAX)
    reader.sendall(_REQUEST)
    return reader


def _main(port: int, readers: int) -> None:
    streams = [_opened(port) for _ in range(readers)]
    for stream in streams:
        head = stream.recv(4_096)
        if b" 200 OK" not in head:
            raise SystemExit(f"expected a stream, got {head!r}")
        stream.setblocking(False)
    print("ready", flush=True)
    discarded = bytearray(_RECEIVED_BYTES_MAX)
    received = [0] * readers
    while not select.select([sys.stdin], [], [], _EVERY_S)[0]:
        for number, stream in enumerate(streams):
            with contextlib.suppress(BlockingIOError):
                received[number] += stream.recv_into(discarded, 0, socket.MSG_TRUNC)
    print(min(received), flush=True)


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
