"""The load on everything that speaks HTTP: wrk with `requests.lua`, a closed loop on keep-alive connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import resource
import subprocess
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.figures import Load
from benchmarks.processes import BenchmarkError

__all__ = ["asking_for_stats", "wrk_load"]

_GRACE_S: Final = 30.0
_STATS_EVERY_S: Final = 0.5
_STATS_ANSWER_S_MAX: Final = 10.0
_REQUESTS: Final = Path(__file__).with_name("requests.lua")

_runs: Final = count()


def wrk_load(
    wrk: str, port: int, connections: int, s: float, shape: str, in_event: int, run: str = "", *more: str
) -> Load:
    """Let wrk send requests of one shape for `s` seconds, rounded up: wrk counts in whole seconds.

    `in_event` requests meet in an event; with 0 all of them name the same one. `run` names the run; the default differs
    from run to run. `more` are the other arguments of the shape.
    """
    command = [wrk, "-t1", f"-c{connections}", f"-d{-int(-s // 1)}s", "-s", str(_REQUESTS), f"http://127.0.0.1:{port}"]
    command += ["--", shape, str(in_event), run or f"{next(_runs):04x}", *more]
    before_s = _children_cpu_s()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=s + _GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"expected wrk to end after {s:g} s, but it still runs: {' '.join(command)}") from None
    said = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)
    if done.returncode or said is None:
        raise BenchmarkError(f"expected figures of wrk, got {done.stdout + done.stderr!r}")
    figures = json.loads(said[0])
    passed_s = figures["passed_us"] / 1e6
    return Load(
        exchanges_per_s=figures["requests"] / passed_s,
        p50_ms=figures["p50_us"] / 1e3,
        p99_ms=figures["p99_us"] / 1e3,
        p999_ms=figures["p999_us"] / 1e3,
        generator_cores=(_children_cpu_s() - before_s) / passed_s,
        errors=figures["errors"],
    )


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def asking_for_stats(port: int) -> Iterator[None]:
    """Ask for `/stats` twice a second on a connection of its own while the block lasts.

    :raises BenchmarkError: at the end of the block, if an answer was no success.
    """
    is_over = threading.Event()
    failures: list[str] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_STATS_ANSWER_S_MAX)
        try:
            while True:
                connection.request("GET", "/stats")
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.client.OK:
                    failures.append(f"{answer.status} {answer.reason}")
                if is_over.wait(_STATS_EVERY_S):
                    return
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if failures:
        raise BenchmarkError(f"expected /stats to be answered with 200, got {failures[0]}")
