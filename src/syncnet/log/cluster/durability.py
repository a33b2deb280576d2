"""What the settings of NATS leave out of the promise that an outcome survives (G9).

An entry counts as stored when JetStream acknowledges it. It is then on the disks of most of its servers only if they
flush each entry before they acknowledge it (`sync_interval: always`). By default they flush every two minutes, and
where several of them lose power, what came since is lost: https://jepsen.io/analyses/nats-2.12.1. Only the monitoring
port of a server says how it flushes; the protocol for clients does not.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Flushing", "Kept", "flushing_of", "shortfalls"]

_MONITOR_S: Final = 2.0
_REPLICAS: Final = 3


class Kept(NamedTuple):
    """How a stream of JetStream is kept."""

    stream: str
    replicas: int
    is_on_disk: bool


class Flushing(NamedTuple):
    """How the server at a monitoring port flushes: before each acknowledgement with 0, otherwise after so many seconds.

    `problem` says why that could not be read; empty if it could.
    """

    monitor: str
    interval_s: float
    problem: str = ""


def flushing_of(monitor: str) -> Flushing:
    """Ask the monitoring port of a server how it flushes; takes some seconds at most."""
    url = f"{monitor.rstrip('/')}/jsz?config=1"  # `/varz` stays without it if it was asked before JetStream had started
    if not url.startswith(("http://", "https://")):
        return Flushing(monitor, 0.0, f'expected a URL with http:// or https://, got "{monitor}"')
    try:
        with urllib.request.urlopen(url, timeout=_MONITOR_S) as answer:  # noqa: S310 - the scheme is checked
            config = json.load(answer)["config"]
        interval_s = 0.0 if config.get("sync_always", False) else config["sync_interval"] / 1e9
        return Flushing(monitor, interval_s)
    except KeyError:
        return Flushing(monitor, 0.0, f"{url} says nothing about JetStream")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Flushing(monitor, 0.0, f"{url} cannot be read: {reason}")


def shortfalls(streams: Sequence[Kept], servers_total: int, servers: Sequence[Flushing]) -> list[str]:
    """Return what is missing for outcomes to survive, one line each; none where the settings give all of it.

    `servers_total` is how many servers of NATS are known, `servers` has those whose monitoring ports were asked.
    """
    found: list[str] = []
    for stream in streams:
        if not stream.is_on_disk:
            found.append(f"the stream {stream.stream} is kept in memory: expected storage on disk")
        if stream.replicas < _REPLICAS <= servers_total:
            copies = "1 copy" if stream.replicas == 1 else f"{stream.replicas} copies"
            found.append(f"the stream {stream.stream} has {copies} on {servers_total} servers: expected {_REPLICAS}")
    for server in servers:
        if server.problem:
            found.append(f"how a server of NATS flushes to its disk is not known: {server.problem}")
        elif server.interval_s:
            found.append(
                f"the server of NATS at {server.monitor} flushes to its disk every {server.interval_s:g} s: "
                "expected `sync_interval: always` in its jetstream block"
            )
    asked = len({server.monitor for server in servers})
    wanted = max([stream.replicas for stream in streams], default=1)
    if not servers:
        found.append("how the servers of NATS flush to their disks is not known: give --nats-monitor http://n1:8222,…")
    elif asked < wanted:
        found.append(f"each entry has {wanted} copies: expected --nats-monitor for all their servers, got {asked}")
    return found
