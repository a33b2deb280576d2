"""The observer that makes spans of syncs: what it keeps is bounded, and it keeps no payload."""

import gc
from collections.abc import Iterator
from contextlib import closing

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.effects import Synced
from syncnet.server import spans as spans_module
from syncnet.server.spans import SyncSpans
from tests.collector import Collector, values
from tests.core.offers import offer
from tests.server.fakes import USUAL, Server

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that gets all spans when the observer is closed."""
    with closing(Collector()) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setattr(spans_module, "_PACE_S", 1_000.0)
        monkeypatch.setattr(spans_module, "_CLOSE_S", 30.0)
        yield collector


def span_of_a_sync(collector: Collector, members: int) -> Span:
    """Let so many requests sync, each with a `traceparent`; return the span."""
    with closing(SyncSpans()) as spans, closing(Server(Coordinator(observers=[spans]))) as server:
        headers = USUAL | {"traceparent": TRACEPARENT}
        server.ask(*[f"event=e&actor=A{n}&mates={members - 1}" for n in range(members)], headers=headers)
    (span,) = collector.spans
    return span


def test_a_span_has_the_links_of_the_first_members_to_arrive(collector: Collector) -> None:
    span = span_of_a_sync(collector, 200)
    actors = [values(link.attributes)["syncnet.actor"] for link in span.links]
    assert actors == [f"A{n}" for n in range(128)]
    assert values(span.attributes)["syncnet.members"] == 200


def test_syncs_that_do_not_fit_into_the_queue_have_no_span(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spans_module, "_QUEUED_MAX", 2)
    with closing(SyncSpans()) as spans:
        for number in range(1, 5):
            spans(Synced(1, "n", "e", number, (offer("A"),)))
    assert [values(span.attributes)["syncnet.sync"] for span in collector.spans] == [1, 2]
    assert caplog.messages == ["more syncs happen than spans can be made; some have none"]


def test_no_offer_is_kept(collector: Collector) -> None:
    with closing(SyncSpans()) as spans:
        spans(Synced(1, "n", "kept-by-nobody", 1, (offer("A", "kept-by-nobody"),)))
        gc.collect()
        assert [each for each in gc.get_objects() if isinstance(each, Offer) and "kept-by-nobody" in each.events] == []
    assert len(collector.spans) == 1
