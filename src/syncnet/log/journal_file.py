"""The file of a journal: an SQLite database, its tables, and how it is opened, read and written. Knows no threads.

| table    | a row is                                                                   | its number            |
| -------- | -------------------------------------------------------------------------- | --------------------- |
| command  | the commands of one commit; kept are those after the last snapshot          | of its first command  |
| snapshot | pending offers at the snapshot, or who left the events; row 0 is the head    | 1, 2, 3 …             |
| outcome  | outcomes that are answered again, of the snapshot and of those before it     | of its first outcome  |
| trace    | syncs of the trace, likewise                                               | of its first sync     |

What the commands after the snapshot bring about is not written: a replay makes it again (G4). A snapshot adds the
outcomes and the syncs of the trace that are new since the one before. Its parts may be written by several transactions,
between those of commands; they count once its head is there, and until then the snapshot before it is the last. A
snapshot is taken between two commits, so a row of commands is either in it or after it.

One server at a time: SQLite's own lock is held for as long as the file is open. Every write is one transaction that is
on disk when `write` returns (write-ahead log, `synchronous=FULL`); a half-written one is not there when it is opened
again.

A write-ahead log that is missing, cut off or of another journal is noticed: the commands must go on at least to the
last one that was noted in another file, and be the same (`last_commit.py`). Nothing is written before that is known.

A file of version 1 is read as it is (`records_v1.py`). The first snapshot that is written turns it into one of today.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

from syncnet.core.commands import Command
from syncnet.core.departures import EventDepartures
from syncnet.core.effects import Remembered
from syncnet.core.snapshot import NamespaceSnapshot, Snapshot
from syncnet.core.trace import TracedSync
from syncnet.errors import JournalError
from syncnet.log import records_v1
from syncnet.log.last_commit import NO_RECORDS, REMEDY, Commit, LastCommitFile, MisfitError, chained
from syncnet.log.records import (
    Head,
    commands_from_record,
    departures_from_record,
    head_from_record,
    is_of_departures,
    limits_as_dict,
    limits_from_dict,
    namespaces_from_record,
    outcomes_from_record,
    record_of_head,
    records_of_commands,
    records_of_departures,
    records_of_namespaces,
    records_of_outcomes,
    records_of_trace,
    trace_from_record,
)

__all__ = ["FILE_NAME", "JournalFile", "Saving"]

FILE_NAME: Final = "journal.sqlite"
_VERSION: Final = 2
_APPLICATION_ID: Final = 0x53594E43  # "SYNC"
_PAST_SCHEMA: Final = (
    "CREATE TABLE outcome (number INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE trace (number INTEGER PRIMARY KEY, record BLOB NOT NULL)",
)
_SCHEMA: Final = (
    "CREATE TABLE command (position INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    "CREATE TABLE snapshot (part INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    *_PAST_SCHEMA,
)
_FROM_VERSION_1: Final = (
    "DELETE FROM command",
    "DELETE FROM snapshot",
    "DROP TABLE ended",
    *_PAST_SCHEMA,
    f"PRAGMA user_version={_VERSION}",
)
_ADD_COMMANDS: Final = "INSERT INTO command VALUES (?, ?)"
_ADD_PART: Final = "INSERT INTO snapshot VALUES (?, ?)"
_ADD_OUTCOMES: Final = "INSERT INTO outcome VALUES (?, ?)"
_ADD_TRACE: Final = "INSERT INTO trace VALUES (?, ?)"

_ID_BYTES: Final = 16

_T = TypeVar("_T")


class Saving:
    """A snapshot that is to be written, and how far that has come.

    `position` is that of the last command in it, `digest` that of the commands up to there.
    """

    def __init__(self, position: int, digest: bytes, snapshot: Snapshot) -> None:
        self.position = position
        self.snapshot = snapshot
        # Copied now, because a command that is applied while the parts are being written may change them.
        self.asked: list[list[int]] = [[offer.asked for offer in each.pending] for each in snapshot.namespaces]
        self.head: Head = Head(position, limits_as_dict(snapshot.limits), snapshot.syncs_forgotten, digest=digest)
        self.parts: Iterator[tuple[str, int, bytes]] | None = None
        """A statement, a number and a record for each row that is still to be written; None: none is written yet."""


class JournalFile:
    """The file in one folder, open and locked; `position` is that of the last command in it, `digest` that of them all.

    It is read first (`snapshot`, `commands`); then `begin_writing` is called.

    :raises JournalError: it cannot be written, is used by another server, or is not one that this version can read.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path = folder / FILE_NAME
        self.position: int = 0
        self.digest: bytes = NO_RECORDS
        self._id = b""  # of the journal; none in a file that is new or of an earlier version, until `begin_writing`
        self._version = _VERSION
        self._head = Head()
        self._last_outcome: Remembered | None = None
        self._last_sync: TracedSync | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._last_commit = LastCommitFile(self.path)
            # Before SQLite is asked, which deletes the write-ahead log of an empty database.
            self._last_commit.check_there(self.path.exists() and self.path.stat().st_size > 0)
            self._database = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"cannot open the journal {self.path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.Error as error:
            if _is_used(error):  # by another server, whose file must not be touched
                self._database.close()
            else:
                self.leave()
            raise JournalError(self._opening_problem(error)) from None
        except JournalError:
            self.leave()
            raise

    @property
    def is_old(self) -> bool:
        """Whether it is of an older version, or has no id; it takes no commands until a snapshot was written then."""
        return self._version < _VERSION or not self._head.journal

    def snapshot(self) -> Snapshot | None:
        """Return the last snapshot, and go to its position; None where there is none.

        The objects in it are to be kept: the next snapshot writes the outcomes and syncs after them only.

        :raises JournalError: the file is damaged.
        """
        with self._reading():
            if self._version < _VERSION:
                return self._snapshot_v1()
            rows = self._database.execute("SELECT record FROM snapshot WHERE part = 0").fetchall()
            if not rows:
                return None
            head = head_from_record(rows[0][0])
            namespaces, departures = self._parts_of(head)
            outcomes = self._past("outcome", outcomes_from_record, head.outcomes_last, head.outcomes_kept)
            trace = self._past("trace", trace_from_record, head.trace_last, head.trace_kept)
            limits = limits_from_dict(head.limits)
            past = tuple(outcomes), tuple(trace), departures
            snapshot = Snapshot(limits, head.syncs_forgotten, namespaces, *past)
            self.position, self.digest, self._id = head.position, head.digest or NO_RECORDS, head.journal
            self._note_saved(head, snapshot)
            return snapshot

    def commands(self) -> Iterator[Command]:
        """Yield the commands after the position, in order, and go on to the position of each.

        :raises JournalError: the file is damaged, or commands that were committed are not there.
        """
        with self._reading():
            self._last_commit.compare(self._commit())
            is_v1 = self._version < _VERSION
            rows = self._database.execute(
                "SELECT position, record FROM command WHERE position > ? ORDER BY position", (self.position,)
            )
            for position, record in rows:
                if position != self.position + 1:
                    raise JournalError(f"expected the command {self.position + 1}, got {position}")
                commands = [records_v1.command_from_record(record)] if is_v1 else commands_from_record(record)
                for command in commands:
                    self.position += 1
                    yield command
                self.digest = chained(self.digest, record)
                self._last_commit.compare(self._commit())
            self._last_commit.check_complete(self._commit(), self._head.position)

    def begin_writing(self) -> None:
        """Find out whether the file can be written, and note the last commit (`last_commit.py`).

        :raises OSError: it cannot be written.
        :raises sqlite3.Error: it cannot be written.
        """
        self._id = self._id or os.urandom(_ID_BYTES)
        self._last_commit.begin_writing(self._commit())
        self._database.execute(f"PRAGMA user_version={self._version}")

    def write(self, commands: Sequence[Command], saving: Saving | None = None, parts_max: int | None = None) -> bool:
        """Put commands at the end, in one transaction that is on disk when this returns.

        With `saving` write parts of a snapshot, too, so many at most, and its head after the last one; return whether
        the snapshot is complete. It then takes the place of the one before and of all commands in it. A snapshot of
        which a write failed must not be continued.

        :raises sqlite3.Error: it is not on disk; the file is as it was.
        """
        rows = records_of_commands(self.position + 1, commands)
        if saving is None and len(rows) == 1:
            self._database.execute(_ADD_COMMANDS, rows[0])  # a transaction of its own, in one call of SQLite
            self._note_committed(rows, len(commands))
            return False
        is_complete = False
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(_ADD_COMMANDS, rows)
            if saving is not None:
                is_complete = self._write_parts(saving, parts_max)
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a failed COMMIT may have rolled back by itself
                self._database.execute("ROLLBACK")
            raise
        self._note_committed(rows, len(commands))
        if saving is not None and is_complete:
            self._version = _VERSION
            self._note_saved(saving.head, saving.snapshot)
        return is_complete

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log to the database."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: what is in the write-ahead log is read from there
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self.checkpoint()
        self._database.close()
        self._last_commit.close()

    def leave(self) -> None:
        """Close the file, which could not be read, and leave it and its write-ahead log as they are.

        SQLite would move the log to the database, to which it may not belong; but not where the database has another
        name than when it was opened. (From Python 3.12 on, `SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE` does the same.)
        """
        aside = self.path.with_name(f"{FILE_NAME}.closing")
        try:
            self.path.rename(aside)
        except OSError:  # nothing can be written here, by SQLite neither
            self._database.close()
        else:
            self._database.close()
            aside.rename(self.path)
        self._last_commit.close()

    # --- inside: opening -----------------------------------------------------------------------------------

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
        self._last_commit.check_there(tables > 0)
        if tables:
            self._version = version
        else:
            for statement in _SCHEMA:
                execute(statement)
            execute(f"PRAGMA application_id={_APPLICATION_ID}")
            execute(f"PRAGMA user_version={self._version}")
        execute("COMMIT")

    def _opening_problem(self, error: sqlite3.Error) -> str:
        if _is_used(error):
            return f"the journal {self.path} is in use by another server; a journal can have one server only"
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return f"the journal {self.path} is damaged: {error}; {REMEDY}"
        return f"cannot write the journal {self.path}: {error}"

    # --- inside: reading -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except MisfitError:
            raise
        except (JournalError, sqlite3.Error) as error:
            raise JournalError(f"the journal {self.path} is damaged: {error}; {REMEDY}") from None

    def _parts_of(self, head: Head) -> tuple[tuple[NamespaceSnapshot, ...], tuple[EventDepartures, ...]]:
        """Return what the parts of a snapshot hold."""
        namespaces: dict[str, NamespaceSnapshot] = {}
        departures: list[EventDepartures] = []
        digest = sha256()
        rows = self._database.execute(
            "SELECT record FROM snapshot WHERE part BETWEEN ? AND ? ORDER BY part", (head.parts_first, head.parts_last)
        )
        for (record,) in rows:
            _add_to_digest(digest, record)
            if is_of_departures(record):
                departures += departures_from_record(record)
                continue
            for each in namespaces_from_record(record):
                before = namespaces.get(each.namespace)
                pending = before.pending + each.pending if before else each.pending
                namespaces[each.namespace] = NamespaceSnapshot(
                    each.namespace, each.arrivals, each.syncs, each.exhausted, pending
                )
        if digest.digest() != head.sha256:
            raise JournalError("its snapshot does not have the digest that it should have")
        return tuple(namespaces.values()), tuple(departures)

    def _past(self, table: str, decode: Callable[[bytes], list[_T]], last: int, kept: int) -> list[_T]:
        """Return the latest so many items of `outcome` or `trace`, of which the number of the last is given."""
        select = f"SELECT number, record FROM {table} WHERE number <= ? ORDER BY number"  # noqa: S608 - a constant
        rows = self._database.execute(select, (last,)).fetchall()
        found: list[_T] = []
        first = rows[0][0] if rows else last + 1
        for number, record in rows:
            if number == first + len(found):
                found += decode(record)
        if first + len(found) != last + 1 or len(found) < kept:
            raise JournalError("outcomes that belong to its snapshot are not there")
        return found[len(found) - kept :]

    def _snapshot_v1(self) -> Snapshot | None:
        records = [record for (record,) in self._database.execute("SELECT record FROM snapshot ORDER BY part")]
        if not records:
            return None
        saved = records_v1.snapshot_from_records(records)
        self.position = saved.position
        ended: list[Remembered] = []
        rows = self._database.execute(
            "SELECT record FROM ended WHERE position <= ? ORDER BY position", (saved.position,)
        )
        for (record,) in rows:
            ended += records_v1.outcomes_from_record(record)
        return records_v1.with_past(saved, ended)

    # --- inside: writing -----------------------------------------------------------------------------------

    def _commit(self) -> Commit:
        return Commit(self._id, self.position, self.digest)

    def _note_committed(self, rows: Sequence[tuple[int, bytes]], commands_total: int) -> None:
        """Note a commit as the last one."""
        for _, record in rows:
            self.digest = chained(self.digest, record)
        self.position += commands_total
        self._last_commit.write(self._commit())

    # --- inside: writing a snapshot ------------------------------------------------------------------------

    def _write_parts(self, saving: Saving, parts_max: int | None) -> bool:
        """Write parts of a snapshot; return whether it is complete."""
        if saving.parts is None:
            self._begin_snapshot()
            saving.parts = self._parts(saving)
        for written, (statement, number, record) in enumerate(saving.parts, 1):
            self._database.execute(statement, (number, record))
            if written == parts_max:
                return False
        self._finish_snapshot(saving.head)
        return True

    def _begin_snapshot(self) -> None:
        """Make the tables ready: with those of today, and without the parts of a snapshot that was not completed."""
        execute, head = self._database.execute, self._head
        if self._version < _VERSION:
            for statement in _FROM_VERSION_1:
                execute(statement)
            return
        execute("DELETE FROM snapshot WHERE part > ?", (head.parts_last,))
        execute("DELETE FROM outcome WHERE number > ?", (head.outcomes_last,))
        execute("DELETE FROM trace WHERE number > ?", (head.trace_last,))

    def _parts(self, saving: Saving) -> Iterator[tuple[str, int, bytes]]:
        """Yield the rows of a snapshot, and fill in its head."""
        head, before, snapshot = saving.head, self._head, saving.snapshot
        head.parts_first, head.parts_last = before.parts_last + 1, before.parts_last
        digest = sha256()
        pending = records_of_namespaces(zip(snapshot.namespaces, saving.asked, strict=True))
        for record in chain(pending, records_of_departures(snapshot.departures)):
            head.parts_last += 1
            _add_to_digest(digest, record)
            yield _ADD_PART, head.parts_last, record
        head.sha256, head.journal = digest.digest(), self._id
        outcomes = _after(self._last_outcome, snapshot.outcomes)
        head.outcomes_last, head.outcomes_kept = before.outcomes_last + len(outcomes), len(snapshot.outcomes)
        for first, record in records_of_outcomes(before.outcomes_last + 1, outcomes):
            yield _ADD_OUTCOMES, first, record
        trace = _after(self._last_sync, snapshot.trace)
        head.trace_last, head.trace_kept = before.trace_last + len(trace), len(snapshot.trace)
        for first, record in records_of_trace(before.trace_last + 1, trace):
            yield _ADD_TRACE, first, record

    def _finish_snapshot(self, head: Head) -> None:
        """Write the head, and delete what it makes needless."""
        execute = self._database.execute
        execute("INSERT OR REPLACE INTO snapshot VALUES (0, ?)", (record_of_head(head),))
        execute("DELETE FROM snapshot WHERE part BETWEEN 1 AND ?", (head.parts_first - 1,))
        execute("DELETE FROM command WHERE position <= ?", (head.position,))
        for table, last, kept in (
            ("outcome", head.outcomes_last, head.outcomes_kept),
            ("trace", head.trace_last, head.trace_kept),
        ):
            holds_first = f"SELECT max(number) FROM {table} WHERE number <= ?"  # noqa: S608 - a constant
            execute(f"DELETE FROM {table} WHERE number < ({holds_first})", (last - kept + 1,))  # noqa: S608

    def _note_saved(self, head: Head, snapshot: Snapshot) -> None:
        """Note what the file holds, so that the next snapshot adds only what is new."""
        self._head = head
        self._last_outcome = snapshot.outcomes[-1] if snapshot.outcomes else None
        self._last_sync = snapshot.trace[-1] if snapshot.trace else None


def _after(last: _T | None, items: Sequence[_T]) -> Sequence[_T]:
    """Return the items after `last`, the very object; all where it is not among them any more."""
    for number in range(len(items) - 1, -1, -1):
        if items[number] is last:
            return items[number + 1 :]
    return items


def _is_used(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _add_to_digest(digest: Any, record: bytes) -> None:
    digest.update(len(record).to_bytes(8, "big"))
    digest.update(record)


def _check_kind(path: Path, version: int, application_id: int, *, is_new: bool) -> None:
    if is_new:
        return
    if application_id != _APPLICATION_ID:
        raise JournalError(f"{path} is a database, but no journal of syncnet")
    if version > _VERSION:
        raise JournalError(f"the journal {path} is of a newer version ({version}) than this syncnet reads ({_VERSION})")
