"""What a task does in its own way: connect, wait, begin something beside. On asyncio and trio, by anyio.

Deadlines (`until_s`) are of `now_s()`; None is none. Whatever goes wrong with a connection is an `OSError`; a deadline
that has passed is a `TimeoutError`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio
from anyio.abc import ByteStream, SocketAttribute

from syncnet.client.keepalive import keep_alive

if TYPE_CHECKING:
    import ssl

__all__ = ["BackgroundTask", "Event", "Semaphore", "Stream", "connect", "now_s", "shielded", "spawn"]

_CHUNK_BYTES: Final = 65_536
_running: Final[set[asyncio.Task[None]]] = set()  # a loop alone would let go of them

T = TypeVar("T")

now_s = time.monotonic


class Stream:
    """One connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send(self, data: bytes, until_s: float | None) -> None:
        """Send all of `data`."""
        try:
            if until_s is None:
                await self._stream.send(data)
                return
            with _deadline(until_s):
                await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection was lost") from error

    async def receive(self, until_s: float | None) -> bytes:
        """Return some bytes, one or more; none at the end of the connection."""
        try:
            if until_s is None:
                return await self._stream.receive(_CHUNK_BYTES)
            with _deadline(until_s):
                return await self._stream.receive(_CHUNK_BYTES)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError("the connection was lost") from error

    async def aclose(self) -> None:
        """End the connection; whoever receives from it is told so."""
        await anyio.aclose_forcefully(self._stream)


async def connect(host: str, port: int, tls: ssl.SSLContext | None, until_s: float | None) -> Stream:
    """Return a new connection, with TLS where there is a context for it."""
    with _deadline(until_s):
        plain = await anyio.connect_tcp(host, port)
        keep_alive(plain.extra(SocketAttribute.raw_socket))  # noqa: S610 - not Django's
        if tls is None:
            return Stream(plain)
        from anyio.streams.tls import TLSStream  # imports much that http does not need

        try:
            wrapped = TLSStream.wrap(plain, hostname=host, ssl_context=tls, standard_compatible=False)
            return Stream(await wrapped)
        except (anyio.BrokenResourceError, anyio.EndOfStream) as error:
            await anyio.aclose_forcefully(plain)
            raise ConnectionResetError("the connection was lost while TLS began") from error
        except BaseException:
            await anyio.aclose_forcefully(plain)
            raise


class Event:
    """Something that happens once, and that any number can wait for."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._event.is_set()

    def set(self) -> None:
        """Let it happen."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for it, so many seconds at most; return whether it has happened."""
        if timeout_s is None:
            await self._event.wait()
            return True
        with anyio.move_on_after(timeout_s):
            await self._event.wait()
        return self._event.is_set()


class BackgroundTask(Generic[T]):
    """Something that runs beside from now on; awaiting it gives what came of it."""

    def __init__(self, run: Callable[[], Awaitable[T]]) -> None:
        self._run = run
        self._ended = Event()
        self._results: list[T] = []
        self._error: BaseException | None = None
        spawn(self._keep, "syncnet")

    def __await__(self) -> Generator[Any, Any, T]:
        return self._result().__await__()

    async def _result(self) -> T:
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]

    async def _keep(self) -> None:
        try:
            self._results.append(await self._run())
        except Exception as error:
            self._error = error
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ended.set()


class Semaphore:
    """A number of places: `async with` takes one, and waits where there is none."""

    def __init__(self, places: int) -> None:
        self._semaphore = anyio.Semaphore(places)

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._semaphore.release()


def spawn(run: Callable[[], Awaitable[None]], name: str) -> None:
    """Let `run` run beside; it must not raise an `Exception`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio  # this is called by one of its tasks

        trio.lowlevel.spawn_system_task(run, name=name)
        return

    async def running() -> None:
        await run()

    task = loop.create_task(running(), name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)


def shielded() -> AbstractContextManager[Any]:
    """Return a context that a cancelled task can still wait in."""
    return anyio.CancelScope(shield=True)


def _deadline(until_s: float | None) -> AbstractContextManager[Any]:
    return anyio.fail_after(math.inf if until_s is None else max(0.0, until_s - now_s()))
