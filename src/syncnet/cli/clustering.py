"""The options of `syncnet serve` for a cluster, and the coordinator that they ask for."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from syncnet.cli.durations import DURATION
from syncnet.coordinator.cluster import ClusterCoordinator
from syncnet.coordinator.coordinator import Observer
from syncnet.core.limits import Limits
from syncnet.errors import ClusterError
from syncnet.log.cluster.durability import flushing_of, shortfalls
from syncnet.log.cluster.loop import Loop
from syncnet.log.cluster.node import LEASE_S, Node

if TYPE_CHECKING:
    from syncnet.log.cluster.jetstream import JetStream

__all__ = ["Clustering", "Member", "cluster_options"]

_OF_MACHINE: Final = (
    "sync_payload_bytes_max",
    "pending_offers_max",
    "pending_bytes_max",
    "pending_per_namespace_max",
    "pending_per_token_max",
    "search_steps_max",
    "outcome_ttl_s",
    "outcomes_max",
    "outcomes_bytes_max",
    "trace_syncs_max",
    "trace_bytes_max",
)
"""The limits by which nodes decide; those of all nodes must be the same."""

_NODE_NAME: Final = re.compile(r"[A-Za-z0-9.:_-]{1,100}")
"""What is safe in a header and in a label of a metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """What the options say."""

    cluster: str | None
    cluster_name: str
    shards: int
    lease: float
    replicas: int | None
    nats_credentials: Path | None
    nats_monitor: str | None
    require_durable: bool
    node_name: str | None

    def name_of(self, port: int) -> str:
        """Return the name of the node that serves on this port; empty without a cluster."""
        if self.cluster is None:
            return ""
        return self.node_name or f"{socket.gethostname()}:{port}"

    async def join(self, urls: str, limits: Limits, observers: list[Observer]) -> Member:
        """Connect to a cluster, and take part in it.

        :raises click.ClickException: it cannot be reached, or has other settings.
        """
        try:
            from syncnet.log.cluster.jetstream import JetStream
        except ImportError:
            raise click.ClickException("--cluster needs: pip install 'syncnet-server[cluster]'") from None
        settings = {name: getattr(limits, name) for name in _OF_MACHINE}
        try:
            stream = await JetStream.connect(
                urls.split(","),
                self.cluster_name,
                settings,
                shards=self.shards,
                lease_s=self.lease,
                replicas=self.replicas,
                credentials=str(self.nats_credentials) if self.nats_credentials else None,
            )
            missing = await self._missing(stream)
        except ClusterError as error:
            raise click.ClickException(str(error)) from None
        if missing and self.require_durable:
            await stream.close()
            raise click.ClickException("--require-durable: " + "; ".join(missing))
        if missing:
            missing.insert(0, "outcomes may be lost in a crash of servers of NATS (docs/cluster.md):")
        for line in missing:
            click.echo(f"syncnet: WARNING: {line}", err=True)
        node = Node(stream, Loop(), self.lease)
        coordinator = ClusterCoordinator(node, limits, observers)
        node.start()
        return Member(stream, coordinator)

    async def _missing(self, stream: JetStream) -> list[str]:
        """Return what the settings of NATS leave out of the promise that outcomes survive."""
        monitors = [url for url in (self.nats_monitor or "").split(",") if url]
        servers = await asyncio.gather(*[asyncio.to_thread(flushing_of, url) for url in monitors])
        return shortfalls(await stream.kept(), stream.servers_total, servers)


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the cluster."""

    stream: JetStream
    coordinator: ClusterCoordinator


def _checked_name(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    if name is not None and not _NODE_NAME.fullmatch(name):
        raise click.BadParameter(f'expected 1 to 100 letters, digits and any of .:_-, got "{name}"')
    return name


_OPTIONS: Final = (
    click.option(
        "--cluster",
        metavar="URLS",
        help="Act as one with all servers that name the same NATS: nats://n1:4222,nats://n2:4222,nats://n3:4222.",
    ),
    click.option(
        "--cluster-name",
        default="syncnet",
        show_default=True,
        metavar="NAME",
        help="The name of the cluster; several may share one NATS.",
    ),
    click.option(
        "--shards",
        type=click.IntRange(1, 1_000),
        default=1,
        show_default=True,
        help="Over how many streams the namespaces are spread; the same for all nodes.",
    ),
    click.option(
        "--lease",
        type=DURATION,
        default=f"{LEASE_S:.0f}s",
        show_default=True,
        help="After how long without a sign of life a node is lost, and its offers are withdrawn.",
    ),
    click.option(
        "--replicas",
        type=click.IntRange(1, 5),
        help="How many servers of NATS keep each entry.  [default: 3 where three servers are there, else 1]",
    ),
    click.option(
        "--nats-credentials",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="The credentials file for NATS.",
    ),
    click.option(
        "--nats-monitor",
        metavar="URLS",
        help="The monitoring ports of the servers of NATS, which say whether they flush: http://n1:8222,…",
    ),
    click.option(
        "--require-durable",
        is_flag=True,
        help="Do not start where the settings of NATS do not make outcomes survive. By default they are warned of.",
    ),
    click.option(
        "--node-name",
        metavar="NAME",
        callback=_checked_name,
        help="The name of this node in answers and metrics.  [default: the name of the machine and the port]",
    ),
)


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for a cluster; the command gets them as `clustering`."""

    @functools.wraps(command)
    def with_cluster(**options: Any) -> None:
        own = {field.name: options.pop(field.name) for field in fields(Clustering)}
        command(**options, clustering=Clustering(**own))

    for decorate in reversed(_OPTIONS):
        with_cluster = decorate(with_cluster)
    return with_cluster
