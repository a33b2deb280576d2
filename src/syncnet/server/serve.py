"""Runs one server, in this process and on this event loop, until a signal stops it."""

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
from syncnet.server.circle_watch import CircleWatch, WarnOfCircle
from syncnet.server.embedding import Granian
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tls import TLS

__all__ = ["serve"]

_FLUSH_S: Final = 1.0  # the time to send the last responses
_IDLE_S_MAX: Final = 5.0  # the time for a journal to write the commands that were appended before the end
_IDLE_POLL_S: Final = 0.002
_LOOP_TURNS_TO_START: Final = 3  # after so many, granian has aborted the process over a TLS file, or will not
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
    output_left_out: Callable[[], int] | None = None,
    warn_of_circle: WarnOfCircle | None = None,
    node_name: str = "",
) -> int:
    """Serve on a listening socket until SIGINT or SIGTERM; return how many offers were still pending.

    After the signal, `/readyz` responds with 503 and new offers are refused; `drain_s` seconds later the pending
    requests get 503. A second signal ends the process at once. `on_ready` is called when the signal handlers are set
    and the server accepts requests. `access` has the access rules. With `tls`, whose files `check_tls` has checked, the
    server speaks HTTPS. `on_hangup` is called at each SIGHUP; without it SIGHUP ends the process, as usual when a
    terminal is closed. `output_left_out` returns how many changes standard output has left out, for the metrics.
    `warn_of_circle` is called once for actors that are stuck together; without it standard error has the warning.
    `node_name` is that of this node of a cluster.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in _SIGNALS:
        loop.add_signal_handler(signum, stop.set)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    app = RSGIApp(coordinator, Access() if access is None else access, limits, loop)
    watch = CircleWatch(coordinator, warn_of_circle)
    app.handler.output_left_out, app.handler.node_name = output_left_out, node_name
    app.handler.circles = lambda: watch.found
    server = Granian(app.take, listener, limits, tls)
    serving = asyncio.create_task(server.serve())
    for _turn in range(_LOOP_TURNS_TO_START):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(stop.wait())
    watching = asyncio.create_task(watch.run())
    on_ready()
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    watching.cancel()
    for signum in _SIGNALS:
        loop.remove_signal_handler(signum)  # a second Ctrl-C ends the process at once
    if serving.done():
        serving.result()
        raise RuntimeError("granian stopped unexpectedly")

    coordinator.drain()
    await asyncio.wait((serving,), timeout=drain_s)
    coordinator.leave()
    await _until_idle(coordinator)
    pending = coordinator.shut_down()
    app.handler.end_streams()
    server.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, _FLUSH_S)
    return pending


async def _until_idle(coordinator: Coordinator) -> None:
    """Wait until the log has delivered all commands, for a limited time: a disk may hang."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_IDLE_S_MAX):
            while not coordinator.is_idle:  # noqa: ASYNC110 - the coordinator has no event loop to notify
                await asyncio.sleep(_IDLE_POLL_S)
