"""Requests that take a server as much work as possible, by kind: offers that stay pending, and requests to repeat.

Every kind has offers that are made first, each on a connection of its own, and a request that is then repeated. All
name the namespace `dear`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = ["DEAR", "Dear", "get", "post"]

_PENDING: Final = 300
_EVENTS: Final = 64
_LONG: Final = "v" * 50


class Dear(NamedTuple):
    """One kind. `repeated` makes a request of a running number; `reads` is whether its answers are read."""

    pending: Callable[[], Iterator[bytes]]
    repeated: Callable[[int], bytes]
    connections: int = 16
    reads: bool = True


def get(target: str) -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post(target: str, body: bytes, content_type: str = "application/json") -> bytes:
    """Return the bytes of a POST request."""
    head = f"POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _offer(event: str | list[str], actor: str, **parameters: object) -> bytes:
    return post("/event", json.dumps({"event": event, "actor": actor, "namespace": "dear", **parameters}).encode())


def _nothing() -> Iterator[bytes]:
    yield from ()


def _events() -> list[str]:
    return [f"e{number:02}" for number in range(_EVENTS)]


def _selectors_pending() -> Iterator[bytes]:
    for number in range(_PENDING):
        allowed = ",".join(f"{_LONG}{number}x{value}" for value in range(60))
        yield _offer("e", f"P{number}", selector=f"k notin ({allowed})", labels={"k": f"v{number}"}, mates=50)


def _selectors(number: int) -> bytes:
    wanted = ",".join(f"v{value}" for value in range(600))
    return _offer("e", "N", selector=f"k in ({wanted}),k notin (x{number})", mates=40, timeout=0)


def _choices_pending() -> Iterator[bytes]:
    for number in range(_PENDING):
        yield _offer(_events(), f"P{number}", labels={f"k{number}": "x"}, selector=f"!k{number // 2 * 2}", mates=100)


def _choices(number: int) -> bytes:
    return _offer(_events(), "N", labels={"n": f"{number}"}, selector="actor", mates=99, timeout=0)


def _rosters_pending() -> Iterator[bytes]:
    for number in range(_PENDING):
        yield _offer("e", f"P{number}", expect=[f"P{number}", "N", *(f"A{each}x{number}" for each in range(400))])


def _rosters(number: int) -> bytes:
    return _offer("e", "N", labels={"n": f"{number}"}, timeout=0)


def _timeouts(number: int) -> bytes:
    keys = ",".join(f"!absent{key}" for key in range(200))
    return _offer(_events(), f"T{number % 7}", selector=f"actor,{keys}", mates=9_999, timeout=0)


def _large_pending() -> Iterator[bytes]:
    for number in range(200):
        selector = ",".join(f"k{key}!={_LONG}" for key in range(60))
        yield _offer([f"{event}{_LONG[:25]}" for event in _events()], f"P{number}", selector=selector, mates=9_999)


def _report(_: int) -> bytes:
    return get("/stats?namespace=dear")


def _yaml(number: int) -> bytes:
    body = f"event: e{number}\nactor: A\nmates: 0\npayload: [" + ",".join(["{a: b}"] * 2_200) + "]\n"
    return post("/event?namespace=dear", body.encode(), "application/yaml")


def _refused(_: int) -> bytes:
    return get("/event?event=e&actor=!&namespace=dear")


DEAR: Final = {
    "dear-selectors": Dear(_selectors_pending, _selectors),
    "dear-choices": Dear(_choices_pending, _choices),
    "dear-rosters": Dear(_rosters_pending, _rosters),
    "dear-timeouts": Dear(_choices_pending, _timeouts),
    "large-reports": Dear(_large_pending, _report),
    "large-reports-unread": Dear(_large_pending, _report, connections=64, reads=False),
    "bodies-of-yaml": Dear(_nothing, _yaml),
    "refused-requests": Dear(_nothing, _refused, connections=64),
}
