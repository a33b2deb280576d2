"""The options of a socket that waits for long: a server whose machine is gone is noticed within half a minute."""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["keep_alive"]

# After 15 s of silence the kernel asks, 3 times 5 s apart: what the server does on its side.
_OPTIONS: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def keep_alive(connection: socket.socket) -> None:
    """Let the kernel ask whether the other end is still there, and send small requests at once."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
