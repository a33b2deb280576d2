"""The line that shows how long it has waited and for whom; nothing where standard error is no terminal."""

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
_BACK_AND_ERASE: Final = "\r\x1b[K"


class LiveLine:
    """Shows `text` and the seconds, from a thread of its own, until the context ends; then the line is gone."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._trouble = ""
        self._since_s = time.monotonic()
        self._over = threading.Event()
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
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def away(self, error: UnavailableError | None) -> None:
        """Show that the server is away, or, with None, that it is back."""
        self._trouble = "" if error is None else f"; {error}, asking again"
        if self._thread is not None:
            self._write(self._line())

    def _show(self) -> None:
        while True:
            self._write(self._line())
            if self._over.wait(_EVERY_S):
                self._write("")
                return

    def _line(self) -> str:
        waited_s = int(time.monotonic() - self._since_s)
        line = f"{self._text}, {waited_s // 60}:{waited_s % 60:02}{self._trouble}"
        return line[: shutil.get_terminal_size().columns - 1]  # a longer one would not be erased whole

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                sys.stderr.write(_BACK_AND_ERASE + line)
                sys.stderr.flush()
            except (OSError, ValueError):  # the terminal is gone; the wait is not
                self._over.set()
