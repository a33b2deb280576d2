"""The section *http*: its shapes of requests, its ceilings, its goals, and the comparison with another commit."""

import http.client
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks.wrk
from benchmarks import __main__ as command
from benchmarks.figures import Load
from benchmarks.http_report import BEFORE, Row, Turn, Turns, chart, comparison, rows, verdicts
from benchmarks.options import Options
from benchmarks.over_http import Ceilings
from benchmarks.processes import BenchmarkError, free_port, port_said, python, running
from benchmarks.servers import environment, is_compiled, syncnet
from benchmarks.shapes import BODY, GET_SHAPES, MIXED, PAIRWISE, PLAIN, POST_SHAPES, SHAPES, TAKEN, USUAL, Shape
from benchmarks.wrk import asking_for_stats, wrk_load

LUA = Path(benchmarks.wrk.__file__).with_name("requests.lua")
FIXED_RATES = {USUAL: 800.0, TAKEN: 1_200.0, PAIRWISE: 1_000.0, BODY: 500.0}


def turns_of(rates: dict[str, float], rounds: int = 3) -> Turns:
    """Turns of all ceilings and of the given rows, each with the same rate in every round."""
    shapes = {prefix + shape.title: shape for shape in SHAPES for prefix in ("", BEFORE)}
    turns: Turns = {}
    for name, rate in (FIXED_RATES | rates).items():
        shape = shapes.get(name)
        parties = shape.parties if shape else 0 if name in FIXED_RATES else 2
        ceiling = shape.ceiling if shape else PAIRWISE
        row = Row(name, lambda *_: load(1.0), 1, parties, ceiling=ceiling, is_peer=name == "Redis")
        turns[row] = [Turn(load(rate), 1.0, FIXED_RATES[ceiling])] * rounds
    return turns


def load(rate: float) -> Load:
    return Load(rate, p50_ms=1.0, p99_ms=2.0, p999_ms=3.0, generator_cores=0.5)


def line_of(lines: list[str], begin: str) -> str:
    (line,) = [line for line in lines if line.startswith(begin)]
    return line


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.title)
def test_each_shape_is_in_the_script_of_wrk(shape: Shape) -> None:
    assert re.search(rf"^function (makers|others)\.{shape.lua}\(", LUA.read_text(), re.MULTILINE)


def test_two_connections_measure_only_what_two_requests_can_complete() -> None:
    assert not any(shape.fits(2) for shape in SHAPES if shape.parties > 2 or shape is MIXED)
    assert all(shape.fits(2) for shape in SHAPES if shape.parties == 2)
    assert all(shape.fits(64) for shape in SHAPES)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
@pytest.mark.parametrize("shape", [MIXED, *POST_SHAPES], ids=lambda shape: shape.title)
def test_requests_of_wrk_are_valid_and_meet(shape: Shape) -> None:
    with syncnet("none") as server, asking_for_stats(server.port):
        for _ in range(2):  # the second run must not get outcomes of the first
            found = wrk_load("wrk", server.port, 8, 1.0, shape.lua, shape.in_event)
            assert found.errors == 0
            assert found.exchanges_per_s > 0


def test_stats_that_are_not_answered_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="expected /stats to be answered"), asking_for_stats(free_port()):
        pass


@pytest.mark.parametrize(("how", "method"), [("pairwise", "GET"), ("body", "POST")])
def test_a_ceiling_answers_requests_two_by_two(how: str, method: str) -> None:
    with running(python("benchmarks.ceiling", how, "3", "x-a=b"), stderr=subprocess.PIPE) as process:
        port = port_said(process)
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10.0) for _ in range(2)]
        for _ in range(2):
            for connection in connections:
                connection.request(method, "/event", body=b"{}" if method == "POST" else None)
            answers = [connection.getresponse() for connection in connections]
            assert [(answer.status, answer.headers["x-a"], answer.read()) for answer in answers] == [
                (200, "b", b"xxx")
            ] * 2
        for connection in connections:
            connection.close()


