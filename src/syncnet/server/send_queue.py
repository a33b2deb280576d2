"""How much of what was sent on a connection has not reached its client.

Granian accepts any amount of data for a client that reads nothing, and keeps it in memory. The kernel knows better: its
send queue holds what the client has not acknowledged (SIOCOUTQ, tcp(7)). So a sender looks there first. This
works on Linux only, and finds the socket of a connection among the open files of this process by its two addresses.
"""

from __future__ import annotations

import ctypes
import os
import socket
import termios
import threading
import time
from typing import Final

from syncnet.server.reaper import connection, normalized

__all__ = ["UNSENT_BYTES_MAX", "SendQueue"]

UNSENT_BYTES_MAX: Final = 16_384
"""Above that, nothing more is to be sent. Less than the smallest queue that the kernel makes: a full one has more."""

_FILES: Final = "/proc/self/fd"
_INTERVAL_S: Final = 0.25
"""How often something may be sent where the send queue cannot be read."""

_ioctl: Final = ctypes.PyDLL(None).ioctl
_ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)


class _OpenConnections:
    """The connections among the open files of this process. To look through them takes a while where there are many.

    So a look serves all that ask meanwhile: a thousand readers that come at once need a few looks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[tuple[int, int], list[int]] = {}  # by the ports of both ends

    def duplicate(self, wanted: str) -> socket.socket | None:
        """Return a duplicate of the socket of a connection, named as by `connection`; None where it is not found."""
        client, _, port = wanted.rpartition(">")
        ports = int(client.rpartition(":")[2]), int(port)
        with self._lock:
            found = self._find(ports, wanted)
            if found is None:
                self._look()
                found = self._find(ports, wanted)
            return found

    def _find(self, ports: tuple[int, int], wanted: str) -> socket.socket | None:
        for file in self._files.get(ports, ()):
            try:
                duplicate = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, os.dup(file))
            except OSError:  # it was closed, and perhaps another file has its number now
                continue
            if _name_of(duplicate) == wanted:
                return duplicate
            duplicate.close()
        return None

    def _look(self) -> None:
        self._files.clear()
        try:
            names = os.listdir(_FILES)
        except OSError:
            return
        for file in map(int, names):
            ports = _ports_of(file)
            if ports is not None:
                self._files.setdefault(ports, []).append(file)


_open_connections: Final = _OpenConnections()


class SendQueue:
    """The send queue of the connection from `client` to `server` (`host:port`); `close` releases it."""

    def __init__(self, client: str, server: str) -> None:
        self._socket = _open_connections.duplicate(normalized(connection(client, server)))
        self._unsent = ctypes.c_int(0)
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
        """Ask the kernel; 0 of a connection that was closed, which its reader will learn.

        `fcntl.ioctl` would release the GIL, and then wait for it: among a thousand readers that takes half of the
        server's time. The call itself takes a microsecond and never blocks.
        """
        self._unsent.value = 0
        _ioctl(connected.fileno(), termios.TIOCOUTQ, ctypes.byref(self._unsent))
        return self._unsent.value


def _ports_of(file: int) -> tuple[int, int] | None:
    """Return the ports of both ends of an open file; None where it is no connection."""
    try:
        other = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, file)
    except OSError:
        return None
    try:
        peer = other.getpeername()
        return (peer[1], other.getsockname()[1]) if _is_address(peer) else None
    except OSError:
        return None
    finally:
        other.detach()  # it is not ours to close


def _name_of(connected: socket.socket) -> str:
    """Return the name of a connection; empty where it is none."""
    try:
        peer, own = connected.getpeername(), connected.getsockname()
        host = f"[{peer[0]}]" if _is_address(peer) and ":" in peer[0] else peer[0]
        return normalized(f"{host}:{peer[1]}>{own[1]}")
    except (OSError, ValueError):
        return ""


def _is_address(address: object) -> bool:
    """Return whether an address is one of IP: host and port, perhaps more."""
    return isinstance(address, tuple) and isinstance(address[0], str)
