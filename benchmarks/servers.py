"""Our own server as a process: of this source tree, or of a checkout of another commit with the same environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.processes import BenchmarkError, port_said, python, running

__all__ = ["Served", "answer_of", "environment", "is_compiled", "syncnet"]

_OWN_HEADERS: Final = ("server", "date", "content-length", "connection")  # granian adds them by itself
_SAY_FILE: Final = "import syncnet.core.machine as machine; print(machine.__file__)"


class Served(NamedTuple):
    """A running server: its process id and its port."""

    pid: int
    port: int


def environment(tree: Path | None) -> dict[str, str] | None:
    """Return what to add to the environment of a process that imports syncnet from a checkout; None: from ours."""
    if tree is None:
        return None
    source = tree.resolve() / "src"
    if not (source / "syncnet").is_dir():
        raise BenchmarkError(f"expected a checkout with src/syncnet in it, got {tree}")
    return {"PYTHONPATH": str(source)}


def is_compiled(tree: Path | None = None) -> bool:
    """Return whether servers of this tree run compiled: Python itself is asked which file it imports."""
    found = subprocess.run(
        [sys.executable, "-c", _SAY_FILE],
        env={**os.environ, **(environment(tree) or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise BenchmarkError(f"expected to import syncnet, got {found.stderr!r}")
    return found.stdout.strip().endswith(".so")


@contextlib.contextmanager
def syncnet(log_format: str, log: Path | None = None, tree: Path | None = None) -> Iterator[Served]:
    """Run a server. Its log is appended to a file, or discarded."""
    command = python("syncnet", "127.0.0.1:0", "--log-format", log_format)
    with contextlib.ExitStack() as stack:
        stdout = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        server = running(command, stdout=stdout, stderr=subprocess.PIPE, env=environment(tree))
        process = stack.enter_context(server)
        yield Served(process.pid, port_said(process))


def answer_of(port: int) -> tuple[int, list[str]]:
    """Let one pair meet; return how many bytes its answer has, and the headers of it as `name=value`."""
    base = f"http://127.0.0.1:{port}/event?event=e0000-00000000&actor=a0000000"
    mate = threading.Thread(target=lambda: urllib.request.urlopen(f"{base}1", timeout=10.0).close())
    mate.start()
    with urllib.request.urlopen(f"{base}2", timeout=10.0) as answer:
        body = answer.read()
        headers = [f"{name.lower()}={value}" for name, value in answer.headers.items()]
    mate.join()
    return len(body), [each for each in headers if each.partition("=")[0] not in _OWN_HEADERS]
