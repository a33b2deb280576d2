"""Fixtures for pytest: `syncnet_world`, a new in-process `Syncnet`, and `syncnet_server`, a live server.

pytest imports this module in every run, even if no test uses syncnet. So it imports as little as possible until a test
uses a fixture.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from syncnet import Syncnet

__all__ = ["LiveServer", "syncnet_server", "syncnet_world"]

_READY: Final = re.compile(r"serves on (http://\S+)\n")
_START_S_MAX: Final = 30.0
_STOP_S_MAX: Final = 10.0
_POLL_S: Final = 0.01


@dataclass(frozen=True)
class LiveServer:
    """A server in its own process, on a free port of this machine; `url` is its base URL."""

    url: str


@pytest.fixture
def syncnet_world() -> Iterator[Syncnet]:
    """Give the test its own in-process `Syncnet`; it is closed after the test."""
    from syncnet import Syncnet

    with Syncnet() as net:
        yield net


@pytest.fixture
def syncnet_server() -> Iterator[LiveServer]:
    """Give the test its own live server, without any pending offers; it is stopped after the test.

    :raises RuntimeError: the server did not start; the message has its standard error.
    """
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--log-format", "none"]
    with tempfile.TemporaryDirectory() as folder:
        stderr_path = Path(folder) / "stderr"
        with stderr_path.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)  # noqa: S603
        try:
            yield LiveServer(_url(process, stderr_path))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url(process: subprocess.Popen[bytes], stderr_path: Path) -> str:
    """Wait until the server has printed its URL."""
    deadline_s = time.monotonic() + _START_S_MAX
    while (match := _READY.search(stderr_path.read_text())) is None:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"expected a syncnet server to start, got: {stderr_path.read_text() or 'no output'}")
        time.sleep(_POLL_S)
    return match[1]
