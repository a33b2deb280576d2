"""Processes that a benchmark starts, watches and stops, always by their process id.

Their costs are read from `/proc`, so this works on Linux only. Nothing here depends on what the processes do.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

__all__ = [
    "BenchmarkError",
    "cpu_s",
    "free_port",
    "kilobytes",
    "port_said",
    "python",
    "running",
    "wait_for_port",
]

_START_S_MAX: Final = 20.0
_STOP_S_MAX: Final = 5.0
_SERVES: Final = re.compile(rb"serves on http://127\.0\.0\.1:([0-9]+)\s")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A benchmark could not measure; the message says what was expected and what came instead."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
    stderr: IO[bytes] | int | None = subprocess.DEVNULL,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block lasts. Its output is discarded unless `stdout` or `stderr` say where it goes.

    `env` is added to the environment of this process.
    """
    environment = None if env is None else {**os.environ, **env}
    process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module under this Python."""
    return [sys.executable, "-m", module, *arguments]


def port_said(process: subprocess.Popen[bytes]) -> int:
    """Return the port that a process of ours prints on its standard error, a pipe.

    :raises BenchmarkError: it ended, or did not print it in time.
    """
    assert process.stderr is not None
    said = b""
    deadline_s = time.monotonic() + _START_S_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline_s - time.monotonic())):
            read = os.read(process.stderr.fileno(), 4096)
            said += read
            if match := _SERVES.search(said):
                return int(match[1])
            if not read:
                break
    raise BenchmarkError(f"expected a server to print its address, got {said.decode(errors='replace')!r}")


def free_port() -> int:
    """Return a free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until something accepts connections on a port of the loopback address.

    :raises BenchmarkError: the time limit passed, or the process ended.
    """
    deadline_s = time.monotonic() + _START_S_MAX
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise BenchmarkError(f"expected {process.args!r} to listen on port {port}, but it does not")


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def kilobytes(pid: int) -> int:
    """Return the proportional set size of a process, in kilobytes: its own memory and its share of shared memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise BenchmarkError(f"expected a proportional set size in /proc/{pid}/smaps_rollup")
