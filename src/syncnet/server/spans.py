"""One OpenTelemetry span for each sync, with links to the spans in which its members made their offers.

The header `traceparent` of a request names the span in which the offer was made (W3C Trace Context). It is read when
the offer syncs, from the request that waits for it, so that a server without spans never looks at it. A member whose
client has disconnected, or has not asked again since a restart, has no link.

The span begins with the earliest offer of its members and ends with the sync. It is the root of a trace of its own.

Laws

1. Under the coordinator's lock only the headers are read, and what the span needs is put into a queue. A thread makes
   the spans, and the SDK's batch processor sends them from another one.
2. What is queued is bounded. Of a sync that does not fit there is no span; standard error says so once.

The exporter is OTLP over HTTP. It, the sampler, the batches and the resource are configured by the environment:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. This module needs the extra `otel`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from importlib.metadata import version
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from syncnet.core.effects import Effect, Synced
from syncnet.server.request import Request

__all__ = ["SyncSpans"]

_log = logging.getLogger("syncnet")

_QUEUED_MAX: Final = 2_048
"""Syncs that wait for their span: as many as the batch processor queues by default."""
_LINKS_MAX: Final = 128
"""Links of one span: as many as the SDK keeps by default."""
_TRACEPARENT_LENGTH_MAX: Final = 512
"""The SDK takes no longer one, and would log each."""
_PACE_S: Final = 0.1
_CLOSE_S: Final = 2.0
_NS_PER_S: Final = 1_000_000_000


class _Sync(NamedTuple):
    """What the span of one sync needs; `callers` are the actors whose requests had a `traceparent`, with it."""

    start_ns: int
    end_ns: int
    namespace: str
    event: str
    number: int
    members: int
    callers: list[tuple[str, str]]


class SyncSpans:
    """An observer of a coordinator that sends a span of each sync, as the environment variables `OTEL_*` say.

    :raises ValueError: a variable has an invalid value.
    """

    def __init__(self) -> None:
        given = OTELResourceDetector().detect().attributes
        ours = {"service.name": "syncnet", "service.version": version("syncnet-server")}
        self._provider = TracerProvider(resource=Resource.create({**ours, **given}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("syncnet", ours["service.version"])
        self._propagator = TraceContextTextMapPropagator()
        self._queue: deque[_Sync] = deque()
        self._is_full = False
        self._has_warned = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syncnet-spans", daemon=True)
        self._thread.start()

    def __call__(self, effect: Effect) -> None:
        """Queue what the span of a sync needs; never blocks. The waiters of the members have not been called yet."""
        if not isinstance(effect, Synced):
            return
        if len(self._queue) >= _QUEUED_MAX:
            self._is_full = True
            return
        members = effect.members
        callers: list[tuple[str, str]] = []
        for member in members:
            if len(callers) == _LINKS_MAX:
                break
            if isinstance(member.waiter, Request):
                traceparent = member.waiter.header("traceparent")
                if traceparent and len(traceparent) <= _TRACEPARENT_LENGTH_MAX:
                    callers.append((member.actor, traceparent))
        start_ns = min([member.at_ns for member in members])
        number = effect.sync
        self._queue.append(_Sync(start_ns, effect.at_ns, effect.namespace, effect.event, number, len(members), callers))

    def close(self) -> None:
        """Send what is left, for some seconds at most: the collector may not answer."""
        self._closing.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._closing.wait(_PACE_S):
            self._make_spans()
        self._make_spans()
        self._provider.shutdown()

    def _make_spans(self) -> None:
        while self._queue:
            self._make_span(self._queue.popleft())
        if self._is_full and not self._has_warned:
            self._has_warned = True
            _log.warning("more syncs happen than spans can be made; some have none")

    def _make_span(self, sync: _Sync) -> None:
        contexts = [(actor, self._propagator.extract({"traceparent": text})) for actor, text in sync.callers]
        callers = [(actor, get_current_span(context).get_span_context()) for actor, context in contexts]
        span = self._tracer.start_span(
            "sync",
            Context(),  # no parent
            links=[Link(caller, {"syncnet.actor": actor}) for actor, caller in callers if caller.is_valid],
            attributes={
                "syncnet.event": sync.event,
                "syncnet.namespace": sync.namespace,
                "syncnet.sync": sync.number,
                "syncnet.members": sync.members,
                "syncnet.wait_s": max(0, sync.end_ns - sync.start_ns) / _NS_PER_S,
            },
            start_time=sync.start_ns,
        )
        span.end(sync.end_ns)
