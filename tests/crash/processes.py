"""The processes of a crash test: a server that is killed and restarted, clients, a proxy, and the checker.

All their files are in one folder, which is kept if a test fails.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.end_to_end.running import READY, until

ROOT = Path(__file__).parent.parent.parent
SNAPSHOT_COMMANDS = 50
TRACE_PAGE_SYNCS = 1_000
OUTCOMES_S_MAX = 60
"""The time for clients to get the outcomes of all their offers, after they make no more."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Processes:
    """A folder and the processes that write to it; a context manager that ends them."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="syncnet-crash-"))
        self.address = f"127.0.0.1:{free_port()}"
        self.clients: dict[str, subprocess.Popen[bytes]] = {}
        self.starts = self.kills = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        self._traced: dict[str, int] = {"default": 0, "second": 0}

    def __enter__(self) -> Processes:
        sys.stdout.write(f"seed {self.seed}, files in {self.folder}\n")
        return self

    def __exit__(self, error: object, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._http.close()
        if error is None:
            for path in sorted(self.folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            self.folder.rmdir()

    def _run(self, name: str, *command: object, starter: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a process with its output in files; the words of `starter` come first in its command."""
        with (self.folder / f"{name}.out").open("ab") as out, (self.folder / f"{name}.err").open("ab") as err:
            process = subprocess.Popen(
                [*starter, sys.executable, "-m", *map(str, command)], stdout=out, stderr=err, cwd=ROOT
            )
        self._processes.append(process)
        return process

    # --- the server ----------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the server; it may not be ready yet."""
        self.starts += 1
        where, options = self.address, ("--log-format", "none", "--journal", self.folder / "journal")
        self.server = self._run(f"server-{self.starts}", "tests.crash.server", SNAPSHOT_COMMANDS, where, *options)

    def until_ready(self) -> None:
        err = self.folder / f"server-{self.starts}.err"
        until(lambda: READY.search(err.read_bytes()), lambda: f"the server did not start: {err.read_text()}")

    def kill_server(self) -> None:
        """Stop the server: mostly by SIGKILL, sometimes by SIGTERM or by two signals."""
        self.kills += 1
        signals = self.random.choices(
            [[signal.SIGKILL], [signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGKILL]],
            [12, 1, 1, 1],
        )[0]
        for signum in signals:
            self.server.send_signal(signum)
            if signum != signals[-1]:
                time.sleep(self.random.uniform(0, 0.01))
        self.server.wait(timeout=30)

    def kill_often(self, kills: int) -> None:
        """Kill the server `kills` times at random times, even while it starts, and restart it each time."""
        for _ in range(kills):
            if self.random.random() < 0.8:
                self.until_ready()
                self.read_trace()
            time.sleep(self.random.uniform(0, 0.7))
            self.kill_server()
            self.start_server()
        self.until_ready()

    # --- the clients and the proxy -------------------------------------------------------------------------

    def start_client(self, name: str, servers: str, tasks: int) -> None:
        """Start a client of servers (`HOST:PORT,…`).

        It continues the unfinished offers of earlier clients with the same name before the dot.
        """
        earlier = sorted(self.folder.glob(f"{name.partition('.')[0]}.*.jsonl"))
        path = self.folder / f"{name}.jsonl"
        self.clients[name] = self._run(
            f"client-{name}", "tests.crash.client", servers, self.seed, name, tasks, path, *earlier
        )
        until(path.exists, lambda: f"the client {name} did not start; {self.folder}")

    def kill_client(self, name: str) -> None:
        client = self.clients.pop(name)
        assert client.poll() is None, self._failed(name)
        client.kill()
        client.wait()

    def end_clients(self) -> None:
        """Make the clients stop making offers, and wait until they have all outcomes."""
        for client in self.clients.values():
            client.terminate()
        deadline = time.monotonic() + OUTCOMES_S_MAX
        for name, client in self.clients.items():
            try:
                status = client.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"the client {name} did not get all outcomes; {self.folder}") from None
            assert status == 0, self._failed(name)

    def start_proxy(self) -> str:
        """Start a proxy that cuts connections; return its address."""
        port = free_port()
        self.proxy = self._run("proxy", "tests.crash.proxy", port, self.address.rpartition(":")[2], self.seed)
        until(lambda: _accepts_connections(port), lambda: f"the proxy did not start; {self.folder}")
        return f"127.0.0.1:{port}"

    def end_proxy(self) -> Any:
        """Stop the proxy; return how often it did what."""
        self.proxy.terminate()
        assert self.proxy.wait(timeout=30) == 0, self.folder
        return json.loads((self.folder / "proxy.out").read_text())

    def _failed(self, name: str) -> str:
        return f"the client {name} ended: {(self.folder / f'client-{name}.err').read_text()}; {self.folder}"

    # --- the results ---------------------------------------------------------------------------------------

    def read_trace(self, *, all_syncs: bool = False) -> None:
        """Record the syncs of the trace that were not read before, or all that the server still has."""
        with (self.folder / "trace.jsonl").open("a") as file:
            for namespace, after in self._traced.items():
                self._traced[namespace] = 0 if all_syncs else after
                has_more = True
                while has_more:
                    syncs = self._syncs_after(namespace, self._traced[namespace])
                    line = {"what": "trace", "at": time.monotonic_ns(), "namespace": namespace, "syncs": syncs}
                    file.write(json.dumps(line) + "\n")
                    self._traced[namespace] = max((sync["sync"] for sync in syncs), default=self._traced[namespace])
                    has_more = bool(syncs)  # a page is bounded by bytes, too
            if all_syncs:
                file.write(json.dumps({"what": "done", "at": time.monotonic_ns()}) + "\n")

    def _syncs_after(self, namespace: str, after: int) -> Any:
        params: dict[str, str | int] = {"namespace": namespace, "after": after, "limit": TRACE_PAGE_SYNCS}
        return self._get("/trace", params).raise_for_status().json()["syncs"]

    def _get(self, path: str, params: dict[str, str | int]) -> httpx.Response:
        return self._http.get(f"http://{self.address}{path}", params=params)

    def check(self) -> Any:
        """Run the checker on the files of the clients; return its summary."""
        files = sorted(self.folder.glob("*.jsonl"), key=os.path.getmtime)
        checker = subprocess.run(
            [sys.executable, "-m", "syncnet.testing.checker", *map(str, files)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert checker.returncode == 0, f"{checker.stderr[:5_000]}\nseed {self.seed}, files in {self.folder}"
        for path in self.folder.glob("server-*.err"):
            text = path.read_text()
            assert not re.search(r"Traceback|a bug", text), f"{path}: {text}"
        return json.loads(checker.stdout)


def _accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
