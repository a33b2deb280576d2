"""Addresses to listen on: `:8000`, `127.0.0.1:8000`, `localhost:8000`, `[::1]:8000`."""

from __future__ import annotations

import re
import socket
import sys
from typing import Final, NamedTuple

__all__ = ["BACKLOG_CONNECTIONS", "Address", "AddressError", "listen", "parse_address"]

_ADDRESS: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^\[\]:/ ]*)):(?P<port>[0-9]{1,5})")
_PORT_MAX: Final = 65_535
BACKLOG_CONNECTIONS: Final = 4_096
# A client whose machine is gone sends nothing; the kernel asks for it after 15 s, 3 times, and ends the connection.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


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


def listen(address: Address) -> socket.socket:
    """Return a socket that listens on `address`; on all addresses, of IPv4 and IPv6, where it names no host.

    Never shares a port: a second server on it would be a second world.

    :raises AddressError: the port is taken, the host is not this machine's, or it is not allowed.
    """
    try:
        listener = _bound(address)
        listener.listen(BACKLOG_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"cannot listen on {address.host}:{address.port}: {_reason(error)}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
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
