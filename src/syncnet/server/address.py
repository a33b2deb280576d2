"""Listening sockets, and the addresses that name them: `:8000`, `127.0.0.1:8000`, `localhost:8000`, `[::1]:8000`."""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from typing import Final, NamedTuple

__all__ = [
    "BACKLOG_CONNECTIONS",
    "KEEPALIVE_S",
    "KEEPALIVE_S_MAX",
    "KEEPALIVE_S_MIN",
    "Address",
    "AddressError",
    "is_loopback",
    "keepalive_options",
    "listen",
    "parse_address",
]

_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^\[\]:/ ]*)):(?P<port>[0-9]{1,5})")
_PORT_MAX: Final = 65_535
BACKLOG_CONNECTIONS: Final = 4_096
KEEPALIVE_S: Final = 25
KEEPALIVE_S_MIN: Final = 3  # one second of silence, and two probes one second apart
KEEPALIVE_S_MAX: Final = 3_600


class AddressError(Exception):
    """The text is not an address, or the server cannot listen on it; the message says why."""


class Address(NamedTuple):
    """A host (empty: all interfaces) and a port (0: any free port)."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Parse an address of the form `host:port`.

    :raises AddressError: `text` is not an address.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise AddressError(f"expected an address such as :8000 or 127.0.0.1:8000, got {text!r}")
    return Address(match["six"] or match["host"] or "", int(match["port"]))


def is_loopback(listener: socket.socket) -> bool:
    """Return whether a listening socket can be reached only from this machine."""
    bound = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    return (getattr(bound, "ipv4_mapped", None) or bound).is_loopback


def keepalive_options(keepalive_s: int) -> dict[str, int]:
    """Return TCP options, by name, that close a connection whose peer was silent for `keepalive_s` seconds.

    Linux has separate timers for two cases. If no data is in flight, as while an offer is pending, the kernel sends
    keep-alive probes after some silence. If data is in flight that the peer does not acknowledge, or does not read, the
    kernel sends no probes: it retransmits for about 15 minutes, or for ever. TCP_USER_TIMEOUT (in ms) limits both
    cases, so that large responses to a client that never reads do not stay in memory. It also overrides the end of
    the probes, so it is set to their total time.
    """
    interval_s = max(1, keepalive_s // 5)
    probes = min(3, (keepalive_s - 1) // interval_s)
    idle_s = keepalive_s - probes * interval_s
    return {
        "TCP_KEEPIDLE": idle_s,
        "TCP_KEEPALIVE": idle_s,  # the name of TCP_KEEPIDLE on macOS
        "TCP_KEEPINTVL": interval_s,
        "TCP_KEEPCNT": probes,
        "TCP_USER_TIMEOUT": keepalive_s * 1_000,
    }


def listen(address: Address, keepalive_s: int = KEEPALIVE_S) -> socket.socket:
    """Return a socket that listens on `address`; on all interfaces (IPv4 and IPv6) if it names no host.

    The connection of a peer that is silent for `keepalive_s` seconds, because its machine or network failed, is closed.
    The port is never shared: clients on the same port must reach the same server.

    :raises AddressError: the port is in use, the host is not an address of this machine, or permission is missing.
    """
    try:
        listener = _bound(address)
        listener.listen(BACKLOG_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"cannot listen on {address.host}:{address.port}: {_reason(error)}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in keepalive_options(keepalive_s).items():
        if hasattr(socket, name):  # inherited by accepted connections on Linux
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _reason(error: OSError | UnicodeError) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{text[:1].lower()}{text[1:]}"


def _bound(address: Address) -> socket.socket:
    if address.host == "" and socket.has_dualstack_ipv6():
        family, where = socket.AF_INET6, ("::", address.port)
    else:
        host = address.host or "0.0.0.0"  # noqa: S104 - no host means all interfaces
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, where = found[0][0], found[0][4][:2]  # type: ignore[assignment]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # on Windows this option would share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != ""))
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener
