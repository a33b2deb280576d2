"""The thread that writes the log, with a slow reader or none."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from syncnet.cli import terminal
from syncnet.cli.terminal import TerminalLog
from syncnet.core.effects import Effect, Pending
from syncnet.core.machine import Machine
from syncnet.view.graph_log import GraphLog
from tests.core.offers import offer
from tests.end_to_end.running import READY, until


def test_lines_that_a_slow_reader_missed_are_counted_and_the_graph_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_QUEUED_EFFECTS_MAX", 10)
    reading, writing = os.pipe()
    gate = threading.Event()
    started = threading.Event()

    def make_lines() -> terminal.LinesOf:
        graph = GraphLog()

        def lines(effect: Effect) -> Iterable[str]:
            started.set()
            gate.wait()
            return graph.lines(effect)

        return lines

    machine, log = Machine(), TerminalLog(make_lines, writing)
    for effect in machine.apply(offer("FIRST", "x")):
        log(effect)
    started.wait()  # the thread processes the first effect, and writes nothing
    for number in range(20):
        for effect in machine.apply(offer(f"A{number}", f"e{number}")):
            log(effect)
    gate.set()
    until(lambda: len(log._queue) == 0, lambda: "the queue is not emptied")
    for effect in (*machine.apply(offer("LATE", "e19")), *machine.apply(offer("AFTER", "new"))):
        log(effect)
    log.close()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    assert log.left_out_total == 10
    assert "┌─ FIRST:x" in lines
    (marker,) = [number for number, line in enumerate(lines) if "10 events left out" in line]
    after = lines[marker + 1 :]
    assert after[-1].endswith(" AFTER:new")
    assert not any("FIRST" in line for line in after)


def test_without_a_reader_no_effects_are_queued() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = TerminalLog(lambda: lambda _: ["line"], writing)
    effect = Pending(offer("A", payload=b"x" * 1_000))
    log(effect)
    log._thread.join(30)
    for _ in range(1_000):
        log(effect)
    assert len(log._queue) == 0
    log.close()
    os.close(writing)


def test_the_size_of_payloads_in_the_queue_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_QUEUED_PAYLOAD_BYTES_MAX", 10_000)
    gate = threading.Event()

    def wait(_: Effect) -> list[str]:
        gate.wait()
        return []

    log = TerminalLog(lambda: wait, 1)
    for _ in range(100):
        log(Pending(offer("A", payload=b"x" * 1_000)))
    assert len(log._queue) <= 11
    gate.set()
    log.close()


FULL = "/dev/full"
"""Every write to it fails, as on a full disk."""


def test_lines_that_a_full_disk_lost_are_counted_and_the_graph_restarts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fd = os.open(FULL, os.O_WRONLY)
    machine, log = Machine(), TerminalLog(lambda: GraphLog().lines, fd)

    def happens(actor: str, event: str) -> None:
        for effect in machine.apply(offer(actor, event, id=actor + event)):
            log(effect)

    for number in range(3):
        happens("A", f"e{number}")
    until(lambda: log._lost_lines == 3, lambda: f"{log._lost_lines} lines are lost")
    happens("B", "e3")
    until(lambda: log._lost_lines == 4, lambda: f"{log._lost_lines} lines are lost")
    with (tmp_path / "log").open("wb") as file:
        os.dup2(file.fileno(), fd)
    happens("B", "e0")
    happens("C", "new")
    log.close()
    os.close(fd)
    assert (tmp_path / "log").read_text() == (
        "… 4 lines are missing: they could not be written\n┌─ B:e0\n└  B:e0 A:e0\n\n┌─ C:new\n"
    )
    assert [record.message for record in caplog.records] == [
        "the log on standard output cannot be written ([Errno 28] No space left on device); "
        "the lines that are lost are counted",
        "the log on standard output is written again; 4 lines are missing",
    ]


def test_a_line_that_was_half_written_is_ended_before_the_next(tmp_path: Path) -> None:
    """A disk with room for ten bytes; then with room for all."""
    path = tmp_path / "log"
    program = f"""
import resource, signal, sys
from syncnet.cli.terminal import TerminalLog
from syncnet.core.effects import Pending
from tests.core.offers import offer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
file = open({str(path)!r}, "wb")
log = TerminalLog(lambda: lambda effect: [effect.offer.actor], file.fileno())
log(Pending(offer("LONGER-THAN-TEN")))
while not log._lost_lines: pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
log(Pending(offer("NEXT")))
log.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
    assert path.read_text() == "LONGER-THA\n… 1 lines are missing: they could not be written\nNEXT\n"


def test_a_server_whose_log_is_on_a_full_disk_serves_and_says_so(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with open(FULL, "wb") as out, errors.open("wb") as err:
        server = subprocess.Popen(
            [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--log-format", "json"], stdout=out, stderr=err
        )
    try:
        url = until(lambda: READY.search(errors.read_bytes()), errors.read_text)[1].decode()
        for number in range(5):
            assert httpx.get(f"{url}/event?event=e{number}&actor=A&mates=0").status_code == 200
        until(lambda: "cannot be written" in errors.read_text(), errors.read_text)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
    assert errors.read_text().count("the log on standard output cannot be written") == 1
    assert "10 lines of the log on standard output are missing at its end" in errors.read_text()
