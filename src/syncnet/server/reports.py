"""The requests that only read: what is pending, the trace, metrics, whether the server is up, the OpenAPI document.

What takes long is encoded in a thread. The state is read under the coordinator's lock, and only copied there.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from itertools import islice
from typing import Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.limits import Limits
from syncnet.core.offer_list import first_offers
from syncnet.core.trace import TracedSync
from syncnet.errors import BusyError, DrainingError, SyncnetError
from syncnet.server.access import ANY_NAMESPACE, Access
from syncnet.server.background import Background
from syncnet.server.measure import lag_s, measured
from syncnet.server.metrics import OPENMETRICS_MEDIA_TYPE, TEXT_MEDIA_TYPE, Value, metrics_text
from syncnet.server.pages import Report, answer_report, from_node, next_page, when_ready
from syncnet.server.process import process_metrics
from syncnet.server.request import Request
from syncnet.server.responses import PLAIN_TEXT, Header, Response, headers_of
from syncnet.server.streams import Streams
from syncnet.wire.answers import encode_pending, encode_trace
from syncnet.wire.negotiation import prefers_openmetrics
from syncnet.wire.parameters import TRACE_PARAMETERS, Page, read_page, read_trace_output, read_watch

__all__ = ["Reports"]

_COPIED_PER_STEP: Final = 100
_BYTES_PER_STEP: Final = 40  # of a report
_EVENTS_PER_STEP: Final = 4  # of the pending offers, which say who is missing
_METRICS_STEPS: Final = 500
_LAG_S_MAX: Final = 5.0  # a disk that takes longer for a commit is not fit for offers


class Reports:
    """Answers what observers and probes ask of one coordinator."""

    def __init__(self, coordinator: Coordinator, background: Background, limits: Limits, access: Access) -> None:
        self._coordinator = coordinator
        self._background = background
        self._limits = limits
        self._streams: Streams = Streams(coordinator, background, limits, access)
        self._openapi_documents: dict[str, bytes] = {}

    def stats(self, request: Request) -> None:
        """Answer with a page of the pending offers of a namespace."""
        page = read_page(request.parameters(self._limits))
        request.caller.require("observe", page.namespace)
        when_ready(self._coordinator, page.namespace, request, partial(self._stats, request, page))

    def _stats(self, request: Request, page: Page) -> None:
        with self._coordinator.lock:
            machine = self._coordinator.machine
            pending, syncs, exhausted = machine.totals(page.namespace)
            offers = machine.pending(page.namespace)
        totals = [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(exhausted)),
        ]
        self._background.in_thread("reports", request, answer_report, _stats, offers, page, totals)

    def trace(self, request: Request) -> None:
        """Answer with a page of the syncs of a namespace, or with a stream of what happens in it."""
        parameters = request.parameters(self._limits)
        output = read_trace_output(parameters, request.accept)
        if output != "json":
            last_event_id = request.header("last-event-id") if "last-event-id" in request.present else ""
            watch = read_watch(parameters, last_event_id)
            request.caller.require("observe", watch.namespace)
            start = partial(self._streams.start, request, watch, output)
            when_ready(self._coordinator, watch.namespace, request, start)
            return
        page = read_page(parameters, TRACE_PARAMETERS)
        request.caller.require("observe", page.namespace)
        when_ready(self._coordinator, page.namespace, request, partial(self._trace, request, page))

    def _trace(self, request: Request, page: Page) -> None:
        with self._coordinator.lock:
            machine = self._coordinator.machine
            _, latest, _ = machine.totals(page.namespace)
            syncs = machine.trace(page.namespace, page.after, page.items_max)
        self._background.in_thread("reports", request, answer_report, _trace, syncs, page, latest)

    def end_streams(self) -> None:
        """End all streams, each after its last whole happening."""
        self._streams.close()

    def metrics(self, request: Request) -> None:
        """Answer with the metrics, in the format that the client prefers."""
        request.caller.require("observe", ANY_NAMESPACE)
        values = measured(self._coordinator, request.handler)
        machine = self._coordinator.machine
        request.charge(_METRICS_STEPS + machine.namespaces_total + machine.pending_total // _COPIED_PER_STEP)
        is_open = prefers_openmetrics(request.accept)
        self._background.in_thread("metrics", request, _answer, _metrics, values, is_open)

    def readyz(self, request: Request) -> None:
        """Answer whether offers are accepted; with `?verbose` one line for each condition."""
        checks = self._checks()
        if "verbose" in request.query.split("&"):
            request.answer(_verbose(checks))
            return
        for error in checks.values():
            if error is not None:
                raise error
        request.answer(Response(200, headers_of(PLAIN_TEXT), b"ready\n"))

    def _checks(self) -> dict[str, SyncnetError | None]:
        """Return the conditions of readiness, and the error of each that is not met."""
        coordinator = self._coordinator
        checks: dict[str, SyncnetError | None] = {"offers": None, "log": None}
        if coordinator.is_draining:
            checks["offers"] = DrainingError("the server is shutting down and accepts no more offers")
        behind_s = lag_s(coordinator.log, coordinator.now_ns())
        if behind_s > _LAG_S_MAX:
            checks["log"] = BusyError(f"the log is behind by {behind_s:.0f} s")
        checks |= coordinator.conditions()
        return checks

    def healthz(self, request: Request) -> None:
        """Answer that the server runs."""
        request.answer(Response(200, headers_of(PLAIN_TEXT), b"ok\n"))

    def openapi(self, request: Request) -> None:
        """Answer with the OpenAPI document of the paths below the mount path."""
        document = self._openapi_documents.get(request.mount_path)
        if document is None:  # made when first asked for: most servers never are
            from syncnet.server.openapi import openapi_document

            document = openapi_document(request.handler.routes, self._limits, request.mount_path)
            self._openapi_documents[request.mount_path] = document
        request.answer(Response(200, headers_of("application/json"), document))


def _answer(request: Request, response: Response) -> None:
    request.answer(from_node(request, response))


def _metrics(values: dict[str, Value], is_open: bool) -> Response:
    text = metrics_text(values | process_metrics(), openmetrics=is_open)
    return Response(200, headers_of(OPENMETRICS_MEDIA_TYPE if is_open else TEXT_MEDIA_TYPE), text.encode())


def _verbose(checks: dict[str, SyncnetError | None]) -> Response:
    """Return the conditions as Kubernetes' own servers show theirs."""
    lines = [f"[+]{name} ok" if error is None else f"[-]{name} failed: {error}" for name, error in checks.items()]
    is_ready = not any(checks.values())
    text = "\n".join([*lines, f"readyz check {'passed' if is_ready else 'failed'}", ""])
    return Response(200 if is_ready else 503, headers_of(PLAIN_TEXT), text.encode())


def _stats(offers: list[Offer], page: Page, totals: list[Header]) -> Report:
    start = bisect_right(offers, page.after, key=_arrival)
    shown = first_offers(islice(offers, start, None), page.items_max)
    headers = headers_of("application/json") + totals
    if start + len(shown) < len(offers):
        headers.append(next_page(shown[-1].arrival, page.items_max, namespace=page.namespace))
    body = encode_pending(shown, offers)
    events = sum(len(offer.events) for offer in offers)
    return Report(Response(200, headers, body), events // _EVENTS_PER_STEP + len(body) // _BYTES_PER_STEP)


def _trace(syncs: list[TracedSync], page: Page, latest: int) -> Report:
    headers = headers_of("application/json")
    if syncs and syncs[-1].sync < latest:
        headers.append(next_page(syncs[-1].sync, page.items_max, namespace=page.namespace))
    body = encode_trace(page.namespace, syncs)
    return Report(Response(200, headers, body), len(body) // _BYTES_PER_STEP)


def _arrival(offer: Offer) -> int:
    return offer.arrival
