"""Granian's embedded server, set for requests that wait for each other.

Granian is told three things that its defaults get wrong here:

- `backpressure` bounds the requests at once. Below the number of offers that may wait it would be a deadlock: those
  who wait hold every place, and their mates cannot come in.
- It shares its port with whoever else binds it (SO_REUSEPORT), and two servers on one port are two worlds. So it is
  given a socket that was bound without.
- HTTP/2 is off: granian tells of a lost connection, but not of a single stream that was reset, and an offer whose
  client is gone must not stay (G6).

And requests are taken where they arrive. Granian has a thread that holds Python's lock while it makes the objects of a
request; by itself it then wakes the event loop, which makes a task of each. That takes longer than to answer, so our
scheduler calls the application in that thread, and the application gives to the loop what needs one. For this granian
has a place to put a worker of one's own (`serve(spawn_target)`), but the classes of the worker are internal to it: so
its version is bounded in pyproject.toml, and tests/end_to_end/test_embedding.py says what is relied on.
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
"""Takes a request, given as its scope and its protocol (RSGI), on granian's thread; the answer may come later."""

_log = logging.getLogger("syncnet")

_REQUESTS_MAX: Final = 1_000_000  # above what the limit on open files can let in
_METRICS: Final = (None, None)
_WORKER: Final[Any] = _granian.RSGIWorker  # of both the types that granian gives say less than they can
_SCHEDULER: Final[Any] = _granian.CallbackScheduler


class Granian(EmbeddedServer):  # type: ignore[misc]
    """Granian's embedded server, on a socket of ours, which gives each request to `take` in the thread it comes in."""

    def __init__(self, take: Take, listener: socket.socket, limits: Limits = LIMITS, tls: TLS | None = None) -> None:
        self._listener = listener
        super().__init__(
            take,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=limits.head_read_s_max * 1_000,  # of the next request too: an idle connection ends
                max_buffer_size=limits.head_bytes_max,
            ),
            websockets=False,
            backpressure=_REQUESTS_MAX,
            blocking_threads=1,  # requests are taken one at a time, in the order in which they came
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
        self._sfd = self._listener.detach()  # granian closes it
        self._shd = SocketHolder(self._sfd, False, BACKLOG_CONNECTIONS)

    async def _work(
        self, worker_id: int, signal: Any, take: Take, sockets: Any, loop: asyncio.AbstractEventLoop, *_: object
    ) -> None:
        """Run granian's one worker. The rest that it is given are the settings, which are here already."""
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
    """Return what granian calls with each request that came; it must not raise."""

    def call(watcher: Any) -> None:
        try:
            take(watcher.scope, watcher.proto)
        except Exception:
            _log.exception("a bug: a request was not taken")
            watcher.done()  # answers with 500 where nobody has

    return call
