"""Pages of a list: the link to the next one, and the charge for making one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

from syncnet.coordinator.coordinator import Coordinator
from syncnet.errors import RetryableError
from syncnet.server.request import Request
from syncnet.server.responses import Header, Response

__all__ = ["Report", "answer_report", "from_node", "next_page", "when_ready"]


class Report(NamedTuple):
    """An answer that was made in a thread, and the steps that it took."""

    response: Response
    steps: int


def answer_report(request: Request, report: Report) -> None:
    """Answer a request with a report, and charge its client for it."""
    request.charge(report.steps)
    request.answer(from_node(request, report.response))


def from_node(request: Request, response: Response) -> Response:
    """Return a response with the header that names the node which answers; without a cluster the response as it is."""
    name = request.handler.node_name
    return response._replace(headers=[*response.headers, ("syncnet-node", name)]) if name else response


def when_ready(coordinator: Coordinator, namespace: str, request: Request, use: Callable[[], None]) -> None:
    """Call `use` when the state of a namespace may be read. Errors are answered."""
    coordinator.when_ready(namespace, partial(_use_if_ready, request, use))


def _use_if_ready(request: Request, use: Callable[[], None], error: RetryableError | None) -> None:
    if error is not None:
        request.fail(error)
        return
    try:
        use()
    except Exception as failure:
        request.fail(failure)


def next_page(after: int, items_max: int, **parameters: str) -> Header:
    """Return the header that names the next page, relative to the path of this one (RFC 8288).

    `parameters` are the others of the request; empty ones are left out.
    """
    given = {name: text for name, text in parameters.items() if text}
    return "link", f'<?{urlencode({**given, "after": after, "limit": items_max})}>; rel="next"'
