"""Runs one server on granian, in this process and on this event loop, until a signal ends it.

Granian's embedded server is told three things that its defaults get wrong for requests that wait for each other:

- `backpressure` bounds the requests at once. Below the number of offers that may wait it would be a deadlock: those
  who wait hold every place, and their mates cannot come in.
- It shares its port with whoever else binds it (SO_REUSEPORT), and two servers on one port are two worlds. So it is
  given a socket that was bound without.
- HTTP/2 is off: granian tells of a lost connection, but not of a single stream that was reset, and an offer whose
  client is gone must not stay (G6).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Final

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.server.embed import Server as EmbeddedServer

from syncnet.core.limits import LIMITS, Limits
from syncnet.hub import Hub
from syncnet.server.access import Access
from syncnet.server.address import BACKLOG_CONNECTIONS
from syncnet.server.handler import Handler
from syncnet.server.rsgi import RSGIApp
from syncnet.server.tls import TLS

__all__ = ["Granian", "serve"]

_REQUESTS_MAX: Final = 1_000_000  # above what the limit on open files can let in
_FLUSH_S: Final = 1.0  # how long the last answers may take to leave
_QUIET_S: Final = 5.0  # how long a journal may take to write what was asked for before the end
_QUIET_STEP_S: Final = 0.002
_TURNS_TO_START: Final = 3  # of the loop, after which granian has aborted the process over a file of TLS, or will not
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def serve(
    hub: Hub,
    listener: socket.socket,
    on_ready: Callable[[], None],
    *,
    access: Access | None = None,
    tls: TLS | None = None,
    limits: Limits = LIMITS,
    drain_s: float = 0,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Serve `hub` on a listening socket until SIGINT or SIGTERM; return how many offers were still waiting.

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
    app = RSGIApp(Handler(hub, access, limits), limits.requests_per_connection_max)
    server = Granian(app, listener, limits, tls)
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

    hub.drain()
    await asyncio.wait((serving,), timeout=drain_s)
    await _until_quiet(hub)
    waiting = hub.send_away()
    server.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(serving, _FLUSH_S)
    return waiting


async def _until_quiet(hub: Hub) -> None:
    """Wait until nothing is on its way through the log, but not for ever: a disk may hang."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_S):
            while not hub.is_quiet:  # noqa: ASYNC110 - the hub knows of no loop that it could wake
                await asyncio.sleep(_QUIET_STEP_S)


class Granian(EmbeddedServer):  # type: ignore[misc]
    """Granian's embedded server, on a socket of ours."""

    def __init__(self, app: RSGIApp, listener: socket.socket, limits: Limits, tls: TLS | None = None) -> None:
        self._listener = listener
        super().__init__(
            app,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=limits.head_read_s_max * 1_000,  # of the next request too: an idle connection ends
                max_buffer_size=limits.head_bytes_max,
            ),
            websockets=False,
            backpressure=_REQUESTS_MAX,
            log_enabled=False,
            ssl_cert=tls and tls.cert,
            ssl_key=tls and tls.key,
            ssl_ca=tls and tls.client_ca,
            ssl_client_verify=tls is not None and tls.client_ca is not None,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    def _init_shared_socket(self) -> None:
        self._sfd = self._listener.detach()  # granian closes it
        self._shd = SocketHolder(self._sfd, False, BACKLOG_CONNECTIONS)
