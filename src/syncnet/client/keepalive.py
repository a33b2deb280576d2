"""The socket options for long waits: a client notices within half a minute that the server's machine has vanished."""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["keep_alive"]

# The first probe follows 15 s of silence; three missed probes, 5 s apart, end the connection. The server does the same.
_OPTIONS: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def keep_alive(connection: socket.socket) -> None:
    """Switch on TCP keep-alive, and send small requests without delay."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
