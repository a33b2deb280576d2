"""How much of what was sent on a connection has not reached its client.

Granian accepts any amount of data for a client that reads nothing, and keeps it in memory. The kernel knows better: its
send queue holds what the client has not acknowledged (SIOCOUTQ, tcp(7)). So whoever sends a lot looks there first. This
works on Linux only, and finds the socket of a connection among the open files of this process by its two addresses.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Final

from syncnet.server.reaper import connection, normalized

__all__ = ["UNSENT_BYTES_MAX", "SendQueue"]

UNSENT_BYTES_MAX: Final = 16_384
"""Above that, nothing more is to be sent. Less than the smallest queue that the kernel makes: a full one has more."""

_FILES: Final = "/proc/self/fd"
_INTERVAL_S: Final = 0.25
"""How often something may be sent where the send queue cannot be read."""


class SendQueue:
    """The send queue of the connection from `client` to `server` (`host:port`); `close` releases it."""

    def __init__(self, client: str, server: str) -> None:
        self._socket = _duplicate(normalized(connection(client, server)))
        self._sent_s = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the socket was found."""
        return self._socket is not None

    def has_room(self) -> bool:
        """Return whether more may be sent now: the client has read nearly all that was sent before."""
        if self._socket is not None:
            return self._unsent_bytes(self._socket) <= UNSENT_BYTES_MAX
        now_s = time.monotonic()
        if now_s - self._sent_s < _INTERVAL_S:
            return False
        self._sent_s = now_s
        return True

    def close(self) -> None:
        """Release the socket; the connection stays."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _unsent_bytes(self, connected: socket.socket) -> int:
        import fcntl
        import termios

        try:
            answer = fcntl.ioctl(connected, termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:  # the connection was closed, which its reader will learn
            return 0
        return int.from_bytes(answer, sys.byteorder)


def _duplicate(wanted: str) -> socket.socket | None:
    """Return a duplicate of the socket of a connection, named as by `connection`; None where it cannot be found."""
    try:
        files = [int(name) for name in os.listdir(_FILES)]
    except OSError:
        return None
    for file in sorted(files, reverse=True):
        if _name_of(file) != wanted:
            continue
        try:
            duplicate = socket.socket(fileno=os.dup(file))
        except OSError:  # closed meanwhile, and so is the connection
            return None
        if _name_of(duplicate.fileno()) == wanted:  # else the number was given to another file
            return duplicate
        duplicate.close()
    return None


def _name_of(file: int) -> str:
    """Return the name of the connection of an open file; empty where it is none."""
    try:
        other = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, file)
    except OSError:
        return ""
    try:
        peer, own = other.getpeername(), other.getsockname()
    except OSError:
        return ""
    finally:
        other.detach()  # it is not ours to close
    if not isinstance(peer, tuple) or not isinstance(peer[0], str):  # not of TCP
        return ""
    host = f"[{peer[0]}]" if ":" in peer[0] else peer[0]
    return normalized(f"{host}:{peer[1]}>{own[1]}")
