"""The line on standard error that shows for whom and how long a command waits; only on a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Final

from syncnet.errors import UnavailableError

__all__ = ["LiveLine"]

_EVERY_S: Final = 1.0
_ERASE_LINE: Final = "\r\x1b[K"


class LiveLine:
    """Shows `text` and the time waited, from a thread of its own; erases the line when the context ends."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._problem = ""
        self._since_s = time.monotonic()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        if sys.stderr is not None and sys.stderr.isatty():
            self._thread = threading.Thread(target=self._show, name="syncnet-line", daemon=True)

    def __enter__(self) -> LiveLine:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def away(self, error: UnavailableError | None) -> None:
        """Show that the server cannot be reached, or, with None, that it can be reached again."""
        self._problem = "" if error is None else f"; {error}, retrying"
        if self._thread is not None:
            self._write(self._line())

    def _show(self) -> None:
        while True:
            self._write(self._line())
            if self._ended.wait(_EVERY_S):
                self._write("")
                return

    def _line(self) -> str:
        waited_s = int(time.monotonic() - self._since_s)
        line = f"{self._text}, {waited_s // 60}:{waited_s % 60:02}{self._problem}"
        return line[: shutil.get_terminal_size().columns - 1]  # a longer one would wrap, and be erased only in part

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                sys.stderr.write(_ERASE_LINE + line)
                sys.stderr.flush()
            except (OSError, ValueError):  # the terminal was closed; the command still waits
                self._ended.set()
