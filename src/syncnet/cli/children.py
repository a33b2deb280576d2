"""Child processes whose output goes to a file."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["Child"]

_STOP_S: Final = 10.0
_SHOWN_BYTES: Final = 1_000


class Child:
    """A program that runs in a process of its own; it can be started again after it has ended."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, in a session of its own: Ctrl-C reaches it only through us."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process id; the process was started."""
        assert self._process is not None  # noqa: S101 - the caller's part
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How it has ended by itself; None while it runs, or where it was not started."""
        return None if self._process is None else self._process.poll()

    @property
    def last_output(self) -> str:
        """The end of the log."""
        return self._log.read_bytes()[-_SHOWN_BYTES:].decode(errors="replace").strip()

    def kill(self) -> None:
        """Kill it with SIGKILL, if it was started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Ask it to end, if it was started."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; kill it where that takes long."""
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
