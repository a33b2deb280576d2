"""What the clients for tasks and for threads have in common below TLS: options, unread input, and forked processes.

A child process of `os.fork` has a copy of every socket. It may neither use nor shut down the connections of its
parent, and a copy that stays open hides from the server that the parent has ended. So the copies are closed in the
child, by putting `/dev/null` in their place: the objects of an event loop that still hold their numbers do no harm.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import Final

__all__ = ["has_input", "set_up"]

# The first probe follows 15 s of silence; three missed probes, 5 s apart, end the connection. The server does the same.
_OPTIONS: Final = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

_opened: Final[dict[int, os.stat_result]] = {}
"""The sockets by number. Some may be closed: their numbers, if in use again, belong to files with another status."""


def set_up(connection: socket.socket) -> None:
    """Prepare a new connection.

    TCP keep-alive notices within half a minute that the server's machine has vanished. Small requests are sent without
    delay. Child processes close their copies.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(os, "register_at_fork"):
        number = connection.fileno()
        _opened[number] = os.fstat(number)


def has_input(number: int) -> bool:
    """Return whether a socket has something to read: data, or the end of the connection; true if it is closed."""
    if number < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([number], [], [], 0)[0])


def _close_copies() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number, status in _opened.items():
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(number), status):
                os.dup2(null, number, inheritable=False)
    os.close(null)
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)
