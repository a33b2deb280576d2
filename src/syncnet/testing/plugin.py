"""Fixtures for pytest: `syncnet_world`, a fresh world in the test's own process, and `syncnet_server`, a live server.

pytest imports this in every run, whether a test asks for syncnet or not; so it imports next to nothing before one does.
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

_SERVES: Final = re.compile(r"serves on (http://\S+)\n")
_START_S_MAX: Final = 30.0
_STOP_S_MAX: Final = 10.0
_LOOK_S: Final = 0.01


@dataclass(frozen=True)
class LiveServer:
    """A server in a process of its own, on a free port of this machine: `url` is where it is."""

    url: str


@pytest.fixture
def syncnet_world() -> Iterator[Syncnet]:
    """Give the test a world of its own, closed after it."""
    from syncnet import Syncnet

    with Syncnet() as net:
        yield net


@pytest.fixture
def syncnet_server() -> Iterator[LiveServer]:
    """Give the test a live server of its own, with an empty world, ended after it.

    :raises RuntimeError: it did not start; the error has what it said.
    """
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--log-format", "none"]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "stderr"
        with said.open("wb") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)  # noqa: S603
        try:
            yield LiveServer(_url(process, said))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _url(process: subprocess.Popen[bytes], said: Path) -> str:
    """Wait until the server has said where it serves."""
    give_up_s = time.monotonic() + _START_S_MAX
    while (match := _SERVES.search(said.read_text())) is None:
        if process.poll() is not None or time.monotonic() > give_up_s:
            raise RuntimeError(f"expected a syncnet server to start, got: {said.read_text() or 'nothing'}")
        time.sleep(_LOOK_S)
    return match[1]
