"""Granian's embedded server, configured for requests that wait for each other.

Three of granian's defaults are changed:

- `backpressure` limits the number of concurrent requests. A limit below the number of pending offers would be a
  deadlock: the pending requests use up the limit, and the requests of their mates are not accepted.
- Granian shares its port with any other process that binds it (SO_REUSEPORT). Clients on the same port would then reach
  different servers. So granian gets a socket that was bound without this option.
- HTTP/2 is off: granian reports a lost connection, but not the reset of a single stream. An offer whose client has
  disconnected must not stay pending (G6).

Requests are handled in the thread in which they arrive. A granian thread holds the GIL while it creates the objects of
a request; by default it then wakes the event loop, which makes a task for each request. That takes longer than the
response itself. So our scheduler calls the application in granian's thread, and the application passes to the event
loop only what needs one. Granian accepts a custom worker (`serve(spawn_target)`), but the classes of a worker are
internal: so the version of granian is pinned in pyproject.toml, and tests/end_to_end/test_embedding.py tests what this
module depends on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from granian import _granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.net import SocketHolder
from granian.server.embed import AsyncWorker
from granian.server.embed import Server as EmbeddedServer

from syncnet.core.limits import LIMITS, Limits
from syncnet.server.address import BACKLOG_CONNECTIONS
from syncnet.server.tls import TLS

__all__ = ["Granian", "Take"]

Take: TypeAlias = Callable[[Any, Any], None]
"""A callback for each request, with its RSGI scope and protocol, on granian's thread; it may respond later."""

_log = logging.getLogger("syncnet")

_REQUESTS_MAX: Final = 1_000_000  # above any limit on open files
_METRICS: Final = (None, None)
_WORKER: Final[Any] = _granian.RSGIWorker  # granian's type stubs of both are incomplete
_SCHEDULER: Final[Any] = _granian.CallbackScheduler


class Granian(EmbeddedServer):  # type: ignore[misc]
    """Granian's embedded server on our own socket; it calls `take` in the thread in which a request arrives."""

    def __init__(self, take: Take, listener: socket.socket, limits: Limits = LIMITS, tls: TLS | None = None) -> None:
        self._listener = listener
        super().__init__(
            take,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=limits.head_read_s_max * 1_000,  # between requests too: closes idle connections
                max_buffer_size=limits.head_bytes_max,
            ),
            websockets=False,
            backpressure=_REQUESTS_MAX,
            blocking_threads=1,  # requests are handled one at a time, in order of arrival
            log_enabled=False,
            ssl_cert=tls and tls.cert,
            ssl_key=tls and tls.key,
            ssl_ca=tls and tls.client_ca,
            ssl_client_verify=tls is not None and tls.client_ca is not None,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    async def serve(self) -> None:
        """Serve until `stop` is called."""
        await super().serve(AsyncWorker.wrap_target(self._work))

    def _init_shared_socket(self) -> None:
        self._sfd = self._listener.detach()  # granian closes the socket
        self._shd = SocketHolder(self._sfd, False, BACKLOG_CONNECTIONS)

    async def _work(
        self, worker_id: int, signal: Any, take: Take, sockets: Any, loop: asyncio.AbstractEventLoop, *_: object
    ) -> None:
        """Run granian's only worker. The other arguments are settings, which are attributes of this object already."""
        stopped = loop.create_future()
        signal.add_cb(lambda: loop.call_soon_threadsafe(stopped.set_result, None))
        worker = _WORKER(
            worker_id,
            sockets,
            None,
            self.runtime_threads,
            self.runtime_blocking_threads,
            self.blocking_threads,
            self.blocking_threads_idle_timeout,
            self.backpressure,
            self.http,
            self.http1_settings,
            self.http2_settings,
            self.websockets,
            self.static_path,
            *self.ssl_ctx,
            _METRICS,
        )
        scheduler = _SCHEDULER(loop, None, None, None, None)
        scheduler._schedule_fn = _calling(take)
        worker.serve_async(scheduler, loop, signal)
        await stopped


def _calling(take: Take) -> Callable[[Any], None]:
    """Return the function that granian calls with each request; it must not raise."""

    def call(watcher: Any) -> None:
        try:
            take(watcher.scope, watcher.proto)
        except Exception:
            _log.exception("a bug: a request could not be handled")
            watcher.done()  # sends 500 if no response was sent

    return call
