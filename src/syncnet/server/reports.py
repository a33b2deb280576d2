"""The requests that only read: what is pending, the trace, whether the server is up, and the OpenAPI document.

What takes long is encoded in a thread. The state is read under the coordinator's lock, and only copied there.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.limits import PAGE_BYTES_MAX, Limits
from syncnet.core.trace import TracedSync
from syncnet.errors import DrainingError
from syncnet.server.background import Background
from syncnet.server.request import Request
from syncnet.server.responses import Header, Response, headers_of
from syncnet.server.streams import Streams
from syncnet.wire.answers import encode_pending, encode_trace
from syncnet.wire.parameters import TRACE_PARAMETERS, Page, read_page, read_trace_output, read_watch

__all__ = ["Reports"]

_COPIED_PER_STEP: Final = 100
_TEXT: Final = "text/plain; charset=utf-8"


class Reports:
    """Answers what observers and probes ask of one coordinator."""

    def __init__(self, coordinator: Coordinator, background: Background, limits: Limits) -> None:
        self._coordinator = coordinator
        self._background = background
        self._limits = limits
        self._streams: Streams = Streams(coordinator, background, limits)
        self._openapi_documents: dict[str, bytes] = {}

    def stats(self, request: Request) -> None:
        """Answer with a page of the pending offers of a namespace."""
        page = read_page(request.parameters(self._limits))
        request.caller.require("observe", page.namespace)
        with self._coordinator.lock:
            machine = self._coordinator.machine
            pending, syncs, exhausted = machine.totals(page.namespace)
            offers = machine.pending(page.namespace)
        request.charge(len(offers) // _COPIED_PER_STEP + min(len(offers), page.items_max))
        totals = [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(exhausted)),
        ]
        self._background.in_thread("reports", request, Request.answer, _stats, offers, page, totals)

    def trace(self, request: Request) -> None:
        """Answer with a page of the syncs of a namespace, or with a stream of what happens in it."""
        parameters = request.parameters(self._limits)
        output = read_trace_output(parameters, request.accept)
        if output != "json":
            last_event_id = request.header("last-event-id") if "last-event-id" in request.present else ""
            watch = read_watch(parameters, last_event_id)
            request.caller.require("observe", watch.namespace)
            self._streams.start(request, watch, output)
            return
        page = read_page(parameters, TRACE_PARAMETERS)
        request.caller.require("observe", page.namespace)
        with self._coordinator.lock:
            machine = self._coordinator.machine
            _, latest, _ = machine.totals(page.namespace)
            syncs = machine.trace(page.namespace, page.after, page.items_max)
        request.charge(sum(len(sync.members) for sync in syncs))
        self._background.in_thread("reports", request, Request.answer, _trace, syncs, page, latest)

    def end_streams(self) -> None:
        """End all streams, each after its last whole happening."""
        self._streams.close()

    def readyz(self, request: Request) -> None:
        """Answer whether offers are accepted."""
        if self._coordinator.is_draining:
            raise DrainingError("the server is shutting down and accepts no more offers")
        request.answer(Response(200, headers_of(_TEXT), b"ready\n"))

    def healthz(self, request: Request) -> None:
        """Answer that the server runs."""
        request.answer(Response(200, headers_of(_TEXT), b"ok\n"))

    def openapi(self, request: Request) -> None:
        """Answer with the OpenAPI document of the paths below the mount path."""
        document = self._openapi_documents.get(request.mount_path)
        if document is None:  # made when first asked for: most servers never are
            from syncnet.server.openapi import openapi_document

            document = openapi_document(request.handler.routes, self._limits, request.mount_path)
            self._openapi_documents[request.mount_path] = document
        request.answer(Response(200, headers_of("application/json"), document))


def _stats(offers: list[Offer], page: Page, totals: list[Header]) -> Response:
    start = bisect_right(offers, page.after, key=_arrival)
    weight_bytes, end = 0, start
    for offer in islice(offers, start, start + page.items_max):
        weight_bytes += offer.spec.weight_bytes
        if end > start and weight_bytes > PAGE_BYTES_MAX:
            break
        end += 1
    headers = headers_of("application/json") + totals
    if end < len(offers):
        headers.append(_next(page, offers[end - 1].arrival))
    return Response(200, headers, encode_pending(offers[start:end]))


def _trace(syncs: list[TracedSync], page: Page, latest: int) -> Response:
    headers = headers_of("application/json")
    if syncs and syncs[-1].sync < latest:
        headers.append(_next(page, syncs[-1].sync))
    return Response(200, headers, encode_trace(page.namespace, syncs))


def _next(page: Page, after: int) -> Header:
    """Return the header that names the next page, relative to the path of this one (RFC 8288)."""
    return "link", f'<?namespace={page.namespace}&after={after}&limit={page.items_max}>; rel="next"'


def _arrival(offer: Offer) -> int:
    return offer.arrival
