"""The processes of a soak of a cluster, and the faults that they suffer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Self

import httpx

from syncnet import Client
from syncnet.cli.nats_servers import NatsServers, nats_server
from tests.cluster.cluster import LEASE_S
from tests.cluster.network import Network
from tests.crash.processes import Processes, free_port
from tests.end_to_end.running import until

SIZE = 3
FAULT_S_MAX = 3 * LEASE_S
ASKED_S_MAX = 10
"""How soon after the last fault everything that can sync does."""


class SoakedCluster(Processes):
    """Servers of NATS, nodes and clients; with `network` each of the servers and nodes is in a namespace of its own."""

    def __init__(self, seed: str, network: Network | None) -> None:
        super().__init__(seed)
        self.faults: dict[str, int] = {}
        self._network = network
        program = nats_server()
        assert program is not None, "the extra `dev` brings nats-server"
        self._nats_names = [f"n{number}" for number in range(SIZE)]
        self._node_names = [f"s{number}" for number in range(SIZE)]
        hosts: list[str] = []
        starters: list[list[str]] = []
        self._starters: list[list[str]] = [[]] * SIZE
        self._hosts = ["127.0.0.1"] * SIZE
        if network is not None:
            for name in self._nats_names:
                network.add(name, "nats")
            for name in self._node_names:
                network.add(name, "nats", "clients")
            hosts = [network.address(name, "nats") for name in self._nats_names]
            starters = [network.starter(name) for name in self._nats_names]
            self._hosts = [network.address(name, "clients") for name in self._node_names]
            self._starters = [network.starter(name) for name in self._node_names]
        self.nats = NatsServers(self.folder / "nats", SIZE, program=program, hosts=hosts, starters=starters)
        self.addresses = [f"{host}:{free_port()}" for host in self._hosts]
        self._nodes: list[subprocess.Popen[bytes] | None] = [None] * SIZE

    def __enter__(self) -> Self:
        super().__enter__()
        self.nats.start()
        for number in range(SIZE):
            self.start_node(number)
        self.until_ready()
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(super().__exit__, error, *rest)
            stack.callback(self.nats.stop)

    # --- nodes ---------------------------------------------------------------------------------------------

    def start_node(self, number: int) -> None:
        """Start a node; it may not be ready yet."""
        self.starts += 1
        options = "--log-format", "none", "--cluster", ",".join(self.nats.urls), "--lease", f"{LEASE_S}s"
        name, address = f"server-{number}-{self.starts}", self.addresses[number]
        self._nodes[number] = self._run(name, "syncnet", address, *options, starter=self._starters[number])

    def node(self, number: int) -> subprocess.Popen[bytes]:
        """Return the process of a node."""
        node = self._nodes[number]
        assert node is not None
        return node

    def until_ready(self) -> None:
        """Wait until all nodes accept offers."""
        until(lambda: all(map(self._is_ready, self.addresses)), lambda: f"not all nodes are ready; {self.folder}")

    def _is_ready(self, address: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self._http.get(f"http://{address}/readyz").status_code == 200
        return False

    def _get(self, path: str, params: dict[str, str | int]) -> httpx.Response:
        """Return the answer of some node that answers."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                address = self.random.choice(self.addresses)
                response = self._http.get(f"http://{address}{path}", params=params, timeout=2)
                if response.status_code == 200:
                    return response
            time.sleep(0.05)

    # --- faults --------------------------------------------------------------------------------------------

    def suffer(self, seconds: float) -> None:
        """Let faults come and go for so long, often two at a time; at the end there are none."""
        until_s = time.monotonic() + seconds
        pending: list[tuple[float, Callable[[], None], object]] = []
        read_s = 0.0
        while time.monotonic() < until_s or pending:
            now_s = time.monotonic()
            for each in [each for each in pending if each[0] <= now_s]:
                pending.remove(each)
                each[1]()
            if now_s < until_s and len(pending) < 2 and self.random.random() < 0.02:
                kind, target, begin, end = self._fault()
                if target not in {each[2] for each in pending}:
                    self.faults[kind] = self.faults.get(kind, 0) + 1
                    begin()
                    pending.append((now_s + self.random.uniform(0, FAULT_S_MAX) * self.random.random(), end, target))
            if now_s > read_s and not pending:
                read_s = now_s + 5
                self.read_trace()
            time.sleep(0.02)

    def _fault(self) -> tuple[str, object, Callable[[], None], Callable[[], None]]:
        """Return the kind of a fault, what it hits, and how it begins and ends."""
        number = self.random.randrange(SIZE)
        kinds = ["kill node", "end node", "kill nats", "kill leader", "pause node", "pause nats", "pause all nats"]
        if self._network is not None:
            kinds += ["cut node from nats", "cut node from clients", "cut nats"] * 2
        kind = self.random.choice(kinds)
        match kind:
            case "kill node" | "end node":
                signum = signal.SIGKILL if kind == "kill node" else signal.SIGTERM
                return kind, ("node", number), lambda: self._end_node(number, signum), lambda: self.start_node(number)
            case "kill nats" | "kill leader":
                if kind == "kill leader":
                    number = self._leader(number)
                return kind, ("nats", number), lambda: self.nats.kill(number), self.nats.start
            case "pause node":
                pid = self.node(number).pid
                return kind, ("node", number), lambda: _send(signal.SIGSTOP, pid), lambda: _send(signal.SIGCONT, pid)
            case "pause nats" | "pause all nats":
                numbers = [number] if kind == "pause nats" else list(range(SIZE))
                pids = [self.nats.pid(each) for each in numbers]
                return (
                    kind,
                    ("nats", number),
                    lambda: _send(signal.SIGSTOP, *pids),
                    lambda: _send(signal.SIGCONT, *pids),
                )
        return self._cut(kind, number)

    def _cut(self, kind: str, number: int) -> tuple[str, object, Callable[[], None], Callable[[], None]]:
        network = self._network
        assert network is not None
        machine = f"n{number}" if kind == "cut nats" else f"s{number}"
        bridge = "clients" if kind == "cut node from clients" else "nats"
        target = "link", machine, bridge
        return kind, target, lambda: network.cut(machine, bridge), lambda: network.join(machine, bridge)

    def _end_node(self, number: int, signum: int) -> None:
        self.kills += 1
        self.node(number).send_signal(signum)
        try:
            self.node(number).wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node {number} did not end; {self.folder}") from None

    def _leader(self, otherwise: int) -> int:
        """Return the server of NATS that leads the stream, if one says so."""
        for monitor in self.nats.monitors:
            with contextlib.suppress(httpx.HTTPError, LookupError, TypeError):
                account = self._http.get(f"{monitor}/jsz?streams=1", timeout=1).json()["account_details"][0]
                for stream in account["stream_detail"]:
                    if stream["name"] == "SYNCNET_syncnet_0":
                        return int(stream["cluster"]["leader"].removeprefix("n"))
        return otherwise

    # --- the end -------------------------------------------------------------------------------------------

    def all_sync(self) -> float:
        """Let pairs and a triple sync across all nodes; return how long that took."""
        started_s = time.monotonic()
        urls = [f"http://{address}" for address in self.addresses]
        with contextlib.ExitStack() as stack:
            nets = [stack.enter_context(Client(urls[number:] + urls[:number])) for number in range(SIZE)]
            for one in range(SIZE):
                other = nets[(one + 1) % SIZE].send(f"end-{one}", actor="A", timeout=ASKED_S_MAX, namespace="end")
                nets[one].sync(f"end-{one}", actor="B", timeout=ASKED_S_MAX, namespace="end")
                other.result()
            three = [
                net.send("end", actor=f"A{number}", mates=2, timeout=ASKED_S_MAX, namespace="end")
                for number, net in enumerate(nets)
            ]
            assert len({each.result().number for each in three}) == 1
        return time.monotonic() - started_s

    def read_traces(self) -> None:
        """Record the trace of every node: they must be the same."""
        addresses = self.addresses
        for address in addresses:
            self.addresses = [address]
            self.read_trace(all_syncs=True)
        self.addresses = addresses


def _send(signum: int, *pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


@contextlib.contextmanager
def soaked(seed: str, *, links: bool) -> Iterator[SoakedCluster]:
    """Start a cluster for a soak; with `links` in network namespaces, whose links are cut as well."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network()) if links else None
        yield stack.enter_context(SoakedCluster(seed, network))
