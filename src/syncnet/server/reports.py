"""The requests that only read: what is pending, the trace, whether the server is up, and the OpenAPI document.

What takes long is encoded in a thread. The state is read under the coordinator's lock, and only copied there.
"""

from __future__ import annotations

from typing import Final

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.limits import Limits
from syncnet.core.trace import TracedSync
from syncnet.errors import DrainingError
from syncnet.server.background import Background
from syncnet.server.request import Request
from syncnet.server.responses import Header, Response, headers_of
from syncnet.wire.answers import encode_pending, encode_trace
from syncnet.wire.parameters import read_namespace, read_trace

__all__ = ["Reports"]

_TEXT: Final = "text/plain; charset=utf-8"


class Reports:
    """Answers what observers and probes ask of one coordinator."""

    def __init__(self, coordinator: Coordinator, background: Background, limits: Limits) -> None:
        self._coordinator = coordinator
        self._background = background
        self._limits = limits
        self._openapi_documents: dict[str, bytes] = {}

    def stats(self, request: Request) -> None:
        """Answer with the pending offers of a namespace."""
        namespace = read_namespace(request.parameters(self._limits))
        request.caller.require("observe", namespace)
        with self._coordinator.lock:
            machine = self._coordinator.machine
            pending, syncs, exhausted = machine.totals(namespace)
            offers = machine.pending(namespace)
        totals = [
            ("syncnet-pending", str(pending)),
            ("syncnet-syncs", str(syncs)),
            ("syncnet-misses", str(exhausted)),
        ]
        self._background.in_thread(request, Request.answer, _stats, offers, totals)

    def trace(self, request: Request) -> None:
        """Answer with syncs of a namespace."""
        wanted = read_trace(request.parameters(self._limits))
        request.caller.require("observe", wanted.namespace)
        with self._coordinator.lock:
            syncs = self._coordinator.machine.trace(wanted.namespace, wanted.after, wanted.syncs_max)
        self._background.in_thread(request, Request.answer, _trace, wanted.namespace, syncs)

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


def _stats(offers: list[Offer], totals: list[Header]) -> Response:
    return Response(200, headers_of("application/json") + totals, encode_pending(offers))


def _trace(namespace: str, syncs: list[TracedSync]) -> Response:
    return Response(200, headers_of("application/json"), encode_trace(namespace, syncs))
