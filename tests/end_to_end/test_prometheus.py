"""Prometheus' own tools read the metrics of a real server, and the files in `deploy` name metrics that exist."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from syncnet.server.metrics import FAMILIES
from syncnet.server.tokens import new_token
from tests.end_to_end.running import Server, curls, running, until
from tests.test_structure import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "syncnet.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
SCRAPE = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
scrape_configs:
  - job_name: syncnet
    authorization: {{credentials_file: {token}}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
rule_files: [{rules}]
"""
THRESHOLD = re.compile(" (>|==) [0-9.]+")
OF_CLUSTER = "syncnet_cluster_"
NAME = re.compile(r"\b(?:syncnet|process)_[a-z_]+\b")


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"this test needs {name}, of the package prometheus")
        pytest.skip(f"needs {name}, of the package prometheus")
    return path


def promtool(*arguments: str | Path, text: str | None = None) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def names() -> set[str]:
    """The names of all series."""
    found: set[str] = set()
    for family in FAMILIES:
        if family.kind == "histogram":
            found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            found.add(family.name)
    return found


def test_promtool_finds_nothing_wrong_with_an_empty_and_a_busy_server(tmp_path: Path) -> None:
    with running("--journal", str(tmp_path / "journal")) as server:
        promtool("check", "metrics", text=server.client.get("/metrics").text)
        with curls(f"{server.url}/event?event=coin&actor=A&mates=2", f"{server.url}/event?event=tea&actor=A&id=left"):
            server.until_pending(2)
            server.client.get("/event?event=none&actor=A&timeout=0")
            server.client.get("/event?event=solo&actor=A&mates=0")
            server.client.get("/event?event=wrong&actor=!")
            text = server.client.get("/metrics").text
            promtool("check", "metrics", text=text)
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    alone = {family.name for family in FAMILIES if not family.name.startswith(OF_CLUSTER)}
    assert shown == alone, "the busy server with a journal has every family but those of a cluster"
    assert "syncnet_offers_pending 2\n" in text
    assert 'syncnet_offers_total{end="timed-out"} 1\n' in text


def test_head_is_answered_without_a_body(server: Server) -> None:
    response = server.client.head("/metrics")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def prometheus(folder: Path, configuration: str) -> Iterator[httpx.Client]:
    (folder / "prometheus.yaml").write_text(configuration)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def queried(client: httpx.Client, query: str) -> list[tuple[dict[str, str], float]]:
    """The result of a query; empty as well while Prometheus is not up yet."""
    try:
        answer = client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    if answer.status_code == 503:
        return []
    data = answer.json()
    assert data["status"] == "success", data
    return [(each["metric"], float(each["value"][1])) for each in data["data"]["result"]]


def test_a_real_prometheus_scrapes_a_server_with_tokens(tmp_path: Path) -> None:
    secret, entry = new_token("prometheus", ["*"], ["observe", "sync"])
    (tmp_path / "token").write_text(secret)
    (tmp_path / "tokens.yaml").write_text(entry)
    headers = {"authorization": f"Bearer {secret}"}
    with running("--token-file", str(tmp_path / "tokens.yaml"), client={"headers": headers}) as server:
        server.client.get("/event?event=solo&actor=A&mates=0")
        configuration = SCRAPE.format(token=tmp_path / "token", port=server.port, rules=ALERTS)
        with prometheus(tmp_path, configuration) as client:
            until(lambda: queried(client, 'up{job="syncnet"} == 1'), lambda: (tmp_path / "prometheus.log").read_text())
            ((labels, syncs),) = queried(client, "syncnet_syncs_total")
            assert (labels["job"], syncs) == ("syncnet", 1)
            ((labels, _),) = queried(client, "syncnet_build_info")
            assert labels["compiled"] in ("true", "false")
            assert queried(client, "histogram_quantile(0.5, sum by (le) (syncnet_sync_members_bucket))")


def test_every_query_of_the_dashboard_and_of_the_alerts_finds_data(tmp_path: Path) -> None:
    """On a server that has every metric but those of a cluster, while offers sync, are refused and are pending."""
    (tmp_path / "token").write_text("none")
    with running("--journal", str(tmp_path / "journal")) as server:
        configuration = SCRAPE.format(token=tmp_path / "token", port=server.port, rules=ALERTS)
        with prometheus(tmp_path, configuration) as client, curls(f"{server.url}/event?event=pending&actor=A"):
            unanswered = [each for each in queries(f"127.0.0.1:{server.port}") if OF_CLUSTER not in each]

            def is_answered() -> bool:
                """Return whether each query has found data by now; one that has is not repeated."""
                server.client.get("/event?event=wrong&actor=!")
                with curls(f"{server.url}/event?event=coin&actor=VM"):
                    server.until_pending(2)
                    server.client.get("/event?event=coin&actor=CUST")
                unanswered[:] = [expression for expression in unanswered if not queried(client, expression)]
                return not unanswered

            until(is_answered, lambda: f"these find nothing: {unanswered}")
            until(lambda: set(rule_states(client)) == {"ok"}, lambda: rule_states(client))
            assert len(rule_states(client)) == len(alerts())


def rule_states(client: httpx.Client) -> list[str]:
    """For each rule `ok`, `unknown` before it was evaluated, or what is wrong with it."""
    groups = client.get("/api/v1/rules").json()["data"]["groups"]
    return [rule.get("lastError") or rule["health"] for group in groups for rule in group["rules"]]


# --- the files in deploy -----------------------------------------------------------------------------------


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries(instance: str) -> list[str]:
    """The queries of the dashboard, and what the alerts look at."""
    return [*expressions(instance), *[THRESHOLD.sub("", rule["expr"]) for rule in alerts()]]


def expressions(instance: str) -> list[str]:
    """The queries of the dashboard, as Grafana sends them."""
    found = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for variable, value in (("$__rate_interval", "1m"), ("$job", "syncnet"), ("$instance", re.escape(instance))):
        found = [expression.replace(variable, value.replace("\\", "\\\\")) for expression in found]
    return found


def test_promtool_finds_nothing_wrong_with_the_alerts_and_the_configuration() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", CONFIGURATION)


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS], ids=lambda file: file.name)
def test_every_metric_that_is_named_exists(file: Path) -> None:
    named = set(NAME.findall(file.read_text()))
    assert named
    assert named - names() == set()


def test_the_dashboard_shows_every_metric() -> None:
    text = DASHBOARD.read_text()
    shown = set(NAME.findall(text))
    families = {family.name for family in FAMILIES if not any(name.startswith(family.name) for name in shown)}
    assert families == {
        "syncnet_offers_pending_max_bytes",
        "syncnet_namespaces",
        "syncnet_log_undelivered",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
    }, "left out on purpose"


def test_the_dashboard_has_no_address_and_no_data_source_of_its_own() -> None:
    board = dashboard()
    assert "://" not in DASHBOARD.read_text()
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "instance"]
    for panel in board["panels"]:
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) >= 12
