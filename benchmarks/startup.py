"""How long it takes from the command to the first answer of a server, and which imports take how much of that time.

Every round starts each command once; the medians are printed. The first answer is the one to `GET /healthz`, on a
connection that is made as soon as the server has printed its address.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.figures import machine, table
from benchmarks.processes import BenchmarkError, port_said, python, running

__all__ = ["report"]

_ROUNDS: Final = 11
_IMPORTS_SHOWN: Final = 12
_FIRST_ANSWER_S_MAX: Final = 0.5
_ENVIRONMENT: Final = {"PYTHONDONTWRITEBYTECODE": ""}  # as users have it: bytecode is cached


def report() -> str:
    """Measure (some seconds) and return the report in Markdown.

    :raises BenchmarkError: a command failed, or the server did not start.
    """
    about = machine("syncnet-server", "granian")
    measures: dict[str, Callable[[], float]] = {
        "`python -c pass`": lambda: _command_s([sys.executable, "-c", "pass"]),
        "`syncnet --version`, to its end": lambda: _command_s(python("syncnet", "--version")),
        "`syncnet 127.0.0.1:0`, to the first answer": _first_answer_s,
    }
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(_ROUNDS):
        for name, measure in measures.items():
            found[name].append(1e3 * measure())
    rows = [(name, f"{median(ms):.0f}", f"{min(ms):.0f} to {max(ms):.0f}") for name, ms in found.items()]
    first_s = median(found["`syncnet 127.0.0.1:0`, to the first answer"]) / 1e3
    reached = "reached" if first_s < _FIRST_ANSWER_S_MAX else "**not reached**"
    lines = ["## Start-up", "", about, f"Medians of {_ROUNDS} rounds.", ""]
    lines += table(("ms from the command", "median", "lowest to highest"), rows)
    lines += ["", f"- first answer within {_FIRST_ANSWER_S_MAX:g} s: {first_s:.2f} s, {reached}", ""]
    imports = _imports()
    lines.append(f"The imports that take longest by themselves, of the {len(imports)} that `syncnet` makes:")
    shown = sorted(imports, reverse=True)[:_IMPORTS_SHOWN]
    lines += ["", *table(("import", "ms itself", "ms with what it imports"), map(_import_cells, shown)), ""]
    return "\n".join(lines)


def _command_s(command: list[str]) -> float:
    began_s = time.perf_counter()
    with running(command, env=_ENVIRONMENT) as process:
        if process.wait(30.0):
            raise BenchmarkError(f"expected {' '.join(command)} to succeed, got {process.returncode}")
        return time.perf_counter() - began_s


def _first_answer_s() -> float:
    began_s = time.perf_counter()
    command = python("syncnet", "127.0.0.1:0", "--log-format", "none")
    with running(command, stderr=subprocess.PIPE, env=_ENVIRONMENT) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port_said(process), timeout=10.0)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        passed_s = time.perf_counter() - began_s
        connection.close()
        return passed_s


def _imports() -> list[tuple[int, int, str]]:
    """Return what is imported before a server can start: own microseconds, those with its own imports, the name."""
    command = [sys.executable, "-X", "importtime", "-c", "import syncnet.cli"]
    environment = {**os.environ, **_ENVIRONMENT}
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30.0, env=environment).stderr
    found = []
    for line in said.splitlines():
        own, whole, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            found.append((int(own), int(whole), name.strip()))
    return found


def _import_cells(row: tuple[int, int, str]) -> tuple[str, str, str]:
    own_us, whole_us, name = row
    return f"`{name}`", f"{own_us / 1e3:.1f}", f"{whole_us / 1e3:.1f}"
