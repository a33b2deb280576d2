"""Reads `/trace` of a server: its pages, and the live stream with retries. Shared by `syncnet watch` and `trace`."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from syncnet.client.answers import Answer, failure_of, read_document
from syncnet.client.requests import Request, Target, next_page
from syncnet.client.retry import CONNECT_S_MAX, RetryState, is_of_server, is_retryable
from syncnet.errors import SyncnetError, UnavailableError

__all__ = ["follow", "read_syncs"]

_QUIET_S_MAX: Final = 45.0
"""The server sends something at least every 15 s; after three times that the connection is lost."""


def read_syncs(targets: tuple[Target, ...], namespace: str | None) -> Iterator[dict[str, Any]]:
    """Yield the syncs of a namespace that the first server which answers keeps, page by page.

    :raises SyncnetError: the server refuses, or none can be reached.
    """
    query = "?" + urlencode({"namespace": namespace}) if namespace else ""
    page: Request | None = Request("GET", "/trace" + query, b"")
    while page is not None:
        answer = _first_answer(targets, page)
        yield from read_document(answer)["syncs"]
        page = next_page(page, answer.headers.get("link", ""))


def follow(
    targets: tuple[Target, ...],
    namespace: str | None,
    reconnect_s: float | None,
    note: Callable[[UnavailableError | None], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Yield the objects of the live trace; a lost connection is opened again, and continues where it was.

    Where there are several servers, a failure of one opens it at the next; that one begins with what is pending.

    `note` gets the first error of an outage, and None once the stream goes on.

    :raises SyncnetError: the server refuses, or could not be reached for `reconnect_s` (None: no limit).
    """
    retry = RetryState(time.monotonic(), None, reconnect_s, servers_total=len(targets))
    used = 0
    query = {"output": "jsonl"} | ({"namespace": namespace} if namespace else {})
    while True:
        target = targets[used]
        try:
            with _asking(target, Request("GET", "/trace?" + urlencode(query), b"")) as response:
                if response.status != 200:
                    raise failure_of(Answer(response.status, _headers(response), response.read()))
                if retry.note_sent(time.monotonic()):
                    note(None)
                for line in response:
                    if line.strip():
                        described = json.loads(line)
                        query |= {"after": described["position"]} if "position" in described else {}
                        yield described
            failure: SyncnetError = UnavailableError("the server has ended the stream")
        except SyncnetError as error:
            if not is_retryable(error):
                raise
            failure = error
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = UnavailableError(f"the connection to {target.url} was lost: {error}")
        retry.note_connection_lost(time.monotonic())
        if retry.failures == 0 and isinstance(failure, UnavailableError):
            note(failure)
        delay_s = retry.next_delay_s(time.monotonic(), failure)
        if is_of_server(failure):
            used = (used + 1) % len(targets)
        sleep(delay_s)


def _first_answer(targets: tuple[Target, ...], request: Request) -> Answer:
    """Return the answer of the first server that can be reached and accepts requests; otherwise that of the last."""
    for target in targets[:-1]:
        with contextlib.suppress(UnavailableError), _asking(target, request) as response:
            answer = Answer(response.status, _headers(response), response.read())
            if response.status == 200 or not is_of_server(failure_of(answer)):
                return answer
    with _asking(targets[-1], request) as response:
        return Answer(response.status, _headers(response), response.read())


@contextlib.contextmanager
def _asking(target: Target, request: Request) -> Iterator[http.client.HTTPResponse]:
    """Send a request, and close the connection at the end.

    :raises UnavailableError: the server cannot be reached.
    """
    tls = target.tls()
    if tls is None:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=CONNECT_S_MAX)
    else:
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=CONNECT_S_MAX, context=tls)
    with contextlib.closing(connection):
        try:
            connection.connect()
            connection.sock.settimeout(_QUIET_S_MAX)
            path, headers = target.head(request)
            connection.request(request.method, path, headers=dict(headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"cannot reach {target.url}: {error}") from error
        with response:
            yield response


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
