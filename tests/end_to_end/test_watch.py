"""`syncnet watch` and `syncnet trace`, as a user runs them."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from syncnet.cli.exit_statuses import ExitStatus
from tests.end_to_end.running import Server, curls, running, until
from tests.end_to_end.test_live_trace import alone, meet
from tests.end_to_end.test_security import make_token
from tests.test_structure import ROOT
from tests.view.test_graph_log import VENDING


class Watch:
    """A running `syncnet watch`, with its output in files."""

    def __init__(self, folder: Path, server: Server, *options: str, environment: dict[str, str] | None = None) -> None:
        self._out, self._err = folder / "watch.out", folder / "watch.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncnet", "watch", "--url", server.url, *options],
                stdout=out,
                stderr=err,
                env=os.environ | (environment or {}),
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until_out(self, text: str) -> None:
        until(lambda: self.out == text, lambda: f"it drew:\n{self.out}\nnot:\n{text}\nand said:\n{self.err}")


@contextlib.contextmanager
def watching(folder: Path, server: Server, *options: str, **how: dict[str, str]) -> Iterator[Watch]:
    watch = Watch(folder, server, *options, **how)
    try:
        yield watch
    finally:
        watch.process.kill()
        watch.process.wait()


def test_the_vending_machine_is_drawn_as_in_the_contract(tmp_path: Path, fresh_server: Server) -> None:
    """It begins with what is pending, so the first lane is drawn although the offer came before the watch."""
    with curls(f"{fresh_server.url}/event?event=coin&actor=VM"):
        fresh_server.until_pending(1)
        with watching(tmp_path, fresh_server) as watch:
            watch.until_out("┌─ VM:coin\n")
            assert fresh_server.client.get("/event?event=coin&actor=CUST").status_code == 200
            meet(fresh_server, "choc")
            watch.until_out(VENDING)
            fresh_server.until_stdout(VENDING)
            watch.process.send_signal(signal.SIGINT)
            assert watch.process.wait(timeout=30) == ExitStatus.INTERRUPTED
            assert watch.err == ""


def test_a_restarted_server_is_a_gap_and_the_picture_begins_anew(tmp_path: Path) -> None:
    with running("--log-format", "none") as server, contextlib.ExitStack() as stack:
        watch = stack.enter_context(watching(tmp_path, server))
        with curls(f"{server.url}/event?event=coin&actor=VM"):
            watch.until_out("┌─ VM:coin\n")
            server.stop()
        with running("--log-format", "none", address=f"127.0.0.1:{server.port}") as again:
            gap = "┌─ VM:coin\n… missed an unknown number of happenings\n"
            watch.until_out(gap)
            meet(again, "coin", "choc")
            watch.until_out(gap + VENDING)
            lost, connected = watch.err.splitlines()
            assert lost.endswith("; retrying")
            assert connected == "connected again"


def test_a_server_that_stays_away(tmp_path: Path) -> None:
    with running("--log-format", "none") as server, watching(tmp_path, server, "--reconnect", "0.2s") as watch:
        alone(server, "A")
        until(lambda: server.stop() == 0, lambda: "it runs")
        assert watch.process.wait(timeout=30) == ExitStatus.UNREACHABLE


def test_lines_of_json(tmp_path: Path, fresh_server: Server) -> None:
    with watching(tmp_path, fresh_server, "--output", "jsonl", "--namespace", "*") as watch:
        until(lambda: watch.out, lambda: watch.err)
        alone(fresh_server, "A", namespace="other")
        until(lambda: watch.out.count("\n") == 3, lambda: watch.out)
        objects = [json.loads(line) for line in watch.out.splitlines()]
        assert [each["happening"] for each in objects] == ["open", "pending", "synced"]
        assert objects[2]["namespace"] == "other"


@pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_unless_it_is_unwanted(
    fresh_server: Server, environment: dict[str, str], is_coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "syncnet", "watch", "--url", fresh_server.url]
    surroundings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | environment
    with subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL, env=surroundings) as process:
        os.close(theirs)
        with curls(f"{fresh_server.url}/event?event=coin&actor=VM"):
            seen = b""
            while b"VM:coin" not in seen or b"\n" not in seen:
                seen += os.read(ours, 1_000)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
        os.close(ours)
    text = seen.decode()
    assert ("\x1b[" in text) == is_coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", text) == "┌─ VM:coin\r\n"


def test_the_picture_of_the_documentation_is_that_of_today() -> None:
    script = ROOT / "scripts" / "pictures.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), "run scripts/pictures.py, and look at the picture"


@pytest.mark.parametrize("command", ["watch", "trace"])
def test_a_token_is_needed_and_used(tmp_path: Path, command: str) -> None:
    secret, entry = make_token("eye", "--role", "observe")
    (tmp_path / "tokens.yaml").write_text(entry)
    with running("--log-format", "none", "--token-file", str(tmp_path / "tokens.yaml")) as server:
        refused = run(command, "--url", server.url)
        assert refused.returncode == ExitStatus.REFUSED
        assert refused.stderr.startswith("Error: expected the header `Authorization: Bearer`")
        bad = run(command, "--url", server.url, "--token", secret, "--namespace", "a b")
        assert bad.returncode == ExitStatus.REFUSED
        assert run("trace", "--url", server.url, "--token", secret).returncode == 0


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "syncnet", *arguments], capture_output=True, text=True, timeout=60)


def test_trace_draws_the_last_syncs(fresh_server: Server) -> None:
    meet(fresh_server, "coin", "choc")
    url = ("--url", fresh_server.url)
    text = run("trace", *url).stdout.splitlines()
    assert [line.split()[0] for line in text] == ["SYNC", "1", "2"]
    assert text[0].split()[-2:] == ["VM", "CUST"]
    assert [line.endswith("●───●") for line in text[1:]] == [True, True]
    assert "Note over p0,p1: 2: choc" in run("trace", *url, "--format", "mermaid").stdout
    assert "coin" not in run("trace", *url, "--last", "1").stdout
    assert [sync["sync"] for sync in json.loads(run("trace", *url, "--format", "json").stdout)] == [1, 2]
    assert ElementTree.fromstring(run("trace", *url, "--format", "svg").stdout).tag.endswith("svg")


def test_trace_reads_all_pages(fresh_server: Server) -> None:
    alone(fresh_server, *[f"A{number}" for number in range(1_100)])
    last = json.loads(run("trace", "--url", fresh_server.url, "--format", "json", "--last", "2").stdout)
    assert [sync["sync"] for sync in last] == [1_099, 1_100]


def test_a_namespace_without_syncs(fresh_server: Server) -> None:
    ran = run("trace", "--url", fresh_server.url, "--namespace", "none")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "no syncs\n")
