"""Addresses to listen on: `:8000`, `127.0.0.1:8000`, `localhost:8000`, `[::1]:8000`."""

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
KEEPALIVE_S_MIN: Final = 3  # one second of silence, and two questions a second apart
KEEPALIVE_S_MAX: Final = 3_600


class AddressError(Exception):
    """The text is no address, or the address cannot be listened on; the message says why."""


class Address(NamedTuple):
    """A host (empty: all of this machine's) and a port (0: any that is free)."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Return the address that `text` writes.

    :raises AddressError: it writes none.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise AddressError(f"expected an address such as :8000 or 127.0.0.1:8000, got {text!r}")
    return Address(match["six"] or match["host"] or "", int(match["port"]))


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can reach a listening socket."""
    bound = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0])
    return (getattr(bound, "ipv4_mapped", None) or bound).is_loopback


def keepalive_options(keepalive_s: int) -> dict[str, int]:
    """Return TCP options by name that end a connection whose peer was silent for `keepalive_s` seconds.

    Two cases, and Linux times them apart. Where nothing is under way, which is how clients wait, the kernel asks
    after some silence, and then a few times more. Where bytes are under way that nobody acknowledges, or that the
    client does not read, it does not ask, but sends again for a quarter of an hour, or for ever; TCP_USER_TIMEOUT
    (in ms) bounds both, so that the large answers of those who never read do not stay in memory. It also decides
    when the questions end, and is therefore the sum of their times.
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
    """Return a socket that listens on `address`; on all addresses, of IPv4 and IPv6, where it names no host.

    A client that is silent for `keepalive_s` seconds, because its machine or network is gone, loses its connection.
    Never shares a port: a second server on it would be a second world.

    :raises AddressError: the port is taken, the host is not this machine's, or it is not allowed.
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
        host = address.host or "0.0.0.0"  # noqa: S104 - asked for by naming no host
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, where = found[0][0], found[0][4][:2]  # type: ignore[assignment]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address.host != ""))
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener
