"""Connections, waiting and background work for threads, built on the standard library alone.

Deadlines (`deadline_s`) are times of `now_s()`; None is no deadline. Every failure of a connection is an `OSError`; a
deadline that has passed is a `TimeoutError`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from syncnet.client.sockets import has_input, set_up

if TYPE_CHECKING:
    import ssl

__all__ = ["Event", "Semaphore", "Stream", "connect", "current_owner", "now_s", "shielded", "spawn"]

_CHUNK_BYTES: Final = 65_536

now_s: Final[Callable[[], float]] = time.monotonic


class Stream:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = (
            threading.Lock()
        )  # held to close: the number of a closed socket may belong to another socket already
        self._is_receiving = False
        self._is_closed: bool = False

    def send(self, data: bytes, deadline_s: float | None) -> None:
        """Send all of `data`."""
        self._connection.settimeout(_left_s(deadline_s))
        self._connection.sendall(data)

    def receive(self, deadline_s: float | None) -> bytes:
        """Return the next bytes, or none at the end of the connection."""
        self._connection.settimeout(_left_s(deadline_s))
        with self._lock:
            if self._is_closed:
                return b""
            self._is_receiving = True
        try:
            return self._connection.recv(_CHUNK_BYTES)
        finally:
            self._end_receiving()

    def _end_receiving(self) -> None:
        with self._lock:
            self._is_receiving = False
            if self._is_closed:
                self._connection.close()

    def has_input(self) -> bool:
        """Return whether there is something to read, which includes the end of the connection."""
        return has_input(self._connection.fileno())

    def close(self) -> None:
        """Close the connection; a thread that receives from it gets an error."""
        with self._lock:
            self._is_closed = True
            if self._is_receiving:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
            else:
                self._connection.close()


def connect(host: str, port: int, tls: ssl.SSLContext | None, deadline_s: float | None) -> Stream:
    """Open a connection, with TLS if there is a context for it."""
    connection = socket.create_connection((host, port), _left_s(deadline_s))
    try:
        set_up(connection)
        if tls is not None:
            connection.settimeout(_left_s(deadline_s))
            connection = tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return Stream(connection)


class Event:
    """A flag that any number of threads can wait for; it is set once and stays set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._event.is_set()

    def set(self) -> None:
        """Set the flag."""
        self._event.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the flag is set, for at most `timeout_s` seconds; return whether it is set."""
        return self._event.wait(timeout_s)


class Semaphore:
    """A bound on how many threads are inside `with` at the same time."""

    def __init__(self, threads_max: int) -> None:
        self._semaphore = threading.BoundedSemaphore(threads_max)

    def __enter__(self) -> None:
        self._semaphore.acquire()

    def __exit__(self, *_: object) -> None:
        self._semaphore.release()


def spawn(run: Callable[[], None], name: str) -> None:
    """Run `run` in a thread of its own; it must not raise an `Exception`."""
    threading.Thread(target=run, name=name, daemon=True).start()


def current_owner() -> int:
    """Return what owns the connections that are opened here: the process."""
    return os.getpid()


def shielded() -> AbstractContextManager[None]:
    """Return a context that does nothing: a thread cannot be cancelled."""
    return contextlib.nullcontext()


def _left_s(deadline_s: float | None) -> float | None:
    if deadline_s is None:
        return None
    left_s = deadline_s - now_s()
    if left_s <= 0:
        raise TimeoutError("the deadline has passed")
    return left_s
