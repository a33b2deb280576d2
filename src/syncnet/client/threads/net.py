"""What a thread does in its own way: connect, wait, begin something beside. By the standard library alone.

Deadlines (`until_s`) are of `now_s()`; None is none. Whatever goes wrong with a connection is an `OSError`; a deadline
that has passed is a `TimeoutError`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from syncnet.client.keepalive import keep_alive

if TYPE_CHECKING:
    import ssl

__all__ = ["Event", "Semaphore", "Stream", "connect", "now_s", "shielded", "spawn"]

_CHUNK_BYTES: Final = 65_536

now_s = time.monotonic


class Stream:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # of who closes: a number that was closed may be another socket's by now
        self._is_receiving = False
        self._is_closed: bool = False

    def send(self, data: bytes, until_s: float | None) -> None:
        """Send all of `data`."""
        self._connection.settimeout(_left_s(until_s))
        self._connection.sendall(data)

    def receive(self, until_s: float | None) -> bytes:
        """Return some bytes, one or more; none at the end of the connection."""
        self._connection.settimeout(_left_s(until_s))
        with self._lock:
            if self._is_closed:
                return b""
            self._is_receiving = True
        try:
            return self._connection.recv(_CHUNK_BYTES)
        finally:
            self._has_received()

    def _has_received(self) -> None:
        with self._lock:
            self._is_receiving = False
            if self._is_closed:
                self._connection.close()

    def close(self) -> None:
        """End the connection; whoever receives from it is told so."""
        with self._lock:
            self._is_closed = True
            if self._is_receiving:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
            else:
                self._connection.close()


def connect(host: str, port: int, tls: ssl.SSLContext | None, until_s: float | None) -> Stream:
    """Return a new connection, with TLS where there is a context for it."""
    connection = socket.create_connection((host, port), _left_s(until_s))
    try:
        keep_alive(connection)
        if tls is not None:
            connection.settimeout(_left_s(until_s))
            connection = tls.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    return Stream(connection)


class Event:
    """Something that happens once, and that any number can wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """Let it happen."""
        self._event.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for it, so many seconds at most; return whether it has happened."""
        return self._event.wait(timeout_s)


class Semaphore:
    """A number of places: `with` takes one, and waits where there is none."""

    def __init__(self, places: int) -> None:
        self._semaphore = threading.BoundedSemaphore(places)

    def __enter__(self) -> None:
        self._semaphore.acquire()

    def __exit__(self, *_: object) -> None:
        self._semaphore.release()


def spawn(run: Callable[[], None], name: str) -> None:
    """Let `run` run beside; it must not raise an `Exception`."""
    threading.Thread(target=run, name=name, daemon=True).start()


def shielded() -> AbstractContextManager[None]:
    """Return a context that does nothing: nobody cancels a thread."""
    return contextlib.nullcontext()


def _left_s(until_s: float | None) -> float | None:
    if until_s is None:
        return None
    left_s = until_s - now_s()
    if left_s <= 0:
        raise TimeoutError("the time is over")
    return left_s
