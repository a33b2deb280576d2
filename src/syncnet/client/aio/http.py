"""HTTP/1.1. h11 implements the protocol; this module keeps the idle connections, and knows which server to use.

Laws

1. A connection is reused only after a complete answer that was the answer to its request, with nothing unread behind
   it, and kept for less time than the server keeps it. `_Connection.is_usable` decides.
2. Connections belong to one process and one event loop: each has `AsyncConnections` of its own.
3. An exchange that fails closes its connection. An exchange that is cancelled keeps it: the caller closes it after the
   offer is withdrawn.
"""

from __future__ import annotations

from typing import Final

import h11

from syncnet.client.aio.net import Stream, connect, now_s
from syncnet.client.answers import Answer, check_offer
from syncnet.client.requests import Request, Target
from syncnet.client.retry import CONNECT_S_MAX

__all__ = ["AsyncConnections", "AsyncExchange", "AsyncServers"]

_IDLE_S_MAX: Final = 5.0
"""How long to keep an idle connection: half as long as the server does, so that the server has not just closed it."""

_ANSWER_BYTES_MAX: Final = 1 << 30
_SILENCE_S_MAX: Final = 60.0
"""How long a server may send nothing while an answer is due: one that waits for no other actor, or has begun."""


class _Connection:
    """One connection, for one request at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._idle_since_s = 0.0

    async def send(self, target: Target, request: Request, deadline_s: float | None) -> None:
        """Send a request.

        A connection that breaks meanwhile is no error here, because a server may refuse a request before it has read
        all of it: `receive` then returns its answer, or fails.
        """
        path, headers = target.head(request)
        data = self._http.send(h11.Request(method=request.method, target=path, headers=headers)) or b""
        if request.body:
            data += self._http.send(h11.Data(data=request.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.send(data, deadline_s)
        except (BrokenPipeError, ConnectionResetError):
            return

    async def receive(self, request: Request, deadline_s: float | None) -> Answer:
        """Return the answer to the request that was sent."""
        status, headers, body = 0, {}, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                until_s = deadline_s
                if status or not request.waits:
                    silent_until_s = now_s() + _SILENCE_S_MAX
                    until_s = silent_until_s if deadline_s is None else min(deadline_s, silent_until_s)
                self._http.receive_data(await self._stream.receive(until_s))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _ANSWER_BYTES_MAX:
                    raise ConnectionAbortedError(f"expected an answer of at most {_ANSWER_BYTES_MAX} bytes, got more")
            elif isinstance(event, h11.EndOfMessage):
                return Answer(status, headers, bytes(body))
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the connection was closed")

    def start_next_cycle(self) -> bool:
        """Prepare for another request; return False if this connection cannot take one."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE or http.trailing_data != (b"", False):
            return False
        http.start_next_cycle()
        self._idle_since_s = now_s()
        return True

    def is_usable(self) -> bool:
        """Return whether another request can be sent: the connection is open and not too old, and nothing has come."""
        return now_s() - self._idle_since_s < _IDLE_S_MAX and not self._stream.has_input()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


class AsyncExchange:
    """The connection that one request uses at present, if any; a request that is repeated may use several in turn."""

    def __init__(self) -> None:
        self._connections: list[_Connection] = []  # at most one; a list, because `pop` is atomic

    @property
    def connection(self) -> _Connection:
        """The connection in use.

        :raises ConnectionResetError: it was closed.
        """
        for connection in self._connections:
            return connection
        raise ConnectionResetError("the connection was closed")

    def attach(self, connection: _Connection) -> None:
        """Use this connection."""
        self._connections.append(connection)

    def detach(self) -> _Connection | None:
        """Stop using the connection and return it; None if there is none, or another task has closed it."""
        try:
            return self._connections.pop()
        except IndexError:
            return None

    async def aclose(self) -> None:
        """Close the connection in use, if there is one; a caller that waits for an answer on it gets an error."""
        if connection := self.detach():
            await connection.aclose()


class AsyncConnections:
    """The connections to one server; at most `idle_max` of them are kept while idle."""

    def __init__(self, target: Target, idle_max: int) -> None:
        self.target: Final = target
        self._idle_max = idle_max
        self._idle: list[_Connection] = []
        self._is_closed = False

    async def acquire(self, exchange: AsyncExchange, deadline_s: float | None) -> None:
        """Attach an idle or a new connection to `exchange`.

        :raises OSError: no connection could be opened.
        """
        while connection := self._pop_idle():
            if connection.is_usable():
                exchange.attach(connection)
                return
            await connection.aclose()
        target = self.target
        connect_deadline_s = now_s() + CONNECT_S_MAX
        if deadline_s is not None:
            connect_deadline_s = min(connect_deadline_s, deadline_s)
        exchange.attach(_Connection(await connect(target.host, target.port, target.tls(), connect_deadline_s)))

    async def send(self, exchange: AsyncExchange, request: Request, deadline_s: float | None) -> None:
        """Send a request on the connection of `exchange`.

        :raises OSError: it could not be sent.
        """
        try:
            await exchange.connection.send(self.target, request, deadline_s)
        except h11.LocalProtocolError as error:
            await exchange.aclose()
            raise ConnectionAbortedError(f"the connection cannot be used: {error}") from None
        except Exception:
            await exchange.aclose()
            raise

    async def receive(self, exchange: AsyncExchange, request: Request, deadline_s: float | None) -> Answer:
        """Return the answer to the request that was sent.

        :raises TimeoutError: no answer came in time.
        :raises OSError: the connection was lost, or what came is not HTTP, or the answer to another request.
        :raises UnavailableError: the answer does not come from a server of syncnet.
        """
        try:
            answer = await exchange.connection.receive(request, deadline_s)
            check_offer(answer, request.offer_id)
        except h11.RemoteProtocolError as error:
            await exchange.aclose()
            raise ConnectionAbortedError(f"expected HTTP, but: {error}") from None
        except Exception:
            await exchange.aclose()
            raise
        if connection := exchange.detach():
            await self._keep(connection)
        return answer

    async def _keep(self, connection: _Connection) -> None:
        """Keep a connection for later requests if it can take another one."""
        if not connection.start_next_cycle() or len(self._idle) >= self._idle_max:
            await connection.aclose()
            return
        self._idle.append(connection)
        if self._is_closed:  # checked after the connection was added, so that `aclose` in another thread cannot miss it
            await self.aclose_idle()

    async def aclose(self) -> None:
        """Close the idle connections, and keep none from now on: a request may still be on its way."""
        self._is_closed = True
        await self.aclose_idle()

    async def aclose_idle(self) -> None:
        """Close the idle connections; a connection in use is closed by its exchange."""
        while connection := self._pop_idle():
            await connection.aclose()

    def _pop_idle(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


class AsyncServers:
    """The servers of one client. All requests go to one of them, until that fails: then they go to the next one."""

    def __init__(self, targets: tuple[Target, ...], idle_max: int) -> None:
        self._servers = [AsyncConnections(target, idle_max) for target in targets]
        self._used = 0

    @property
    def used(self) -> AsyncConnections:
        """The server to which requests go now."""
        return self._servers[self._used]

    def leave(self, failed: AsyncConnections) -> None:
        """Use the next server in place of `failed`, unless another request has done so."""
        used = self._used
        if self._servers[used] is failed:
            self._used = (used + 1) % len(self._servers)

    async def aclose(self) -> None:
        """Close the idle connections, and keep none from now on."""
        for server in self._servers:
            await server.aclose()
