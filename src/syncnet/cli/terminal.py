"""Writes the log to standard output, from a thread of its own.

A terminal that is paused, or a pipe that nobody reads, must not hold up the hub (G8). So the hub's loop only puts
effects into a queue; the thread makes lines of them and writes. Where the reader is slower than the happenings for
so long that the queue is full, happenings are left out and their number is said.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final

from syncnet.core.effects import Effect

__all__ = ["TerminalLog"]

_QUEUED_EFFECTS_MAX: Final = 200_000
_CLOSE_S: Final = 2.0


class TerminalLog:
    """An observer of a hub that writes what `lines_of` makes of each effect to the file descriptor `fd`."""

    def __init__(self, lines_of: Callable[[Effect], Iterable[str]], fd: int) -> None:
        self._lines_of = lines_of
        self._fd = fd
        self._queue: queue.SimpleQueue[Effect | None] = queue.SimpleQueue()
        self._left_out = 0
        self._thread = threading.Thread(target=self._write_all, name="syncnet-log", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue one effect; never waits."""
        if self._queue.qsize() < _QUEUED_EFFECTS_MAX:
            self._queue.put(effect)
        else:
            self._left_out += 1

    def close(self) -> None:
        """Write what is queued and end, within two seconds: a reader who does not read is left behind."""
        self._queue.put(None)
        self._thread.join(_CLOSE_S)

    def _write_all(self) -> None:
        while (effect := self._queue.get()) is not None:
            lines = [f"{line}\n" for line in self._lines_of(effect)]
            if self._left_out:
                lines.append(f"… {self._left_out} happenings left out: the reader of this log was too slow\n")
                self._left_out = 0
            try:
                self._write("".join(lines).encode())
            except OSError:  # nobody reads any more (a closed pipe, a full disk); the server goes on
                return

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]
