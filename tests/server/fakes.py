"""Requests without granian: scope, headers and protocol as RSGI gives them, and a server that takes them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.effects import Effect
from syncnet.core.limits import LIMITS, Limits
from syncnet.server.access import Access
from syncnet.server.rsgi import RSGIApp
from syncnet.view.graph_log import GraphLog

USUAL = {"host": "localhost:8000", "user-agent": "curl/8.5.0", "accept": "*/*"}
PATIENCE_S = 30

Answer = tuple[int, list[tuple[str, str]], bytes]


class Headers:
    """The headers of a request, as granian gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def keys(self) -> list[str]:
        return list(self._headers)

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._headers.get(name, default)

    def get_all(self, name: str) -> list[str]:
        return [self._headers[name]] if name in self._headers else []


class Exchange:
    """A request as granian brings it, scope and protocol in one, and its answers.

    Its body comes when `come` is called. `is_watched` says that the server waits for the client to disconnect.
    """

    scheme, server, http_version = "http", "127.0.0.1:8000", "1.1"

    def __init__(
        self,
        query: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        path: str = "/event",
        body: bytes = b"",
        client: str = "127.0.0.1:50000",
    ) -> None:
        self.query_string, self.method, self.path, self.client = query, method, path, client
        headers = USUAL if headers is None else headers
        self.headers = Headers(headers | {"content-length": str(len(body))} if body else headers)
        self.body = body
        self.answers: list[Answer] = []
        self.loop: asyncio.AbstractEventLoop
        self.reading: asyncio.Future[bytes] | None = None
        self.connected: asyncio.Future[None] | None = None

    @property
    def is_watched(self) -> bool:
        return self.connected is not None

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.answers]

    def come(self) -> None:
        assert self.reading is not None
        self.reading.set_result(self.body)

    def disconnect(self) -> None:
        assert self.connected is not None
        self.connected.set_result(None)

    # what the server calls

    def __call__(self) -> Awaitable[bytes]:
        self.reading = self.loop.create_future()
        return self.reading

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, headers, body))

    async def client_disconnect(self) -> None:
        self.connected = self.loop.create_future()
        await self.connected


class Server:
    """An application without granian, its coordinator, and a loop that runs only within `until`."""

    def __init__(
        self, coordinator: Coordinator | None = None, access: Access | None = None, limits: Limits = LIMITS
    ) -> None:
        self.seen: list[Effect] = []
        self.coordinator = Coordinator(observers=[self.seen.append]) if coordinator is None else coordinator
        self.access = Access(hosts=()) if access is None else access
        self.loop = asyncio.new_event_loop()
        self.app = RSGIApp(self.coordinator, self.access, limits, self.loop)

    def ask(self, *queries: str, **options: Any) -> list[Exchange]:
        return [self.take(Exchange(query, **options)) for query in queries]

    def take(self, exchange: Exchange) -> Exchange:
        exchange.loop = self.loop
        self.app.take(exchange, exchange)
        return exchange

    def until(self, condition: Callable[[], object]) -> None:
        """Run the loop until the condition is true."""

        async def poll() -> None:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(poll())

    def until_answered(self, *exchanges: Exchange) -> None:
        for exchange in exchanges:
            if exchange.reading is not None and not exchange.reading.done():
                exchange.come()
        self.until(lambda: all(exchange.answers for exchange in exchanges))

    def log(self) -> list[str]:
        graph = GraphLog()
        return [line for effect in self.seen for line in graph.lines(effect)]

    def close(self) -> None:
        self.coordinator.close()
        self.loop.run_until_complete(self._end_tasks())
        self.loop.close()

    async def _end_tasks(self) -> None:
        await asyncio.sleep(0)  # what was scheduled from outside becomes a task first
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
