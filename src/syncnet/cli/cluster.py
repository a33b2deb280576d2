"""`syncnet cluster up`: a cluster on this machine, to try out: servers of NATS, and syncnet nodes in front of them."""

from __future__ import annotations

import importlib.util
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click

from syncnet.cli.children import Child
from syncnet.cli.folders import FOLDER
from syncnet.cli.nats_servers import NatsServers, nats_server

__all__ = ["cluster"]

_SERVERS: Final = 3
_NODES_MAX: Final = 20
_PORT_MAX: Final = 65_535
_LEASE: Final = "3s"
_START_S: Final = 60.0
_POLL_S: Final = 0.1
_PROBE_S: Final = 1.0
_RESTART_S: Final = 3.0
"""A node that ends by itself within this time of its start would do so again."""


@click.group()
def cluster() -> None:
    """Try out several servers that act as one."""


@cluster.command()
@click.option(
    "--nodes", type=click.IntRange(1, _NODES_MAX), default=3, show_default=True, help="How many nodes of syncnet."
)
@click.option(
    "--port",
    type=click.IntRange(1, _PORT_MAX),
    default=8000,
    show_default=True,
    help="The port of the first node; the others have the ports after it.",
)
@click.option(
    "--dir", "folder", type=FOLDER, metavar="DIR", help="Keep data and logs here.  [default: a temporary folder]"
)
def up(nodes: int, port: int, folder: Path | None) -> None:
    """Run a cluster on 127.0.0.1 until Ctrl-C: three servers of NATS, and nodes on ports that follow each other.

    A node or server of NATS that ends, for example by `kill -9`, is started again. One that ends before the cluster is
    ready ends it all, with status 1. For a cluster on several machines see docs/cluster.md.
    """
    if port + nodes - 1 > _PORT_MAX:
        raise click.BadParameter(f"expected ports up to {_PORT_MAX}, got {port + nodes - 1}", param_hint="--port")
    program = nats_server()
    if program is None or importlib.util.find_spec("nats") is None:
        raise click.ClickException("syncnet cluster up needs: pip install 'syncnet-server[cluster]'")
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="syncnet-cluster-")))
        servers = NatsServers(folder / "nats", _SERVERS, program=program)
        stack.callback(servers.stop)
        servers.start()
        members = [_Node(port + number, servers, folder) for number in range(nodes)]
        stack.callback(_stop, members)
        for member in members:
            member.start()
        _wait_until_ready(members, servers, stop)
        if not stop.is_set():
            _introduce(members, servers, folder)
        while not stop.wait(_POLL_S):
            _start_again(members, servers)
    click.echo("the cluster has ended")


class _Node:
    """One node: a process of `syncnet serve`, with its output in a file."""

    def __init__(self, port: int, servers: NatsServers, folder: Path) -> None:
        self.url: str = f"http://127.0.0.1:{port}"
        urls, monitors = ",".join(servers.urls), ",".join(servers.monitors)
        cluster = ("--cluster", urls, "--nats-monitor", monitors, "--lease", _LEASE)
        command = [sys.executable, "-m", "syncnet", "serve", f"127.0.0.1:{port}", *cluster]
        self.child: Child = Child(command, folder / f"node-{port}.log")
        self._started_s = 0.0

    def start(self) -> None:
        """Start the process."""
        self._started_s = time.monotonic()
        self.child.start()

    @property
    def is_new(self) -> bool:
        """Whether the process was started a short time ago."""
        return time.monotonic() - self._started_s < _RESTART_S

    def is_ready(self) -> bool:
        """Return whether the node takes offers."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=_PROBE_S):  # noqa: S310 - our own URL
                return True
        except OSError:
            return False


def _stop(members: list[_Node]) -> None:
    for member in members:
        member.child.terminate()
    for member in members:
        member.child.wait()


def _wait_until_ready(members: list[_Node], servers: NatsServers, stop: threading.Event) -> None:
    """Wait until all nodes take offers.

    :raises click.ClickException: a process has ended, or it took too long.
    """
    until_s = time.monotonic() + _START_S
    waiting = list(members)
    while waiting and not stop.wait(_POLL_S):
        for number, status in servers.ended():
            raise click.ClickException(
                f"server {number} of NATS {_ended(status)} before the cluster was ready:\n{servers.last_output(number)}"
            )
        for member in members:
            if member.child.status is not None:
                what = f"the node {member.url} {_ended(member.child.status)} before the cluster was ready"
                raise click.ClickException(f"{what}:\n{member.child.last_output}")
        if time.monotonic() > until_s:
            raise click.ClickException(
                f"{waiting[0].url} is not ready after {_START_S:g} s:\n{waiting[0].child.last_output}"
            )
        waiting = [member for member in waiting if not member.is_ready()]


def _introduce(members: list[_Node], servers: NatsServers, folder: Path) -> None:
    """Print where the cluster is, and what to try."""
    for member in members:
        click.echo(f"{member.url}  (process {member.child.pid})")
    pids = ", ".join([str(servers.pid(number)) for number in range(_SERVERS)])
    click.echo(f"NATS: {','.join(servers.urls)}  (processes {pids})")
    click.echo(f"logs and data: {folder}")
    click.echo("\nTry, in two terminals:")
    click.echo(f"  curl '{members[0].url}/event?event=coin&actor=VM'")
    click.echo(f"  curl '{members[-1].url}/event?event=coin&actor=CUST'")
    click.echo("\nCtrl-C ends all.")


def _start_again(members: list[_Node], servers: NatsServers) -> None:
    """Start what has ended.

    :raises click.ClickException: a node has ended with an error just after it was started.
    """
    for number, status in servers.ended():
        click.echo(f"server {number} of NATS {_ended(status)}; it is started again", err=True)
    servers.start()
    for member in members:
        if member.child.status is None:
            continue
        what = f"the node {member.url} {_ended(member.child.status)}"
        if member.child.status > 0:  # a signal says by itself what happened
            what += f":\n{member.child.last_output}"
            if member.is_new:
                raise click.ClickException(what)
        member.start()
        click.echo(f"{what}; it is started again as process {member.child.pid}", err=True)


def _ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"has ended with status {status}"
