"""Writes the log to standard output, from a thread of its own.

A terminal that is paused, or a pipe that is not read, must not block the coordinator (G8). So the coordinator only puts
effects into a queue; the thread formats them as lines and writes these. If the reader is so slow that the queue becomes
full, effects are left out, the log says how many, and the picture begins anew.

Lines that cannot be written (a full disk) are lost, and counted. Standard error says so once. When there is room again,
the log says how many lines are missing, and the picture begins anew. The log ends for good only where its reader has
gone.
"""

from __future__ import annotations

import logging
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

_log = logging.getLogger("syncnet")


class TerminalLog:
    """An observer of a coordinator that writes each effect, formatted by `make_lines()`, to the file descriptor `fd`.

    The thread wakes at most once in `_PACE_S`, however many effects there are. Waking it for each effect would cost the
    coordinator more than the lines themselves, because only one of the two threads can run Python at a time.
    """

    def __init__(self, make_lines: Callable[[], LinesOf], fd: int) -> None:
        self._make_lines = make_lines
        self._fd = fd
        self._queue: deque[Effect | str] = deque()
        self._bytes_put = 0  # written by the coordinator, under its lock
        self._bytes_taken = 0  # written by the thread, so that it needs no lock
        self.left_out_total: int = 0
        """How many effects were left out."""
        self._lost_lines = 0  # since the last one that was written
        self._is_in_a_line = False
        self._is_idle = False
        self._has_ended = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="syncnet-log", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue one effect; never blocks. It is called under the coordinator's lock."""
        if self._has_ended:
            return
        if len(self._queue) < _QUEUED_EFFECTS_MAX and self._bytes_put - self._bytes_taken < _QUEUED_PAYLOAD_BYTES_MAX:
            self._bytes_put += _payload_bytes(effect)
            self._put(effect)
        else:
            self.left_out_total += 1

    def write(self, line: str) -> None:
        """Queue a line that is no effect, unless the queue is full; never blocks. Any thread may call."""
        if not self._has_ended and len(self._queue) < _QUEUED_EFFECTS_MAX:
            self._put(line)

    def _put(self, entry: Effect | str) -> None:
        self._queue.append(entry)
        if self._is_idle:
            self._wake.set()

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
                    self._write_or_count(lines)
                self._closing.wait(_PACE_S)
            if self._lost_lines:
                _log.error("%d lines of the log on standard output are missing at its end", self._lost_lines)
        except BrokenPipeError:
            _log.error("the reader of the log on standard output has gone; the server goes on without a log")
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
        if queue and self._lost_lines:
            lines.append(picture.begin_anew(f"{self._lost_lines} lines are missing: they could not be written"))
        while queue and len(lines) < _LINES_AT_ONCE:
            entry = queue.popleft()
            if isinstance(entry, str):
                lines.append(entry)
                continue
            self._bytes_taken += _payload_bytes(entry)
            if picture.left_out != self.left_out_total and len(queue) < _QUEUED_EFFECTS_MAX // 2:
                left_out = self.left_out_total - picture.left_out
                picture.left_out += left_out
                lines.append(picture.begin_anew(f"{left_out} events left out: the reader of this log was too slow"))
            lines += picture.lines_of(entry)
        return lines

    def _write_or_count(self, lines: list[str]) -> None:
        """Write lines; count those that cannot be written. If some were lost before, the first line says how many.

        :raises BrokenPipeError: nobody reads them.
        """
        lost_before = self._lost_lines
        whole = b"\n" * self._is_in_a_line + "\n".join([*lines, ""]).encode()
        data = whole
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            if not lost_before:
                _log.error(
                    "the log on standard output cannot be written (%s); the lines that are lost are counted", error
                )
        if written := whole[: len(whole) - len(data)]:
            self._is_in_a_line = not written.endswith(b"\n")
        unwritten = min(data.count(b"\n"), len(lines))
        is_first_written = unwritten < len(lines)
        self._lost_lines = unwritten if is_first_written or not lost_before else lost_before + unwritten - 1
        if lost_before and not self._lost_lines:
            _log.error("the log on standard output is written again; %d lines are missing", lost_before)


class _Picture:
    """The formatter of the lines, and how many effects are reported as left out so far."""

    def __init__(self, make_lines: Callable[[], LinesOf]) -> None:
        self._make_lines = make_lines
        self.lines_of = make_lines()
        self.left_out = 0

    def begin_anew(self, why: str) -> str:
        """Forget what was drawn; return the line that says why."""
        self.lines_of = self._make_lines()
        return f"… {why}"


def _payload_bytes(effect: Effect) -> int:
    if not isinstance(effect, Synced):
        return effect.offer.payload_bytes
    payload_bytes = 0
    for member in effect.members:
        payload_bytes += member.payload_bytes
    return payload_bytes
