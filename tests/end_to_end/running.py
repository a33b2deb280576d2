"""A real server in its own process, and clients of it."""

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

READY = re.compile(rb"serves on (https?://\S+)\n")
ANY_WORK = ("--limit", "client-steps-max=1000000000")
"""For servers whose tests send more requests that are refused or take long than one client may."""

STEPS_MAX = 2_000
"""How often a condition is tested, 5 ms apart, before a test fails."""


class Server:
    """`syncnet 127.0.0.1:0 …`, ready when the constructor returns; `client` has arguments for its `httpx.Client`.

    `program` is what Python runs as `syncnet`.
    """

    def __init__(
        self,
        *options: str,
        address: str = "127.0.0.1:0",
        preexec: Any = None,
        client: Mapping[str, Any] = MappingProxyType({}),
        program: Sequence[str] = ("-m", "syncnet"),
    ) -> None:
        self._files = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._files.name) / name for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program, address, *options], stdout=out, stderr=err, preexec_fn=preexec
            )
        try:
            self.url = until(self._printed_url, lambda: f"the server did not start: {self.stderr}")
        except BaseException:
            self.process.kill()
            self.process.wait()
            self._files.cleanup()
            raise
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=30, **client)

    def _printed_url(self) -> str | None:
        match = READY.search(self._err.read_bytes())
        return match[1].decode() if match else None

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def stats(self, namespace: str = "default") -> Any:
        return self.client.get("/stats", params={"namespace": namespace}).json()

    def pending(self, namespace: str = "default") -> int:
        response = self.client.get("/stats", params={"namespace": namespace, "limit": 1})
        while response.status_code == 429:  # so many are pending that to ask all the time is too much work
            time.sleep(float(response.headers["retry-after"]))
            response = self.client.get("/stats", params={"namespace": namespace, "limit": 1})
        return int(response.headers["syncnet-pending"])

    def until_pending(self, offers: int, namespace: str = "default") -> None:
        until(lambda: self.pending(namespace) == offers, lambda: f"{self.pending(namespace)} pending, not {offers}")

    def until_stdout(self, text: str) -> None:
        until(lambda: self.stdout == text, lambda: f"on the terminal:\n{self.stdout}\nnot:\n{text}")

    def until_stdout_matches(self, pattern: str) -> None:
        until(
            lambda: re.fullmatch(pattern, self.stdout),
            lambda: f"on the terminal:\n{self.stdout}\nwhich does not match:\n{pattern}",
        )

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stop the server with a signal; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        status = self.process.wait(timeout=30)
        self.client.close()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.client.close()
        self._files.cleanup()


def until(condition: Any, message: Any) -> Any:
    """Poll until `condition()` is true; return its value. If it never is, fail with `message()`."""
    for _ in range(STEPS_MAX):
        if result := condition():
            return result
        time.sleep(0.005)
    raise AssertionError(message())


def in_threads(run: Callable[[str], object], actors: Collection[str]) -> None:
    """Call `run` for all actors at the same time, and raise what one of them raises."""
    with ThreadPoolExecutor(len(actors)) as pool:
        list(pool.map(run, actors))


@contextlib.contextmanager
def running(*options: str, **how: Any) -> Iterator[Server]:
    server = Server(*options, **how)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def curls(*urls: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a curl process in the background for each URL, with its output in a pipe; kill those that are left."""
    started = [
        subprocess.Popen(["curl", "--silent", "--show-error", "--max-time", "60", url], stdout=subprocess.PIPE)
        for url in urls
    ]
    try:
        yield started
    finally:
        for curl in started:
            curl.kill()
            with curl:  # closes the pipe and waits
                pass
