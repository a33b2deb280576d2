"""Runs one server, in this process and on this event loop, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS, Limits
from syncnet.server.access import Access
from syncnet.server.embedding import Granian
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tls import TLS

__all__ = ["serve"]

_FLUSH_S: Final = 1.0  # how long the last answers may take to leave
_QUIET_S: Final = 5.0  # how long a journal may take to write what was asked for before the end
_QUIET_STEP_S: Final = 0.002
_TURNS_TO_START: Final = 3  # of the loop, after which granian has aborted the process over a file of TLS, or will not
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def serve(
    coordinator: Coordinator,
    listener: socket.socket,
    on_ready: Callable[[], None],
    *,
    access: Access | None = None,
    tls: TLS | None = None,
    limits: Limits = LIMITS,
    drain_s: float = 0,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Serve `coordinator` on a listening socket until SIGINT or SIGTERM; return how many offers were still waiting.

    At the signal `/readyz` turns to 503 and new offers are refused; `drain_s` seconds later those who still wait are
    answered with 503. A second signal ends all at once. `on_ready` is called once the signals are caught and requests
    are answered. `access` decides who may ask for what; `tls`, whose files `check_tls` has seen, makes it HTTPS.
    `on_hangup` is called at every SIGHUP; without it that signal ends the process, as is usual where a terminal is
    closed.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in _SIGNALS:
        loop.add_signal_handler(signum, stop.set)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    app = RSGIApp(coordinator, Access() if access is None else access, limits, loop)
    server = Granian(app.take, listener, limits, tls)
    serving = asyncio.create_task(server.serve())
    for _turn in range(_TURNS_TO_START):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(stop.wait())
    on_ready()
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for signum in _SIGNALS:
        loop.remove_signal_handler(signum)  # a second Ctrl-C ends it at once
    if serving.done():
        serving.result()
        raise RuntimeError("granian ended by itself")

    coordinator.drain()
    await asyncio.wait((serving,), timeout=drain_s)
    await _until_idle(coordinator)
    waiting = coordinator.shut_down()
    server.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, _FLUSH_S)
    return waiting


async def _until_idle(coordinator: Coordinator) -> None:
    """Wait until nothing is on its way through the log, but not for ever: a disk may hang."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_S):
            while not coordinator.is_idle:  # noqa: ASYNC110 - the coordinator knows of no loop that it could wake
                await asyncio.sleep(_QUIET_STEP_S)
