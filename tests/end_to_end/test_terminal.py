"""The thread that writes the log, with a slow reader or none."""

import os
import threading
from collections.abc import Iterable

import pytest

from syncnet.cli import terminal
from syncnet.cli.terminal import TerminalLog
from syncnet.core.effects import Effect, Pending
from syncnet.core.machine import Machine
from syncnet.view.graph_log import GraphLog
from tests.core.offers import offer
from tests.end_to_end.running import until


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
