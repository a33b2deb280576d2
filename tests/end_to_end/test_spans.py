"""`syncnet serve --otel`: one span for each sync, linked to the spans of its members, as a collector receives it."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider

import syncnet
from tests.collector import Collector, values
from tests.end_to_end.running import Server, curls, running

TRACES = {"VM": "4bf92f3577b34da6a3ce929d0e0e4736", "CUST": "a3ce929d0e0e47364bf92f3577b34da6"}
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with contextlib.closing(Collector()) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        yield collector


@pytest.fixture
def server(collector: Collector) -> Iterator[Server]:  # noqa: ARG001 - the collector is there before the server
    with running("--otel", "--log-format", "none") as server:
        yield server
        assert "Traceback" not in server.stderr


def links(span: Span) -> dict[str, tuple[str, str]]:
    """The trace and the span of each link, by actor."""
    return {values(each.attributes)["syncnet.actor"]: (each.trace_id.hex(), each.span_id.hex()) for each in span.links}


def offered(server: Server, actor: str, traceparent: str | None, mates: int = 0, **parameters: Any) -> None:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    query = {"event": "coin", "actor": actor, "mates": mates, **parameters}
    assert server.client.get("/event", params=query, headers=headers).status_code == 200


def test_a_sync_is_one_span_with_links_to_those_of_its_members(server: Server, collector: Collector) -> None:
    query = "event=coin&namespace=n&mates=2&actor"
    header = ["-H", f"traceparent: 00-{TRACES['VM']}-{PARENT}-01"]
    command = ["curl", "--silent", "--max-time", "60", *header, f"{server.url}/event?{query}=VM"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL), curls(f"{server.url}/event?{query}=X"):
        server.until_pending(2, "n")
        body = {"event": "coin", "actor": "CUST", "mates": 2, "namespace": "n"}
        posted = {"traceparent": f"00-{TRACES['CUST']}-{PARENT}-00"}
        sync = server.client.post("/event", json=body, headers=posted).json()
    (span,) = collector.take(1)
    assert links(span) == {"VM": (TRACES["VM"], PARENT), "CUST": (TRACES["CUST"], PARENT)}
    assert (span.name, span.parent_span_id) == ("sync", b"")
    attributes = values(span.attributes)
    wait_s = attributes.pop("syncnet.wait_s")
    assert attributes == {
        "syncnet.event": "coin",
        "syncnet.namespace": "n",
        "syncnet.sync": sync["sync"],
        "syncnet.members": 3,
    }
    wait_ns = span.end_time_unix_nano - span.start_time_unix_nano
    assert wait_ns > 0
    assert wait_s == wait_ns / 1e9
    (resource,) = collector.resource_spans
    assert values(resource.resource.attributes)["service.name"] == "syncnet"
    assert collector.paths == {"/v1/traces"}


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "no",
        f"00-{TRACES['VM']}-{PARENT}",
        f"00-{TRACES['VM']}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACES['VM']}-{'0' * 16}-01",
        f"00-{TRACES['VM'].upper()}-{PARENT}-01",
        f"ff-{TRACES['VM']}-{PARENT}-01",
        f"01-{TRACES['VM']}-{PARENT}-01-{'x' * 1000}",
    ],
)
def test_an_invalid_traceparent_is_ignored(server: Server, collector: Collector, traceparent: str | None) -> None:
    offered(server, "A", traceparent)
    (span,) = collector.take(1)
    assert links(span) == {}
    assert server.stop() == 0
    assert server.stderr.count("\n") == 1


def test_the_header_of_a_later_version_is_taken(server: Server, collector: Collector) -> None:
    offered(server, "A", f"01-{TRACES['VM']}-{PARENT}-01-more")
    assert links(collector.take(1)[0]) == {"A": (TRACES["VM"], PARENT)}


def test_a_client_that_asks_again_is_linked_by_its_latest_request(server: Server, collector: Collector) -> None:
    url = f"{server.url}/event?event=coin&actor=VM&id=1"
    with subprocess.Popen(["curl", "-s", "-H", f"traceparent: 00-{TRACES['VM']}-{PARENT}-01", url]) as first:
        server.until_pending(1)
        with subprocess.Popen(["curl", "-s", "-H", f"traceparent: 00-{TRACES['CUST']}-{PARENT}-01", url]):
            first.wait(30)  # it was replaced
            offered(server, "CUST", None, mates=1)
    assert links(collector.take(1)[0]) == {"VM": (TRACES["CUST"], PARENT)}


def test_what_is_left_is_sent_before_the_server_ends(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    with running("--otel", "--log-format", "none") as server:
        for _ in range(100):
            offered(server, "A", f"00-{TRACES['VM']}-{PARENT}-01")
        assert server.stop() == 0
    assert [values(span.attributes)["syncnet.sync"] for span in collector.spans] == list(range(1, 101))
    assert {values(each.resource.attributes)["service.name"] for each in collector.resource_spans} == {"ours"}


def test_a_restart_with_a_journal_loses_the_links_of_those_that_waited(collector: Collector, tmp_path: Path) -> None:
    options = ("--otel", "--log-format", "none", "--journal", str(tmp_path))
    with running(*options) as server:
        url = f"{server.url}/event?event=coin&actor=VM&id=1&linger=60s"
        with subprocess.Popen(["curl", "-s", "-H", f"traceparent: 00-{TRACES['VM']}-{PARENT}-01", url]):
            server.until_pending(1)
            assert server.stop() == 0
    with running(*options) as server:
        server.until_pending(1)
        offered(server, "CUST", f"00-{TRACES['CUST']}-{PARENT}-01", mates=1)
        (span,) = collector.take(1)
    assert links(span) == {"CUST": (TRACES["CUST"], PARENT)}
    assert values(span.attributes)["syncnet.members"] == 2


def test_our_clients_send_the_active_span(server: Server, collector: Collector) -> None:
    tracer = TracerProvider().get_tracer("test")
    with syncnet.Client(server.url) as client, tracer.start_as_current_span("deploy") as deploy:
        client.sync("coin", actor="A", mates=0)
        with trace.use_span(trace.INVALID_SPAN):
            client.sync("coin", actor="B", mates=0)
    first, second = collector.take(2)
    context = deploy.get_span_context()
    assert links(first) == {"A": (trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id))}
    assert links(second) == {}


def test_a_collector_that_does_not_answer_delays_neither_syncs_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        with running("--otel", "--log-format", "none") as server:
            for _ in range(300):
                offered(server, "A", None)
            assert server.stop() == 0


def test_without_the_extra_the_option_says_how_to_install_it() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None\nfrom syncnet.cli import main; main(prog_name='syncnet')"
    command = [sys.executable, "-c", program, "127.0.0.1:0", "--otel"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "Error: --otel needs OpenTelemetry: pip install 'syncnet-server[otel]'\n"


def test_an_invalid_variable_ends_the_server_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--otel"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "Error: --otel: max_queue_size must be a positive integer.\n"
