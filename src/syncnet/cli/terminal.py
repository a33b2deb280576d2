"""Writes the log to standard output, from a thread of its own.

A terminal that is paused, or a pipe that nobody reads, must not hold up the hub (G8). So the hub only puts
effects into a queue; the thread makes lines of them and writes. Where the reader is slower than the happenings for
so long that the queue is full, happenings are left out, their number is said, and the picture begins anew.
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
"""What makes lines of what the hub let be seen, fed one thing after the other."""

_QUEUED_EFFECTS_MAX: Final = 100_000
_QUEUED_PAYLOAD_BYTES_MAX: Final = 67_108_864
_LINES_AT_ONCE: Final = 5_000
_PACE_S: Final = 0.02
_CLOSE_S: Final = 2.0


class TerminalLog:
    """An observer of a hub that writes what `make_lines()` makes of each effect to the file descriptor `fd`.

    The thread wakes at most once in `_PACE_S`, however many effects there are: to wake it for each would cost the hub
    more than the lines themselves, because the two take turns in running Python.
    """

    def __init__(self, make_lines: Callable[[], LinesOf], fd: int) -> None:
        self._make_lines = make_lines
        self._fd = fd
        self._queue: deque[Effect] = deque()
        self._bytes_put = 0  # counted under the hub's lock,
        self._bytes_taken = 0  # and this one by the other, so that neither needs a lock
        self._left_out = 0
        self._is_idle = False
        self._has_ended = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="syncnet-log", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue one effect; never waits."""
        if self._has_ended:
            return
        if len(self._queue) < _QUEUED_EFFECTS_MAX and self._bytes_put - self._bytes_taken < _QUEUED_PAYLOAD_BYTES_MAX:
            self._bytes_put += _payload_bytes(effect)
            self._queue.append(effect)
            if self._is_idle:
                self._wake.set()
        else:
            self._left_out += 1

    def close(self) -> None:
        """Write what is queued and end, within two seconds: a reader who does not read is left behind."""
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
            pass  # nobody reads any more (a closed pipe, a full disk); the server goes on without a log
        finally:
            self._has_ended = True
            self._queue.clear()

    def _wait_for_effects(self) -> bool:
        """Return when there is something to write; return whether there is, and not merely an end."""
        while not self._queue and not self._closing.is_set():
            self._wake.clear()
            self._is_idle = True
            if not self._queue and not self._closing.is_set():  # what came since has not woken us
                self._wake.wait()
            self._is_idle = False
        return bool(self._queue)

    def _next_lines(self, picture: _Picture) -> list[str]:
        """Return the lines of the next effects; an empty list where there are no more effects."""
        lines: list[str] = []
        queue = self._queue
        while queue and len(lines) < _LINES_AT_ONCE:
            effect = queue.popleft()
            self._bytes_taken += _payload_bytes(effect)
            if picture.left_out != self._left_out and len(queue) < _QUEUED_EFFECTS_MAX // 2:
                lines.append(picture.begin_anew(self._left_out))
            lines += picture.lines_of(effect)
        return lines

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]


class _Picture:
    """What makes the lines, and how many happenings it was told that it lacks."""

    def __init__(self, make_lines: Callable[[], LinesOf]) -> None:
        self._make_lines = make_lines
        self.lines_of = make_lines()
        self.left_out = 0

    def begin_anew(self, left_out: int) -> str:
        said, self.left_out = self.left_out, left_out
        self.lines_of = self._make_lines()
        return f"… {left_out - said} happenings left out: the reader of this log was too slow"


def _payload_bytes(effect: Effect) -> int:
    if not isinstance(effect, Synced):
        return effect.offer.payload_bytes
    payload_bytes = 0
    for member in effect.members:
        payload_bytes += member.payload_bytes
    return payload_bytes
