"""Writes the log to standard output, from a thread of its own.

A terminal that is paused, or a pipe that is not read, must not block the coordinator (G8). So the coordinator only puts
effects into a queue; the thread formats them as lines and writes these. If the reader is so slow that the queue becomes
full, effects are left out, the log says how many, and the picture begins anew.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from syncnet.core.effects import Effect, Synced

__all__ = ["LinesOf", "TerminalLog"]

LinesOf: TypeAlias = Callable[[Effect], Iterable[str]]
"""Formats effects as lines; it is called with one effect after the other."""

_QUEUED_EFFECTS_MAX: Final = 100_000
_QUEUED_PAYLOAD_BYTES_MAX: Final = 67_108_864
_LINES_AT_ONCE: Final = 5_000
_PACE_S: Final = 0.02
_CLOSE_S: Final = 2.0


class TerminalLog:
    """An observer of a coordinator that writes each effect, formatted by `make_lines()`, to the file descriptor `fd`.

    The thread wakes at most once in `_PACE_S`, however many effects there are. Waking it for each effect would cost the
    coordinator more than the lines themselves, because only one of the two threads can run Python at a time.
    """

    def __init__(self, make_lines: Callable[[], LinesOf], fd: int) -> None:
        self._make_lines = make_lines
        self._fd = fd
        self._queue: deque[Effect] = deque()
        self._bytes_put = 0  # written by the coordinator, under its lock
        self._bytes_taken = 0  # written by the thread, so that it needs no lock
        self.left_out_total: int = 0
        """How many effects were left out."""
        self._is_idle = False
        self._has_ended = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="syncnet-log", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue one effect; never blocks."""
        if self._has_ended:
            return
        if len(self._queue) < _QUEUED_EFFECTS_MAX and self._bytes_put - self._bytes_taken < _QUEUED_PAYLOAD_BYTES_MAX:
            self._bytes_put += _payload_bytes(effect)
            self._queue.append(effect)
            if self._is_idle:
                self._wake.set()
        else:
            self.left_out_total += 1

    def close(self) -> None:
        """Write what is queued and end, but wait for the reader at most two seconds."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_S)

    def _write_all(self) -> None:
        try:
            picture = _Picture(self._make_lines)
            while self._wait_for_effects():
                while lines := self._next_lines(picture):
                    self._write("\n".join([*lines, ""]).encode())
                self._closing.wait(_PACE_S)
        except OSError:
            pass  # the reader has gone (a closed pipe) or the disk is full; the server goes on without a log
        finally:
            self._has_ended = True
            self._queue.clear()

    def _wait_for_effects(self) -> bool:
        """Block until there are effects or the log is closed; return whether there are effects."""
        while not self._queue and not self._closing.is_set():
            self._wake.clear()
            self._is_idle = True
            if (
                not self._queue and not self._closing.is_set()
            ):  # an effect that came before _is_idle was set did not set _wake
                self._wake.wait()
            self._is_idle = False
        return bool(self._queue)

    def _next_lines(self, picture: _Picture) -> list[str]:
        """Return the lines of the next effects; an empty list if there are none."""
        lines: list[str] = []
        queue = self._queue
        while queue and len(lines) < _LINES_AT_ONCE:
            effect = queue.popleft()
            self._bytes_taken += _payload_bytes(effect)
            if picture.left_out != self.left_out_total and len(queue) < _QUEUED_EFFECTS_MAX // 2:
                lines.append(picture.begin_anew(self.left_out_total))
            lines += picture.lines_of(effect)
        return lines

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


class _Picture:
    """The formatter of the lines, and how many effects are reported as left out so far."""

    def __init__(self, make_lines: Callable[[], LinesOf]) -> None:
        self._make_lines = make_lines
        self.lines_of = make_lines()
        self.left_out = 0

    def begin_anew(self, left_out: int) -> str:
        reported, self.left_out = self.left_out, left_out
        self.lines_of = self._make_lines()
        return f"… {left_out - reported} events left out: the reader of this log was too slow"


def _payload_bytes(effect: Effect) -> int:
    if not isinstance(effect, Synced):
        return effect.offer.payload_bytes
    payload_bytes = 0
    for member in effect.members:
        payload_bytes += member.payload_bytes
    return payload_bytes
