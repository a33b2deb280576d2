"""`/metrics`: every count is exact, both formats are read by Prometheus' own parser, and no client chooses a label."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from syncnet import ASGIApp
from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS
from syncnet.core.machine import Machine
from syncnet.errors import PROBLEMS, JournalError
from syncnet.log.journal import Journal
from syncnet.server.access import Access
from syncnet.server.background import POOLS
from syncnet.server.metrics import FAMILIES, Distribution, metrics_text
from syncnet.server.process import process_metrics
from syncnet.server.tokens import new_token, parse_tokens
from tests.coordinator.fakes import LateLog
from tests.server.fakes import USUAL, Exchange, Server

FORM = {"host": "localhost", "content-type": "application/x-www-form-urlencoded"}
OPENMETRICS = {**USUAL, "accept": "application/openmetrics-text; version=1.0.0"}
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
NAMES = ("secret-namespace", "secret-event", "secret-actor", "secret-id", "secret-label", "secret-path", "secret-token")
ELSEWHERE = (
    "syncnet_circles",
    "syncnet_journal",
    "syncnet_output",
    "syncnet_cluster",
)  # of a server in a process of its own
ENDS = ("synced", "timed-out", "withdrawn", "disconnected", "aborted", "refused", "lost")

parse_text: Callable[[str], Any] = parser.text_string_to_metric_families
parse_openmetrics: Callable[[str], Any] = openmetrics_parser.text_string_to_metric_families


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


def answer(server: Server, headers: dict[str, str] = USUAL, method: str = "GET") -> tuple[int, dict[str, str], str]:
    exchange = server.take(Exchange("", headers, method, "/metrics"))
    server.until(lambda: exchange.answers)
    ((status, answer_headers, body),) = exchange.answers
    return status, dict(answer_headers), body.decode()


def read(text: str, parse: Callable[[str], Any] = parse_text) -> dict[str, float]:
    """Every sample by its name and labels, as `name{label="value"}`."""
    values: dict[str, float] = {}
    for family in parse(text):
        for sample in family.samples:
            labels = ",".join([f'{name}="{value}"' for name, value in sample.labels.items()])
            values[sample.name + (f"{{{labels}}}" if labels else "")] = float(sample.value)
    return values


def values_of(server: Server) -> dict[str, float]:
    status, _, text = answer(server)
    assert status == 200
    return read(text)


def ends_of(values: dict[str, float]) -> dict[str, float]:
    return {end: values[f'syncnet_offers_total{{end="{end}"}}'] for end in ENDS}


def problems_of(values: dict[str, float]) -> dict[str, float]:
    counted = {code: values[f'syncnet_problems_total{{code="{code}"}}'] for code in PROBLEMS}
    return {code: problems for code, problems in counted.items() if problems}


def every_kind_of_end(server: Server) -> None:
    """3 syncs of 6 offers, 2 timeouts, 1 withdrawal, 1 disconnection, 2 aborts, 1 refusal; 1 offer is left."""
    server.ask("event=solo&actor=A&mates=0", "event=coin&actor=VM", "event=coin&actor=CUST")
    server.ask(*[f"event=three&actor={actor}&mates=2" for actor in "ABC"])
    server.until_answered(*server.ask("event=none&actor=A&timeout=0", "event=no&actor=A&timeout=1ms"))
    server.ask("event=none&actor=A&id=w")
    server.until_answered(*server.ask("id=w", method="DELETE"))
    (gone,) = server.ask("event=none&actor=A")
    server.until(lambda: gone.is_watched)
    gone.disconnect()
    server.until(lambda: not server.coordinator.machine.pending_total)
    server.ask("event=wrong&actor=A&mates=2", "event=wrong&actor=B&mates=2")
    server.until_answered(server.take(Exchange("", FORM, "POST", "/abort", body=b"event=wrong&reason=because")))
    server.ask("event=left&actor=A&id=left", "event=other&actor=A&id=left")


def test_every_kind_of_end_is_counted(server: Server) -> None:
    every_kind_of_end(server)
    values = values_of(server)
    assert ends_of(values) == dict(zip(ENDS, (6, 2, 1, 1, 2, 1, 0), strict=True))
    assert values["syncnet_offers_pending"] == 1
    assert values["syncnet_offers_pending_bytes"] > 0
    assert values["syncnet_oldest_pending_seconds"] > 0
    assert values["syncnet_namespaces"] == 1
    assert values["syncnet_syncs_total"] == values["syncnet_sync_members_count"] == 3
    assert values["syncnet_sync_members_sum"] == values["syncnet_offer_wait_seconds_count"] == 6
    buckets = {bound: values[f'syncnet_sync_members_bucket{{le="{bound}"}}'] for bound in ("1.0", "2.0", "3.0", "4.0")}
    assert buckets == {"1.0": 1, "2.0": 2, "3.0": 3, "4.0": 3}
    assert problems_of(values) == {"timed-out": 2, "withdrawn": 1, "aborted": 2, "id-reused": 1}
    assert values["syncnet_searches_exhausted_total"] == 0


def test_an_empty_server_has_every_series_at_0(server: Server) -> None:
    values = values_of(server)
    assert ends_of(values) == dict.fromkeys(ENDS, 0)
    assert problems_of(values) == {}
    assert values["syncnet_oldest_pending_seconds"] == values["syncnet_offer_wait_seconds_sum"] == 0
    assert values["syncnet_requests_total"] == 1


def test_what_standard_output_left_out_is_shown_where_there_is_a_log(server: Server) -> None:
    assert "syncnet_output_left_out_total" not in values_of(server)
    server.app.handler.output_left_out = lambda: 7
    assert values_of(server)["syncnet_output_left_out_total"] == 7


def test_circles_are_shown_where_something_looks_for_them(server: Server) -> None:
    assert not any("circles" in name for name in values_of(server))
    server.app.handler.circles = lambda: {True: 2, False: 1}
    values = values_of(server)
    assert values['syncnet_circles{certainty="certain"}'] == 2
    assert values['syncnet_circles{certainty="possible"}'] == 1


def test_requests_that_wait_are_counted_until_they_are_answered(server: Server) -> None:
    asked = server.ask("event=a&actor=A", "event=b&actor=A")
    assert values_of(server)["syncnet_requests_waiting"] == 2
    server.until(lambda: all(exchange.is_watched for exchange in asked))
    assert values_of(server)["syncnet_requests_waiting"] == 2
    server.ask("event=a&actor=B")
    server.until(lambda: server.app.handler.background.waiting == 1)
    assert values_of(server)["syncnet_requests_total"] == 6
    unread = server.take(Exchange("", FORM, "POST", body=b"event=c&actor=C"))
    assert values_of(server)["syncnet_requests_waiting"] == 2
    assert unread.reading is not None
    unread.come()
    server.until(lambda: server.coordinator.machine.pending_total == 2)
    assert values_of(server)["syncnet_requests_waiting"] == 2


def test_searches_that_hit_their_bound_are_counted() -> None:
    limits = replace(LIMITS, search_steps_max=10)
    with closing(Server(Coordinator(machine=Machine(limits)), limits=limits)) as server:
        server.ask(*[f"event=coin&actor=A{number}&mates=2&selector=x&labels=y{number}%3D1" for number in range(20)])
        server.ask("event=coin&actor=last&mates=2&labels=x%3D1&selector=actor")
        assert values_of(server)["syncnet_searches_exhausted_total"] == server.coordinator.machine.totals("default")[2]
        assert server.coordinator.machine.totals("default")[2] > 0


def test_requests_above_the_share_of_work_and_above_a_queue_are_counted() -> None:
    limits = replace(LIMITS, client_steps_max=1_000, client_steps_per_s=1, bodies_bytes_max=20_000)
    with closing(Server(limits=limits)) as server:
        refused = server.ask(*["event=e&actor=!"] * 21)
        large = Exchange("", FORM, "POST", body=b"x" * 30_000, client="127.0.0.8:1")
        server.until_answered(server.take(large))
        (limited,) = server.ask("event=e&actor=A")
        server.until_answered(limited)
        assert [exchange.statuses for exchange in refused] == [[400]] * 21
        counted = server.app.handler.problems
        assert {code: counted[code] for code in ("bad-parameter", "rate-limited", "busy")} == {
            "bad-parameter": 21,
            "rate-limited": 1,
            "busy": 1,
        }


def test_what_the_log_holds_back_is_shown() -> None:
    log = LateLog()
    with closing(Server(Coordinator(log))) as server:
        server.ask("event=coin&actor=A", "event=coin&actor=B")
        values = values_of(server)
        assert values["syncnet_log_undelivered"] == 2
        assert values["syncnet_log_lag_seconds"] > 0
        assert values["syncnet_offers_pending"] == 0
        log.flush()
        values = values_of(server)
        assert (values["syncnet_log_undelivered"], values["syncnet_log_lag_seconds"]) == (0, 0)
        assert values["syncnet_syncs_total"] == 1
        assert not any(name.startswith("syncnet_journal") for name in values), "it is no journal"
        server.ask("event=coin&actor=C")
        log.flush(JournalError("the disk is full"))
        assert problems_of(values_of(server)) == {"journal": 1}


def on_journal(folder: Path) -> tuple[Server, Journal]:
    """A server whose journal hands over to its loop, which runs within `Server.until`."""
    handed: list[Callable[[], None]] = []
    journal = Journal(folder, handed.append)
    server = Server(Coordinator(journal))

    def until(condition: Callable[[], object]) -> None:
        def handed_over() -> object:
            while handed:
                handed.pop(0)()
            return condition()

        Server.until(server, handed_over)

    server.until = until  # type: ignore[method-assign]
    return server, journal


def test_counts_of_a_journal_begin_anew_after_a_restart(tmp_path: Path) -> None:
    server, _ = on_journal(tmp_path)
    asked = server.ask("event=coin&actor=VM&id=1", "event=coin&actor=CUST&id=2", "event=none&actor=A&timeout=0")
    server.until_answered(*asked)
    server.ask("event=left&actor=A&id=left&linger=1h")
    server.until(lambda: server.coordinator.machine.pending_total)
    values = values_of(server)
    assert ends_of(values) == dict(zip(ENDS, (2, 1, 0, 0, 0, 0, 0), strict=True))
    assert values["syncnet_journal_commands_total"] == 5
    assert 1 <= values["syncnet_journal_commits_total"] <= 5
    assert values["syncnet_journal_failing"] == 0
    server.close()

    server, _ = on_journal(tmp_path)
    values = values_of(server)
    assert ends_of(values) == dict.fromkeys(ENDS, 0), "what is replayed was counted before"
    assert values["syncnet_syncs_total"] == values["syncnet_journal_commands_total"] == 0
    assert values["syncnet_offers_pending"] == 1
    server.until_answered(*server.ask("event=coin&actor=VM&id=1"))
    assert ends_of(values_of(server)) == dict.fromkeys(ENDS, 0), "an outcome that is answered again is no new end"
    server.until_answered(*server.ask("event=left&actor=B"))
    values = values_of(server)
    assert ends_of(values)["synced"] == 2, "an offer from before the restart ends once, now"
    assert values["syncnet_offer_wait_seconds_count"] == 2
    server.close()


# --- the formats -------------------------------------------------------------------------------------------


def test_both_formats_have_the_same_samples(server: Server) -> None:
    every_kind_of_end(server)
    _, headers, text = answer(server)
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    _, open_headers, open_text = answer(server, OPENMETRICS)
    assert open_headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert open_text.endswith("\n# EOF\n")
    values, open_values = read(text), read(open_text, parse_openmetrics)
    assert values.keys() == open_values.keys()
    changing = re.compile("process_|syncnet_requests_total|syncnet_oldest_pending_seconds")
    same = [name for name in values if not changing.match(name)]
    assert {name: values[name] for name in same} == {name: open_values[name] for name in same}


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.4", False),
        ("application/json", False),
    ],
)
def test_the_format_is_chosen_by_the_header_accept(server: Server, accept: str, is_open: bool) -> None:
    _, headers, _ = answer(server, {"host": "localhost", "accept": accept})
    assert ("openmetrics" in headers["content-type"]) == is_open


def test_head_has_the_headers_of_get(server: Server) -> None:
    status, headers, _ = answer(server, method="HEAD")
    assert (status, headers["content-type"], headers["cache-control"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        "no-store",
    )


def test_every_family_has_its_help_type_and_unit(server: Server) -> None:
    _, _, text = answer(server, OPENMETRICS)
    families = {family.name: family for family in parse_openmetrics(text)}
    shown = [family for family in FAMILIES if not family.name.startswith(ELSEWHERE)]
    assert len(families) == len(shown)
    for family in shown:
        found = families[family.name.removesuffix("_total").removesuffix("_info")]
        assert (found.type, found.documentation, found.unit) == (family.kind, family.help, family.unit)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith((".", "0"))


def test_buckets_are_cumulative_and_agree_with_count_and_sum() -> None:
    text = metrics_text({"syncnet_sync_members": Distribution((1, 2.5), (2, 0, 3), 19.25)})
    assert text.splitlines()[2:] == [
        'syncnet_sync_members_bucket{le="1.0"} 2',
        'syncnet_sync_members_bucket{le="2.5"} 2',
        'syncnet_sync_members_bucket{le="+Inf"} 5',
        "syncnet_sync_members_sum 19.25",
        "syncnet_sync_members_count 5",
    ]


def test_a_number_is_shown_in_full() -> None:
    for number, shown in (
        (3, "3"),
        (2.0, "2"),
        (1e-07, "1e-07"),
        (0.1, "0.1"),
        (float("inf"), "+Inf"),
        (2**60, str(2**60)),
    ):
        assert metrics_text({"syncnet_namespaces": number}).splitlines()[2] == f"syncnet_namespaces {shown}"


def test_the_process_is_described_on_linux_only(tmp_path: Path) -> None:
    assert process_metrics(tmp_path) == {}
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text("1 (a b) c) S " + " ".join(str(number) for number in range(1, 50)))
    assert process_metrics(tmp_path) == {}
    process = process_metrics()
    if process:
        assert process.keys() == {family.name for family in FAMILIES if family.name.startswith("process_")}
        assert 1_000_000 < process["process_resident_memory_bytes"] < process["process_virtual_memory_bytes"]
        assert 0 < process["process_open_fds"] < process["process_max_fds"]
        assert process["process_start_time_seconds"] > 1_600_000_000


# --- what is not shown, and to whom ------------------------------------------------------------------------


def test_no_client_chooses_a_label(server: Server) -> None:
    namespace, event, actor, id, label, path, _ = NAMES
    server.ask(f"event={event}&actor={actor}&id={id}&namespace={namespace}&labels={label}%3Dx&payload={label}")
    server.ask(f"event={event}&actor=B&namespace={namespace}&timeout=0", f"{label}=1")
    server.take(Exchange("", path=f"/{path}"))
    server.take(Exchange("", method="SECRET"))
    server.app.handler.circles = lambda: {True: 0, False: 0}
    closed = {"certainty": {"certain", "possible"}, "end": set(ENDS), "code": set(PROBLEMS), "pool": set(POOLS)}
    for headers, parse in ((USUAL, parse_text), (OPENMETRICS, parse_openmetrics)):
        _, _, text = answer(server, headers)
        assert "secret" not in text.lower()
        samples = [sample for family in parse(text) for sample in family.samples]
        for sample in samples:
            if sample.name == "syncnet_build_info":
                assert sample.labels.keys() == {"version", "python", "compiled"}
            else:
                assert all(name == "le" or value in closed[name] for name, value in sample.labels.items())
    assert [family.labels for family in FAMILIES if family.labels] == [
        ("version", "python", "compiled"),
        ("end",),
        ("certainty",),
        ("pool",),
        ("code",),
        ("node",),
    ]


@pytest.mark.parametrize(
    ("namespaces", "roles", "status"),
    [(["*"], ["observe"], 200), (["*"], ["admin"], 200), (["*"], ["sync"], 403), (["ci-*"], ["observe"], 403)],
)
def test_a_token_needs_the_role_observe_in_all_namespaces(namespaces: list[str], roles: list[str], status: int) -> None:
    secret, entry = new_token("secret-token", namespaces, roles)
    with closing(Server(access=Access(parse_tokens(entry.encode()), hosts=()))) as server:
        assert answer(server)[0] == 401
        got, _, text = answer(server, {**USUAL, "authorization": f"Bearer {secret}"})
        assert got == status, text
        if status == 200:
            assert "secret-token" not in text
            assert problems_of(read(text)) == {"unauthorized": 1}


@pytest.mark.anyio
async def test_a_mounted_application_has_metrics() -> None:
    app = ASGIApp()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as client:
        await client.get("/event?event=e&actor=A&mates=0")
        await client.get("/event?event=e&actor=A&timeout=0")
        response = await client.get("/metrics", headers={"accept": PROMETHEUS_3})
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        values = read(response.text, parse_openmetrics)
        assert ends_of(values) == dict(zip(ENDS, (1, 1, 0, 0, 0, 0, 0), strict=True))
        assert values["syncnet_offers_pending_max"] == LIMITS.pending_offers_max
        head = await client.head("/metrics")
        assert (head.status_code, head.content) == (200, b"")
    app.coordinator.close()


# --- readiness ---------------------------------------------------------------------------------------------


def get(server: Server, path: str, query: str = "") -> tuple[int, str]:
    ((status, _, body),) = server.take(Exchange(query, path=path)).answers
    return status, body.decode()


def test_livez_is_healthz(server: Server) -> None:
    assert get(server, "/livez") == get(server, "/healthz") == (200, "ok\n")


def test_readyz_tells_each_condition(server: Server) -> None:
    assert get(server, "/readyz") == (200, "ready\n")
    assert get(server, "/readyz", "verbose") == (200, "[+]offers ok\n[+]log ok\nreadyz check passed\n")
    server.coordinator.drain()
    assert get(server, "/readyz")[0] == 503
    assert get(server, "/readyz", "verbose") == (
        503,
        "[-]offers failed: the server is shutting down and accepts no more offers\n[+]log ok\nreadyz check failed\n",
    )
    assert get(server, "/livez")[0] == 200


def test_a_log_that_is_far_behind_is_not_ready() -> None:
    log, now_ns = LateLog(), 10**18
    with closing(Server(Coordinator(log, time_ns=lambda: now_ns))) as server:
        server.ask("event=coin&actor=A")
        assert get(server, "/readyz") == (200, "ready\n")
        now_ns += 6 * 10**9
        status, body = get(server, "/readyz")
        assert status == 503
        assert "problem:busy" in body
        assert "[-]log failed: the log is behind by 6 s\n" in get(server, "/readyz", "verbose")[1]
        log.flush()
        assert get(server, "/readyz", "verbose")[0] == 200


def test_a_journal_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    server, journal = on_journal(tmp_path)
    assert "[+]journal ok\n" in get(server, "/readyz", "verbose")[1]
    journal._file._database.execute("PRAGMA query_only = on")  # a disk that SQLite cannot write
    (refused,) = server.ask("event=coin&actor=A")
    server.until_answered(refused)
    assert refused.statuses == [503]
    status, text = get(server, "/readyz", "verbose")
    assert status == 503
    assert "[-]journal failed: the journal cannot be written" in text
    assert "problem:journal" in get(server, "/readyz")[1]
    assert values_of(server)["syncnet_journal_failing"] == 1
    journal._file._database.execute("PRAGMA query_only = off")
    server.ask("event=coin&actor=A")
    server.until(lambda: server.coordinator.machine.pending_total)
    assert get(server, "/readyz")[0] == 200
    assert values_of(server)["syncnet_journal_failing"] == 0
    server.close()
