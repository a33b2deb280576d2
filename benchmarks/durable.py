"""What a journal costs: pairs that meet with ids, with the journal and with the memory log, in one run.

Each server is a process of its own, loaded by wrk (`requests.lua`, shape `id`). Also measured is the bare rate of
commits that SQLite makes on the same disk, one row to a transaction, with the settings of the journal: the best that a
server could do that commits every offer by itself. Goals, at 64 connections: 20 offers to a commit, and 0.75 of the
rate of the memory log.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import peers
from benchmarks.figures import Load, machine, ratios, spread, table
from benchmarks.processes import BenchmarkError, port_said, python, running
from benchmarks.wrk import wrk_load

__all__ = ["report"]

_CONNECTIONS: Final = (2, 64, 256)
_QUOTED: Final = 64
_ROUNDS: Final = 5
_ROUND_S: Final = 2.0
_BARE_COMMITS: Final = 500
_PER_COMMIT_MIN: Final = 20
_SHARE_MIN: Final = 0.75
_SAID: Final = re.compile(r"the journal took ([0-9]+) commands in ([0-9]+) commits")
_DISK: Final = Path(__file__).parent.parent / ".bench"


def report() -> str:
    """Measure (about a minute and a half) and return the report as Markdown.

    :raises BenchmarkError: a server answered with errors, or did not report on its journal.
    """
    wrk = peers.wrk()
    _DISK.mkdir(exist_ok=True)
    rows: list[list[str]] = []
    bare: list[float] = []
    verdicts: list[str] = []
    for connections in _CONNECTIONS:
        memory: list[Load] = []
        journal: list[Load] = []
        per_commit: list[float] = []
        for round_ in range(_ROUNDS):
            with tempfile.TemporaryDirectory(dir=_DISK) as folder:
                bare.append(_bare_commits_per_s(Path(folder)))
                for with_journal in (True, False) if round_ % 2 else (False, True):
                    load, commands = _served(wrk, connections, folder if with_journal else "")
                    (journal if with_journal else memory).append(load)
                    if with_journal:
                        per_commit.append(commands)
        share = ratios([load.exchanges_per_s for load in journal], [load.exchanges_per_s for load in memory])
        rows.append([str(connections), "memory", *_figures(memory), "", ""])
        rows.append([str(connections), "journal", *_figures(journal), spread(share), spread(per_commit, ".0f")])
        if connections == _QUOTED:
            verdicts = [
                _verdict("offers to a commit, at least 20", statistics.median(per_commit), _PER_COMMIT_MIN, ".0f"),
                _verdict("of the memory log's rate, at least 0.75", statistics.median(share), _SHARE_MIN, ".2f"),
            ]
    head = ["connections", "log", "offers/s", "p50 ms", "p99 ms", "of the memory log", "commands to a commit"]
    lines = ["## Journal", "", machine("syncnet-server", "granian", "uvloop"), ""]
    lines += [f"{_ROUNDS} rounds of {_ROUND_S:g} s for each row; SQLite {sqlite3.sqlite_version}.", ""]
    lines += [*table(head, rows), ""]
    lines += [f"- bare commits of SQLite on this disk, one row each: {spread(bare, ',.0f')} a second", *verdicts]
    return "\n".join(lines)


def _figures(loads: list[Load]) -> list[str]:
    middle = statistics.median
    return [
        f"{middle(load.exchanges_per_s for load in loads):,.0f}",
        f"{middle(load.p50_ms for load in loads):.2f}",
        f"{middle(load.p99_ms for load in loads):.2f}",
    ]


def _verdict(text: str, value: float, goal: float, form: str) -> str:
    return f"- at {_QUOTED} connections, {text}: {value:{form}}, {'reached' if value >= goal else '**not reached**'}"


def _served(wrk: str, connections: int, folder: str = "") -> tuple[Load, float]:
    """Return what one fresh server did, and how many commands it put into one commit (0 without a journal)."""
    options = ["--log-format", "none", *(["--journal", f"{folder}/journal"] if folder else [])]
    with running(python("syncnet", "127.0.0.1:0", *options), stderr=subprocess.PIPE) as server:
        port = port_said(server)
        wrk_load(wrk, port, connections, 1.0, "id", 2)
        load = wrk_load(wrk, port, connections, _ROUND_S, "id", 2)
        if load.errors:
            raise BenchmarkError(f"expected no errors, got {load.errors}")
        if not folder:
            return load, 0.0
        server.send_signal(signal.SIGTERM)
        assert server.stderr is not None
        said = _SAID.search(server.stderr.read().decode())
        if said is None:
            raise BenchmarkError("expected the server to say what its journal took")
        return load, int(said[1]) / int(said[2])


def _bare_commits_per_s(folder: Path) -> float:
    database = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE command (position INTEGER PRIMARY KEY, record BLOB NOT NULL)")
    record = b"x" * 250  # about what an offer takes
    started_s = time.perf_counter()
    for _ in range(_BARE_COMMITS):
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO command (record) VALUES (?)", (record,))
        database.execute("COMMIT")
    passed_s = time.perf_counter() - started_s
    database.close()
    return _BARE_COMMITS / passed_s
