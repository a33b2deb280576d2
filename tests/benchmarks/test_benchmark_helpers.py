"""The tools of the benchmarks: percentiles, ratios, tables, marks in the document, pictures, processes."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.chart import Chart
from benchmarks.exchanges import nats_request
from benchmarks.figures import Load, ratios, spread, table, write_section
from benchmarks.peers import NotHereError, wrk
from benchmarks.processes import BenchmarkError, cpu_s, kilobytes, port_said, running

SVG = "{http://www.w3.org/2000/svg}"


def test_percentiles_are_taken_from_sorted_latencies() -> None:
    load = Load.of([each / 1000 for each in range(999, -1, -1)], passed_s=2.0, generator_cpu_s=1.0)
    assert (load.exchanges_per_s, load.p50_ms, load.p99_ms, load.p999_ms) == (500.0, 500.0, 990.0, 999.0)
    assert load.generator_cores == 0.5
    assert Load.of([], passed_s=2.0, generator_cpu_s=1.0).exchanges_per_s == 0.0


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios([2.0, 9.0], [4.0, 3.0]) == [0.5, 3.0]
    assert spread([0.5, 3.0, 1.0]) == "1.00 (0.50 to 3.00)"


def test_a_section_is_written_only_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    begin, end = "<!-- http: begin; written by `make bench` -->", "<!-- http: end -->"
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    assert write_section("http", "\nnew\n\n", document)
    assert document.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"
    assert not write_section("memory", "lost", document)
    assert document.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"


def test_a_table_has_a_cell_for_each_column() -> None:
    assert table(("", "b"), [("a", "1,000")]) == ["|     | b     |", "| --- | ----- |", "| a   | 1,000 |"]


def test_a_picture_draws_larger_values_higher_and_names_each_line() -> None:
    svg = Chart("T", "x", "ms", {"fast & small": [(2, 1.0), (64, 1.0)], "slow": [(64, 50.0), (2, 10.0)]}).svg()
    root = ET.fromstring(svg)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"T", "x", "ms", "2", "64", "fast & small", "slow"} <= set(texts)
    drawn = [line.attrib["points"] for line in root.iter(f"{SVG}polyline") if line.attrib["stroke-width"] == "2"]
    fast, slow = ([tuple(map(float, point.split(","))) for point in points.split()] for points in drawn)
    assert fast[0][1] == fast[1][1] > slow[0][1] > slow[1][1]
    assert fast[0][0] == slow[0][0] < slow[1][0]


def test_a_picture_without_lines_is_an_empty_frame() -> None:
    assert ET.fromstring(Chart("T", "x", "y", {}).svg()).tag == f"{SVG}svg"


def test_a_process_is_measured_and_ends_with_its_block() -> None:
    script = (
        "import sys, time; print('it serves on http://127.0.0.1:4711', file=sys.stderr, flush=True); time.sleep(60)"
    )
    with running([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        assert port_said(process) == 4711
        assert kilobytes(process.pid) > 1000
        assert cpu_s(process.pid) >= 0
    assert process.returncode == -15


def test_a_server_that_prints_no_address_is_an_error() -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit('broken')"], stderr=subprocess.PIPE) as process,
        pytest.raises(BenchmarkError, match="to print its address, got 'broken"),
    ):
        port_said(process)


def test_a_missing_peer_is_an_error_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotHereError, match="there is no wrk; on Debian: apt-get install wrk"):
        wrk()


def test_a_load_without_a_server_is_an_error() -> None:
    with pytest.raises(OSError, match="111"):
        nats_request(9, 2, 0.1)


def test_an_unknown_section_is_an_error() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "htpp"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    sections = "matching, in-process, http, memory, startup, journal, trace, abuse, cluster"
    assert f"expected sections out of: {sections}; got 'htpp'" in done.stderr
