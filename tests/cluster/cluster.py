"""A real cluster on this machine: servers of NATS and nodes of syncnet, all in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import nats
from nats.js import JetStreamContext

from syncnet.cli.nats_servers import NatsServers, free_ports, nats_server
from tests.end_to_end.running import Server, until

LEASE_S = 2
REQUESTS_MAX = 64

T = TypeVar("T")


class Cluster:
    """Three servers of NATS and some nodes. A context manager that ends them."""

    def __init__(self, nodes: int = 3) -> None:
        program = nats_server()
        assert program is not None, "the extra `dev` brings nats-server"
        self.folder = Path(tempfile.mkdtemp(prefix="syncnet-cluster-"))
        self.nats = NatsServers(self.folder, 3, program=program)
        self.ports = free_ports(nodes)
        self.nodes: list[Server] = []
        self._stopped: set[int] = set()
        self._threads = ThreadPoolExecutor(REQUESTS_MAX)
        self.http = httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))

    def __enter__(self) -> Self:
        self.nats.start()
        try:
            self.nodes = [self.new_node(f"127.0.0.1:{port}") for port in self.ports]
            self.until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.resume()
        for node in self.nodes:
            node.close()
        self.nats.stop()
        self._threads.shutdown()
        self.http.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- nodes ---------------------------------------------------------------------------------------------

    @property
    def options(self) -> list[str]:
        """The options of a node."""
        return ["--cluster", ",".join(self.nats.urls), "--lease", f"{LEASE_S}s"]

    @property
    def urls(self) -> list[str]:
        """The URLs of the nodes."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def new_node(self, address: str = "127.0.0.1:0", *options: str) -> Server:
        """Start a node in addition to those of `nodes`; the caller closes it."""
        return Server("--log-format", "none", *self.options, *options, address=address)

    def end_node(self, number: int, signum: int = signal.SIGKILL) -> int:
        """End a node by a signal; return its exit status."""
        self.nodes[number].process.send_signal(signum)
        return self.nodes[number].process.wait(timeout=30)

    def mend(self) -> None:
        """Start what does not run, and wait until all nodes accept offers."""
        self.resume()
        self.nats.start()
        for number, node in enumerate(self.nodes):
            if node.process.poll() is not None:
                node.close()
                self.nodes[number] = self.new_node(f"127.0.0.1:{self.ports[number]}")
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until all nodes accept offers."""
        for node in self.nodes:
            until(lambda node=node: is_ready(node), lambda node=node: f"not ready: {readiness(node)} {node.stderr}")

    # --- processes -----------------------------------------------------------------------------------------

    def pause(self, *pids: int) -> None:
        """Stop processes with SIGSTOP, until `resume`."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            self._stopped.add(pid)

    def resume(self) -> None:
        """Let all stopped processes go on."""
        while self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._stopped.pop(), signal.SIGCONT)

    def of_stream(self, ask: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Return what JetStream answers."""

        async def run() -> T:
            client = await nats.connect(self.nats.urls, connect_timeout=2, max_reconnect_attempts=10)
            try:
                return await ask(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def stream_leader(self) -> int:
        """Return the number of the server of NATS that leads the stream."""

        async def ask(js: JetStreamContext) -> int:
            info = await js.stream_info("SYNCNET_syncnet_0")
            assert info.cluster is not None
            assert info.cluster.leader is not None
            return int(info.cluster.leader.removeprefix("n"))

        return self.of_stream(ask)

    # --- requests ------------------------------------------------------------------------------------------

    def ask(self, number: int, event: str, actor: str, namespace: str, **parameters: Any) -> Future[httpx.Response]:
        """Make an offer at a node, in a thread."""
        query = {"event": event, "actor": actor, "namespace": namespace, **parameters}
        return self._threads.submit(self.get, number, "/event", **query)

    def get(self, number: int, path: str, **query: Any) -> httpx.Response:
        """Return the answer of a node to a GET, over a connection of its own."""
        return self.http.get(self.urls[number] + path, params=query)

    def pending(self, number: int, namespace: str) -> int:
        """Return how many offers of a namespace are pending, by the account of a node."""
        response = self.get(number, "/stats", namespace=namespace, limit=1)
        return int(response.raise_for_status().headers["syncnet-pending"])

    def until_pending(self, offers: int, namespace: str, *numbers: int) -> None:
        """Wait until that many offers of a namespace are pending, by the account of all nodes, or of some."""
        for number in numbers or range(len(self.nodes)):
            until(
                lambda number=number: self.pending(number, namespace) == offers,
                lambda number=number: f"node {number}: {self.pending(number, namespace)} pending, not {offers}",
            )

    def pair(self, namespace: str, one: int = 0, other: int = 1) -> None:
        """Let two offers sync that are made at two nodes."""
        asked = (
            self.ask(one, "pair", "A", namespace, timeout="20s"),
            self.ask(other, "pair", "B", namespace, timeout="20s"),
        )
        first, second = (each.result() for each in asked)
        assert (first.status_code, second.status_code) == (200, 200), (first.text, second.text)
        assert first.content == second.content


def readiness(node: Server) -> str:
    """Return what /readyz says."""
    return node.client.get("/readyz?verbose").text


def is_ready(node: Server) -> bool:
    """Return whether a node accepts offers."""
    return node.client.get("/readyz").status_code == 200


def code_of(response: httpx.Response) -> str:
    """Return the code of a problem document."""
    return str(response.json()["type"]).removeprefix("urn:syncnet:problem:")


@contextlib.contextmanager
def paused(cluster: Cluster, *pids: int) -> Iterator[None]:
    """Stop some processes with SIGSTOP for a while."""
    cluster.pause(*pids)
    try:
        yield
    finally:
        cluster.resume()
