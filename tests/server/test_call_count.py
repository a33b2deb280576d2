"""A request costs few calls, whatever its shape. Calls are counted, not timed, so the result is the same everywhere.

Counted are all calls of Python and C functions on the thread that takes a request, from `RSGIApp.take` to the answers.
Scope, headers and protocol are fakes. Granian's own are written in Rust: to read an attribute of them is no call, and a
method of them is one call. So each call of a method of a fake counts once, and calls inside it do not count.

When a limit is passed, the failure lists the calls of one request. Look there for a layer that was added.
"""

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS
from syncnet.core.machine import Machine
from syncnet.server.access import Access
from syncnet.server.rsgi import RSGIApp

CALLS_MAX = 60
CALLS_WITH_SELECTOR_MAX = 100
WARM_UP_GROUPS = 10
GROUPS = 120
CONNECTIONS = 64
CURL = {"host": "localhost:8000", "user-agent": "curl/8.5.0", "accept": "*/*"}


class Headers:
    """The headers of a request, as granian gives them."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def keys(self) -> list[str]:
        return list(self._headers)

    def values(self) -> list[str]:
        return list(self._headers.values())

    def items(self) -> list[tuple[str, str]]:
        return list(self._headers.items())

    def get(self, key: str, default: Any = None) -> Any:
        return self._headers.get(key, default)

    def get_all(self, key: str) -> list[str]:
        return [self._headers[key]] if key in self._headers else []

    def __contains__(self, key: str) -> bool:
        return key in self._headers

    def __getitem__(self, key: str) -> str:
        return self._headers[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)


class Scope:
    """A request, as granian gives it."""

    proto, http_version, rsgi_version = "http", "1.1", "1.6"
    server, scheme, method, path, authority = "127.0.0.1:8000", "http", "GET", "/event", None

    def __init__(self, query: str, headers: dict[str, str], client: str) -> None:
        self.query_string = query
        self.headers = Headers(headers)
        self.client = client


class Protocol:
    """Where a request is answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, list[tuple[str, str]], bytes]] = []

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, headers, body))

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()


FAKES = frozenset(
    method.__code__
    for fake in (Headers, Scope, Protocol)
    for method in vars(fake).values()
    if hasattr(method, "__code__")
)


@contextmanager
def an_app() -> Iterator[RSGIApp]:
    """The application without granian, and without a log. The one place that knows how it is made."""
    loop = asyncio.new_event_loop()
    coordinator = Coordinator(machine=Machine(LIMITS))
    try:
        yield RSGIApp(coordinator, Access(hosts=()), LIMITS, loop)
    finally:
        coordinator.close()
        loop.run_until_complete(end_all_tasks())
        loop.close()


async def end_all_tasks() -> None:
    await asyncio.sleep(0)  # what was scheduled from the outside becomes a task first
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Shape(NamedTuple):
    """One shape of request. `query` gets the number of the group, the own actor and all actors of the group."""

    query: Callable[[int, str, list[str]], str]
    parties: int = 2
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    calls_max: int = CALLS_MAX


def with_more(more: str, **options: Any) -> Shape:
    return Shape(lambda group, actor, _: f"event=e{group}&actor={actor}{more}", **options)


SHAPES = {
    "plain": with_more(""),
    "mates=1": with_more("&mates=1"),
    "timeout": with_more("&timeout=5s"),
    "one more header": with_more("", headers={"x-request-id": "7f3a"}),
    "payload": with_more("&payload=hello"),
    "mates=2": with_more("&mates=2", parties=3),
    "id": Shape(lambda group, actor, _: f"event=e{group}&actor={actor}&id=id-{group}-{actor}"),
    "choice": Shape(lambda group, actor, _: f"event=e{group}&event=f{group}&actor={actor}"),
    "roster": Shape(lambda group, actor, actors: f"event=e{group}&actor={actor}&expect={','.join(actors)}"),
    "selector": with_more("&labels=tier%3Dgold&selector=tier%3Dgold", calls_max=CALLS_WITH_SELECTOR_MAX),
    "selector of each pair": Shape(
        lambda group, actor, _: f"event=e{group}&actor={actor}&labels=tier%3Dg{group}&selector=tier%3Dg{group}",
        calls_max=CALLS_WITH_SELECTOR_MAX,
    ),
}


def requests_of(shape: Shape, groups: range) -> list[tuple[Scope, Protocol]]:
    requests: list[tuple[Scope, Protocol]] = []
    for group in groups:
        actors = [f"a{group}-{member}" for member in range(shape.parties)]
        for actor in actors:
            client = f"127.0.0.1:{50_000 + len(requests) % CONNECTIONS}"
            query = shape.query(group, actor, actors)
            requests.append((Scope(query, CURL | shape.headers, client), Protocol()))
    return requests


def calls_of(function: Callable[[Scope, Protocol], object], requests: list[tuple[Scope, Protocol]]) -> Counter[str]:
    """Make the calls, and return how often each function was called meanwhile on this thread, by its name."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            code = frame.f_code
            calls[f"{code.co_filename.rpartition('/')[2]}:{code.co_qualname}"] += 1
        elif event == "c_call" and frame.f_code not in FAKES:
            calls[getattr(called, "__qualname__", repr(called))] += 1

    gc.disable()  # a hook of the garbage collector would be counted
    sys.setprofile(count)
    try:
        for scope, protocol in requests:
            function(scope, protocol)
    finally:
        sys.setprofile(None)
        gc.enable()
    calls["setprofile"] -= 1  # the last one
    return +calls


def shown(calls: Counter[str], requests: int) -> str:
    return "\n".join(f"{number / requests:7.2f} {name}" for name, number in calls.most_common())


@pytest.mark.parametrize("name", SHAPES)
def test_a_request_costs_few_calls(name: str) -> None:
    shape = SHAPES[name]
    with an_app() as app:
        for scope, protocol in requests_of(shape, range(WARM_UP_GROUPS)):
            app.take(scope, protocol)
        requests = requests_of(shape, range(WARM_UP_GROUPS, WARM_UP_GROUPS + GROUPS))
        calls = calls_of(app.take, requests)
    for _, protocol in requests:
        ((status, _, body),) = protocol.answers
        assert status == 200, body
        assert len(json.loads(body)["members"]) == shape.parties
    each = calls.total() / len(requests)
    assert each <= shape.calls_max, f"{each:.1f} calls for a request:\n{shown(calls, len(requests))}"


def test_calls_of_python_and_of_c_are_counted_and_what_fakes_do_is_not() -> None:
    def take(scope: Scope, protocol: Protocol) -> None:
        scope.headers.keys()
        len(scope.path)
        protocol.response_bytes(200, [], b"")

    calls = calls_of(take, requests_of(SHAPES["plain"], range(1)))
    assert sorted(calls.elements()) == sorted(
        2 * ["len", "test_call_count.py:Headers.keys", "test_call_count.py:Protocol.response_bytes"]
        + 2 * [f"test_call_count.py:{take.__qualname__}"]
    )
