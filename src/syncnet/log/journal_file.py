"""The file of a journal: an SQLite database, its tables, and how it is opened, read and written. Knows no threads.

| table    | holds                                                                                              |
| -------- | -------------------------------------------------------------------------------------------------- |
| command  | every command after the last snapshot, by position (1, 2, 3 …)                                     |
| snapshot | the state after the command of one position, but for outcomes and trace; the first row is its head |
| ended    | outcomes that are told again and syncs of the trace, by the position of the command that made them |

One server at a time: SQLite's own lock is held for as long as the file is open. Every write is one transaction that is
on disk when `write` returns (write-ahead log, `synchronous=FULL`); a half-written one is not there when it is opened
again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from syncnet.core.commands import Command
from syncnet.core.effects import Effect, Remembered, Synced
from syncnet.core.outcomes import is_kept, is_named
from syncnet.core.snapshot import Snapshot
from syncnet.errors import JournalError
from syncnet.log.records import (
    SavedSnapshot,
    command_from_record,
    outcomes_from_record,
    record_of_command,
    record_of_outcomes,
    records_of_snapshot,
    snapshot_from_records,
)

__all__ = ["FILE_NAME", "Ended", "JournalFile", "ended_by"]

FILE_NAME: Final = "journal.sqlite"
_VERSION: Final = 1
_APPLICATION_ID: Final = 0x53594E43  # "SYNC"
_SCHEMA: Final = (
    "CREATE TABLE command (position INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE snapshot (part INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE ended (position INTEGER PRIMARY KEY, record BLOB NOT NULL)",
)


class Ended(NamedTuple):
    """What the command at `position` brought to an end: a row of `ended`.

    `named` is how many of its outcomes somebody can ask for again, `syncs` how many are syncs.
    """

    position: int
    record: bytes
    named: int
    syncs: int


def ended_by(position: int, effects: Sequence[Effect]) -> Ended | None:
    """Return the row for the effects of one command; None where it needs none."""
    record = record_of_outcomes(effects)
    return None if record is None else _ended(position, record, effects)


def _ended(position: int, record: bytes, effects: Iterable[Effect]) -> Ended:
    outcomes = [effect for effect in effects if is_kept(effect)]
    return Ended(position, record, sum(map(is_named, outcomes)), sum(isinstance(each, Synced) for each in outcomes))


class JournalFile:
    """The file in one folder, open and locked; `position` is that of the last command in it.

    :raises JournalError: it cannot be written, is used by another server, or is not one that this version can read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.position = 0
        self._ended: deque[tuple[int, int, int]] = deque()  # of each row: position, named, syncs
        self._ended_kept_from = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"cannot open the journal {self.path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise JournalError(self._opening_problem(error)) from None
        except JournalError:
            self._database.close()
            raise

    def snapshot(self) -> Snapshot | None:
        """Return the last snapshot, with its outcomes and its trace, and go to its position; None of a new file.

        :raises JournalError: the file is damaged.
        """
        with self._reading():
            records = [record for (record,) in self._database.execute("SELECT record FROM snapshot ORDER BY part")]
            if not records:
                return None
            saved = snapshot_from_records(records)
            self.position = saved.position
            return self._with_past(saved)

    def commands(self) -> Iterator[Command]:
        """Yield the commands after the position, in order, and go on to the position of each.

        :raises JournalError: the file is damaged.
        """
        with self._reading():
            rows = self._database.execute(
                "SELECT position, record FROM command WHERE position > ? ORDER BY position", (self.position,)
            )
            for position, record in rows:
                if position != self.position + 1:
                    raise JournalError(f"expected the command {self.position + 1}, got {position}")
                self.position = position
                yield command_from_record(record)

    def write(
        self, commands: Sequence[Command], ended: Sequence[Ended] = (), snapshot: tuple[int, Snapshot] | None = None
    ) -> None:
        """Put commands and rows of `ended` at the end, in one transaction that is on disk when this returns.

        A snapshot, with its position, takes the place of the one before and of all the commands in it.

        :raises sqlite3.Error: it is not on disk; the file is as it was.
        """
        rows = [(position, record_of_command(command)) for position, command in enumerate(commands, self.position + 1)]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO command VALUES (?, ?)", rows)
            self._database.executemany("INSERT OR REPLACE INTO ended VALUES (?, ?)", [each[:2] for each in ended])
            if snapshot is not None:
                self._write_snapshot(*snapshot)
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a failed COMMIT may have rolled back by itself
                self._database.execute("ROLLBACK")
            raise
        self.position += len(commands)
        self._ended.extend((each.position, each.named, each.syncs) for each in ended)
        if snapshot is not None:
            self._forget_before(*snapshot)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: what is in the write-ahead log is read from there
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()

    # --- inside --------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("PRAGMA locking_mode=EXCLUSIVE")
        (version,) = execute("PRAGMA user_version").fetchone()
        (application_id,) = execute("PRAGMA application_id").fetchone()
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        _check_kind(self.path, version, application_id, is_new=not tables and not version)
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA synchronous=FULL")
        execute("BEGIN EXCLUSIVE")
        if not tables:
            for statement in _SCHEMA:
                execute(statement)
            execute(f"PRAGMA application_id={_APPLICATION_ID}")
        execute(f"PRAGMA user_version={_VERSION}")  # a write, which tells now whether one is possible
        execute("COMMIT")

    def _opening_problem(self, error: sqlite3.Error) -> str:
        match error.sqlite_errorcode & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"the journal {self.path} is in use by another server; two on one journal would be two worlds"
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return f"the journal {self.path} is damaged: {error}"
            case _:
                return f"cannot write the journal {self.path}: {error}"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (JournalError, sqlite3.Error) as error:
            raise JournalError(f"the journal {self.path} is damaged: {error}") from None

    def _with_past(self, saved: SavedSnapshot) -> Snapshot:
        """Return the snapshot with the outcomes and the trace that belong to it: the latest so many of their kind."""
        outcomes: list[Remembered] = []
        rows = self._database.execute(
            "SELECT position, record FROM ended WHERE position <= ? ORDER BY position", (saved.position,)
        )
        for position, record in rows:
            of_command = outcomes_from_record(record)
            row = _ended(position, record, of_command)
            self._ended.append((row.position, row.named, row.syncs))
            outcomes += of_command
        named = [outcome for outcome in outcomes if is_named(outcome)]
        syncs = [outcome for outcome in outcomes if isinstance(outcome, Synced)]
        if len(named) < saved.outcomes_kept or len(syncs) < saved.trace_kept:
            raise JournalError("outcomes that belong to its snapshot are not there")
        return replace(
            saved.snapshot,
            outcomes=tuple(named[len(named) - saved.outcomes_kept :]),
            trace=tuple(syncs[len(syncs) - saved.trace_kept :]),
        )

    def _write_snapshot(self, position: int, snapshot: Snapshot) -> None:
        self._database.execute("DELETE FROM snapshot")
        rows = enumerate(records_of_snapshot(position, snapshot))
        self._database.executemany("INSERT INTO snapshot VALUES (?, ?)", rows)
        self._database.execute("DELETE FROM command WHERE position <= ?", (position,))
        self._database.execute("DELETE FROM ended WHERE position < ?", (self._ended_kept_from,))

    def _forget_before(self, position: int, snapshot: Snapshot) -> None:
        """Note from where on a snapshot needs rows of `ended`; those before are deleted with the next snapshot."""
        named = sum(row[1] for row in self._ended if row[0] <= position) - len(snapshot.outcomes)
        syncs = sum(row[2] for row in self._ended if row[0] <= position) - len(snapshot.trace)
        while self._ended and self._ended[0][1] <= named and self._ended[0][2] <= syncs:
            _, of_row, syncs_of_row = self._ended.popleft()
            named -= of_row
            syncs -= syncs_of_row
        self._ended_kept_from = self._ended[0][0] if self._ended else position + 1


def _check_kind(path: Path, version: int, application_id: int, *, is_new: bool) -> None:
    if is_new:
        return
    if application_id != _APPLICATION_ID:
        raise JournalError(f"{path} is a database, but no journal of syncnet")
    if version > _VERSION:
        raise JournalError(f"the journal {path} is of a newer version ({version}) than this syncnet reads ({_VERSION})")
