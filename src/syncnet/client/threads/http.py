# Made by scripts/unasync.py of client/aio/http.py; change that one.
"""HTTP/1.1 to one server: the protocol is h11's; kept here are the connections that nobody uses at the moment.

Law: a connection is kept only after a whole answer, and for less time than the server keeps it. An exchange that was
broken off by an error ends its connection. One that was cancelled leaves it in the exchange, for whoever cancelled to
end when the server knows.
"""

from __future__ import annotations

from typing import Final

import h11

from syncnet.client.answers import Answer
from syncnet.client.requests import Request, Target
from syncnet.client.retry import CONNECT_S_MAX
from syncnet.client.threads.net import Stream, connect, now_s

__all__ = ["Connections", "Exchange"]

_IDLE_S_MAX: Final = 5.0
"""For how long a connection is kept: half of what the server does, so that it is not used the moment it is closed."""

_ANSWER_BYTES_MAX: Final = 1 << 30


class _Connection:
    """One connection, one request at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self.idle_since_s = 0.0

    def send(self, target: Target, request: Request, until_s: float | None) -> None:
        """Send a request. A server that refuses it may do so before it has come: that is for `answer` to find out."""
        path, headers = target.head(request)
        data = self._http.send(h11.Request(method=request.method, target=path, headers=headers)) or b""
        if request.body:
            data += self._http.send(h11.Data(data=request.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        try:
            self._stream.send(data, until_s)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self, until_s: float | None) -> Answer:
        """Return the answer to the request that was sent."""
        status, headers, body = 0, {}, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(self._stream.receive(until_s))
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

    def can_go_on(self) -> bool:
        """Make ready for another request; return whether there can be one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self.idle_since_s = now_s()
        return True

    def close(self) -> None:
        """End it."""
        self._stream.close()


class Exchange:
    """One request and its answer, perhaps several times over: what of it is still open."""

    def __init__(self) -> None:
        self._connection: _Connection | None = None

    def hold(self, connection: _Connection) -> None:
        """Note the connection that is used."""
        self._connection = connection

    def let_go(self) -> None:
        """Note that it is used no longer."""
        self._connection = None

    def close(self) -> None:
        """End the connection that is used, if there is one; whoever waits for an answer on it is told so."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


class Connections:
    """The connections to one server. `idle_max` of them are kept for later at most."""

    def __init__(self, target: Target, idle_max: int) -> None:
        self._target = target
        self._idle_max = idle_max
        self._idle: list[_Connection] = []

    def connected(self, exchange: Exchange, until_s: float | None) -> None:
        """Give `exchange` a connection, a kept one or a new one.

        :raises OSError: there is none to be had.
        """
        while connection := self._take():
            if now_s() - connection.idle_since_s < _IDLE_S_MAX:
                exchange.hold(connection)
                return
            connection.close()
        target = self._target
        connect_until_s = now_s() + CONNECT_S_MAX
        if until_s is not None:
            connect_until_s = min(connect_until_s, until_s)
        exchange.hold(_Connection(connect(target.host, target.port, target.tls(), connect_until_s)))

    def send(self, exchange: Exchange, request: Request, until_s: float | None) -> None:
        """Send a request on the connection of `exchange`.

        :raises OSError: it could not be sent.
        """
        try:
            _held(exchange).send(self._target, request, until_s)
        except h11.LocalProtocolError as error:
            exchange.close()
            raise ConnectionAbortedError(f"the connection cannot be used: {error}") from None
        except Exception:
            exchange.close()
            raise

    def answer(self, exchange: Exchange, until_s: float | None) -> Answer:
        """Return the answer to what was sent.

        :raises TimeoutError: there was none in time.
        :raises OSError: the connection was lost, or what came is not HTTP.
        """
        connection = _held(exchange)
        try:
            answer = connection.answer(until_s)
        except h11.RemoteProtocolError as error:
            exchange.close()
            raise ConnectionAbortedError(f"expected HTTP, but: {error}") from None
        except Exception:
            exchange.close()
            raise
        exchange.let_go()
        if connection.can_go_on() and len(self._idle) < self._idle_max:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close_idle(self) -> None:
        """End the connections that nobody uses; those in use are for their exchanges to end."""
        while connection := self._take():
            connection.close()

    def _take(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _held(exchange: Exchange) -> _Connection:
    if exchange._connection is None:
        raise ConnectionResetError("the connection was closed")
    return exchange._connection