def test_goals_are_higher_where_the_server_runs_compiled() -> None:
    turns = turns_of({shape.title: 600.0 for shape in GET_SHAPES} | {POST_SHAPES[0].title: 225.0})
    pure, compiled = (verdicts(turns, is_compiled=is_compiled) for is_compiled in (False, True))
    assert line_of(pure, "- plain, of the pairwise") == "- plain, of the pairwise ceiling: at least 0.45: 0.60, reached"
    assert line_of(compiled, "- plain, of the pairwise").endswith("at least 0.65: 0.60, **not reached**")
    assert line_of(pure, "- labels and a selector, of").endswith("at least 0.35: 0.60, reached")
    assert line_of(compiled, "- labels and a selector, of").endswith("at least 0.50: 0.60, reached")
    assert line_of(pure, "- POST of JSON, of the ceiling for POST").endswith("at least 0.40: 0.45, reached")
    assert line_of(compiled, "- POST of JSON, of").endswith("at least 0.50: 0.45, **not reached**")


def test_the_slowest_shape_and_the_mixed_requests_have_goals() -> None:
    slow = GET_SHAPES[6]
    lines = verdicts(turns_of({PLAIN.title: 1_000.0, slow.title: 500.0, MIXED.title: 580.0}), is_compiled=False)
    begin = f"- slowest GET shape ({slow.title}) of the fastest (plain)"
    assert line_of(lines, begin) == f"{begin}: at least 0.55: 0.50, **not reached**"
    assert line_of(lines, "- mixed") == "- mixed, of plain: at least 0.55: 0.58, reached"


def test_peers_are_compared_by_meetings() -> None:
    lines = verdicts(turns_of({PLAIN.title: 1_000.0, "Redis": 500.0}), is_compiled=False)
    assert (
        line_of(lines, "- plain against Redis")
        == "- plain against Redis: 2.00 times its meetings/s, 1.00 times its median latency"
    )


def test_a_row_shows_its_share_of_its_own_ceiling_and_its_meetings() -> None:
    post = POST_SHAPES[0].title
    lines = rows(turns_of({PLAIN.title: 700.0, post: 300.0}))
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:5]] for line in lines}
    assert cells[PLAIN.title] == ["700", "0.70 (0.70 to 0.70)", "350"]
    assert cells[post] == ["300", "0.60 (0.60 to 0.60)", "150"]
    assert cells[PAIRWISE] == ["1,000", "1.00 (1.00 to 1.00)", ""]


def test_the_other_commit_is_compared_row_by_row() -> None:
    lines = comparison(turns_of({PLAIN.title: 900.0, BEFORE + PLAIN.title: 600.0}))
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].split("|")[1:6]]
    assert cells == ["plain", "600", "900", "1.50 (1.50 to 1.50)", "0.67 (0.67 to 0.67)"]


def test_a_ceiling_is_measured_again_after_a_few_turns() -> None:
    ceiling_rates = iter((1_000.0, 400.0))
    ceiling = Row(PAIRWISE, lambda *_: load(next(ceiling_rates)), os.getpid(), 0)
    row = Row("row", lambda *_: load(200.0), os.getpid(), 2)
    ceilings = Ceilings([ceiling, row], 64)
    assert ceilings.turn(ceiling, 1.0).of_ceiling == 1.0
    assert [ceilings.turn(row, 1.0).of_ceiling for _ in range(7)] == [0.2] * 5 + [0.5] * 2


def test_the_picture_draws_what_was_measured_more_than_once() -> None:
    svg = chart({2: turns_of({PLAIN.title: 1.0}), 64: turns_of({PLAIN.title: 1.0, MIXED.title: 1.0})}).svg()
    assert "plain" in svg
    assert "mixed" not in svg


def test_python_says_whether_the_server_is_compiled(tmp_path: Path) -> None:
    core = tmp_path / "src" / "syncnet" / "core"
    core.mkdir(parents=True)
    for package in (core.parent, core):
        (package / "__init__.py").touch()
    (core / "machine.py").touch()
    assert not is_compiled(tmp_path)
    (core / "machine.py").write_text('__file__ = "machine.cpython.so"\n')
    assert is_compiled(tmp_path)


def test_a_folder_without_the_source_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="expected a checkout with src/syncnet in it"):
        environment(tmp_path)


def test_options_are_read_and_only_a_whole_run_is_written() -> None:
    given = command._arguments(["http", "--before", "x", "--rounds", "2", "--connections", "64", "--row", "id"])
    assert given.sections == ["http"]
    assert (given.before, given.rounds, given.connections, given.row) == (Path("x"), 2, [64], ["id"])
    assert Options().is_whole
    assert not any(each.is_whole for each in (Options(before=Path("x")), Options(rounds=1), Options(rows=("id",))))


def test_pairs_of_another_checkout_are_timed_on_request() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.in_process"],
        input="0 10\n8 10\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert [float(line) > 0 for line in done.stdout.splitlines()] == [True, True]
