"""Connections, waiting and background work for tasks of asyncio and trio, built on anyio.

Deadlines (`deadline_s`) are times of `now_s()`; None is no deadline. Every failure of a connection is an `OSError`; a
deadline that has passed is a `TimeoutError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute

from syncnet.client.sockets import has_input, set_up

if TYPE_CHECKING:
    import ssl

__all__ = [
    "BackgroundTask",
    "Event",
    "LoopEnd",
    "Semaphore",
    "Stream",
    "connect",
    "current_owner",
    "now_s",
    "shielded",
    "spawn",
]

_CHUNK_BYTES: Final = 65_536
_running: Final[set[asyncio.Task[None]]] = set()  # an event loop keeps only weak references to tasks

T = TypeVar("T")

now_s: Final[Callable[[], float]] = time.monotonic


class Stream:
    """One connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send(self, data: bytes, deadline_s: float | None) -> None:
        """Send all of `data`."""
        try:
            if deadline_s is None:
                await self._stream.send(data)
                return
            with _deadline(deadline_s):
                await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection was lost") from error

    async def receive(self, deadline_s: float | None) -> bytes:
        """Return the next bytes, or none at the end of the connection."""
        try:
            if deadline_s is None:
                return await self._stream.receive(_CHUNK_BYTES)
            with _deadline(deadline_s):
                return await self._stream.receive(_CHUNK_BYTES)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection was lost") from error

    def has_input(self) -> bool:
        """Return whether there is something to read, which includes the end of the connection."""
        return has_input(self._stream.extra(SocketAttribute.raw_socket).fileno())  # noqa: S610 - not Django's

    async def aclose(self) -> None:
        """Close the connection; a task that receives from it gets an error."""
        await anyio.aclose_forcefully(self._stream)


async def connect(host: str, port: int, tls: ssl.SSLContext | None, deadline_s: float | None) -> Stream:
    """Open a connection, with TLS if there is a context for it."""
    with _deadline(deadline_s):
        plain = await anyio.connect_tcp(host, port)
        set_up(plain.extra(SocketAttribute.raw_socket))  # noqa: S610 - not Django's
        if tls is None:
            return Stream(plain)
        from anyio.streams.tls import TLSStream  # slow to import, and not needed for http

        try:
            wrapped = TLSStream.wrap(plain, hostname=host, ssl_context=tls, standard_compatible=False)
            return Stream(await wrapped)
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            await anyio.aclose_forcefully(plain)
            raise ConnectionResetError("the connection was lost during the TLS handshake") from error
        except BaseException:
            await anyio.aclose_forcefully(plain)
            raise


class Event:
    """A flag that any number of tasks can wait for; it is set once and stays set."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._event.is_set()

    def set(self) -> None:
        """Set the flag."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the flag is set, for at most `timeout_s` seconds; return whether it is set."""
        if timeout_s is None:
            await self._event.wait()
            return True
        with anyio.move_on_after(timeout_s):
            await self._event.wait()
        return self._event.is_set()


class BackgroundTask(Generic[T]):
    """A task that starts at once; awaiting it returns its result or raises its error."""

    def __init__(self, run: Callable[[], Awaitable[T]]) -> None:
        self._run = run
        self._ended = Event()
        self._results: list[T] = []  # a list, because T may be None
        self._error: BaseException | None = None
        spawn(self._keep_result, "syncnet")

    def __await__(self) -> Generator[Any, Any, T]:
        return self._result().__await__()

    async def _result(self) -> T:
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]

    async def _keep_result(self) -> None:
        try:
            self._results.append(await self._run())
        except Exception as error:
            self._error = error
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ended.set()


class LoopEnd:
    """Runs a function when the event loop ends.

    `asyncio.run` and `trio.run` close the asynchronous generators of their loop, after the tasks have ended. This one
    runs the function then.
    """

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._generator = self._generate(run)
        with contextlib.suppress(StopIteration):
            self._generator.__anext__().send(None)  # goes to the `yield`, without waiting

    async def aclose(self) -> None:
        """Run the function now, unless it was run before."""
        await self._generator.aclose()

    @staticmethod
    async def _generate(run: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with shielded():
                await run()


class Semaphore:
    """A bound on how many tasks are inside `async with` at the same time."""

    def __init__(self, tasks_max: int) -> None:
        self._semaphore = anyio.Semaphore(tasks_max)

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._semaphore.release()


def spawn(run: Callable[[], Awaitable[None]], name: str) -> None:
    """Run `run` in a task of its own; it must not raise an `Exception`.

    :raises RuntimeError: no event loop is running here.
    """
    loop = _event_loop()
    if loop is None:
        sys.modules["trio"].lowlevel.spawn_system_task(run, name=name)
        return

    async def running() -> None:
        await run()

    task = loop.create_task(running(), name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)


def current_owner() -> tuple[int, object]:
    """Return what owns the connections that are opened here: the process and the event loop.

    :raises RuntimeError: no event loop is running here.
    """
    return os.getpid(), _event_loop() or sys.modules["trio"].lowlevel.current_trio_token()


def shielded() -> AbstractContextManager[Any]:
    """Return a context in which a cancelled task can still wait."""
    return anyio.CancelScope(shield=True)


def _event_loop() -> asyncio.AbstractEventLoop | None:
    """Return the running loop of asyncio, or None in a task of trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")  # a task of trio can only run if it has been imported
        if trio is not None and trio.lowlevel.in_trio_task():
            return None
    raise RuntimeError(
        "expected a running event loop of asyncio or trio, got none: call this in a task, or use syncnet.Client"
    )


def _deadline(deadline_s: float | None) -> AbstractContextManager[Any]:
    return anyio.fail_after(math.inf if deadline_s is None else max(0.0, deadline_s - now_s()))
