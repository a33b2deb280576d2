"""Writes the log to standard output, from a thread of its own.

A terminal that is paused, or a pipe that nobody reads, must not hold up the hub (G8). So the hub's loop only puts
effects into a queue; the thread makes lines of them and writes. Where the reader is slower than the happenings for
so long that the queue is full, happenings are left out, their number is said, and the picture begins anew.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from syncnet.core.effects import Effect, Synced

__all__ = ["LinesOf", "TerminalLog"]

LinesOf: TypeAlias = Callable[[Effect], Iterable[str]]
"""What makes lines of effects, fed one after the other."""

_QUEUED_EFFECTS_MAX: Final = 100_000
_QUEUED_PAYLOAD_BYTES_MAX: Final = 67_108_864
_CLOSE_S: Final = 2.0


class TerminalLog:
    """An observer of a hub that writes what `make_lines()` makes of each effect to the file descriptor `fd`."""

    def __init__(self, make_lines: Callable[[], LinesOf], fd: int) -> None:
        self._make_lines = make_lines
        self._fd = fd
        self._queue: queue.SimpleQueue[Effect | None] = queue.SimpleQueue()
        self._bytes_put = 0  # counted by the hub's thread,
        self._bytes_taken = 0  # and this one by the other, so that neither needs a lock
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="syncnet-log", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue one effect; never waits."""
        if not self._thread.is_alive():
            return
        if (
            self._queue.qsize() < _QUEUED_EFFECTS_MAX
            and self._bytes_put - self._bytes_taken < _QUEUED_PAYLOAD_BYTES_MAX
        ):
            self._bytes_put += _payload_bytes(effect)
            self._queue.put(effect)
        else:
            self._left_out += 1

    def close(self) -> None:
        """Write what is queued and end, within two seconds: a reader who does not read is left behind."""
        self._queue.put(None)
        self._thread.join(_CLOSE_S)

    def _write_all(self) -> None:
        lines_of = self._make_lines()
        left_out_said = 0
        while (effect := self._queue.get()) is not None:
            self._bytes_taken += _payload_bytes(effect)
            lines = []
            left_out = self._left_out
            if left_out != left_out_said and self._queue.qsize() < _QUEUED_EFFECTS_MAX // 2:
                lines.append(f"… {left_out - left_out_said} happenings left out: the reader of this log was too slow")
                lines_of, left_out_said = self._make_lines(), left_out
            lines += lines_of(effect)
            try:
                self._write("".join(f"{line}\n" for line in lines).encode())
            except OSError:  # nobody reads any more (a closed pipe, a full disk); the server goes on without a log
                self._queue = queue.SimpleQueue()
                return

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


def _payload_bytes(effect: Effect) -> int:
    if isinstance(effect, Synced):
        return sum(len(member.payload) for member in effect.members)
    return len(effect.offer.payload)
