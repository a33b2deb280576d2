"""The small file next to a journal that says how far its commits went, so that a commit that is missing is noticed.

SQLite ignores a write-ahead log that is missing or cut off, as if its commits had never been made. So the position of
the last commit is noted here as well, after the commit is on disk and before any client learns of it, with a digest of
the commands up to there (`chained`). A journal with fewer commands, or with others, has lost what clients know.

The note is written in place and not flushed: that costs some microseconds a commit. A killed process leaves it exact.
After a power failure it may be some seconds old. Then it says that fewer commits were made than there were, never more,
because a commit is on disk before it is noted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from syncnet.errors import JournalError

__all__ = ["LAST_COMMIT_NAME", "NO_RECORDS", "REMEDY", "Commit", "LastCommitFile", "MisfitError", "chained"]

LAST_COMMIT_NAME: Final = "journal.last-commit"
REMEDY: Final = "put back a copy of the whole folder, or move the folder away to begin a new journal"

_FIELDS: Final = Struct("<8s16sQ16s")
_CHECKSUM: Final = Struct("<I")
_MAGIC: Final = b"syncnet1"
_DIGEST_BYTES: Final = 16

NO_RECORDS: Final = bytes(_DIGEST_BYTES)
"""The digest of no records."""

_log = logging.getLogger("syncnet")


class MisfitError(JournalError):
    """The files of a journal do not belong together, or some of them are missing."""


class Commit(NamedTuple):
    """A commit: the id of its journal (empty in one of an earlier version), and the position and the digest there."""

    journal: bytes
    position: int
    digest: bytes


def chained(digest: bytes, record: bytes) -> bytes:
    """Return the digest of all records up to `record`; `digest` is that of those before it."""
    return blake2b(digest + record, digest_size=_DIGEST_BYTES).digest()


class LastCommitFile:
    """The note of the last commit of the journal at `path`.

    First the journal is compared with it: `check_there` before it is opened, `compare` at each commit that it holds,
    `check_complete` after the last one. Then `begin_writing` is called once, and `write` after each commit.

    :raises OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._journal_path = path
        self._path = path.with_name(LAST_COMMIT_NAME)
        self._noted = _read(self._path)
        self._is_found = False
        self._is_failing = False
        self._fd = -1

    def check_there(self, is_there: bool) -> None:
        """Check that there is a journal at all, if commits were noted.

        :raises MisfitError: there is none.
        """
        if not is_there and self._noted is not None and self._noted.position:
            raise self._misfit(f"{self._journal_path.name} is missing or empty")

    def compare(self, commit: Commit) -> None:
        """Compare a commit of the journal with the noted one, if it is that one; begin with the snapshot.

        :raises MisfitError: they differ.
        """
        noted = self._noted
        if noted is None or not commit.journal:
            return
        if noted.journal != commit.journal:
            raise self._misfit("it is another journal")
        if noted.position == commit.position:
            if noted.digest != commit.digest:
                raise self._misfit(f"its commands up to {commit.position} are others than those that were committed")
            self._is_found = True

    def check_complete(self, last: Commit, snapshot_position: int) -> None:
        """Check that the journal goes as far as it did, after it was read from its snapshot up to the commit `last`.

        :raises MisfitError: it does not.
        """
        noted = self._noted
        if noted is None:
            if last.journal:
                wanted = f"{self._path} is missing or unreadable"
                _log.warning("%s; it is unknown whether the journal has lost commits", wanted)
        elif last.position < noted.position:
            raise self._misfit(f"expected the commands up to {noted.position}, got those up to {last.position}")
        elif last.journal and noted.position >= snapshot_position and not self._is_found:
            raise self._misfit(f"expected a commit that ends with the command {noted.position}, got none")

    def begin_writing(self, commit: Commit) -> None:
        """Make the file if it is not there, and note the last commit on disk.

        :raises OSError: it cannot be written.
        """
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._write(commit)
        os.fsync(self._fd)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def write(self, commit: Commit) -> None:
        """Note the last commit. A note that fails is reported: the commit stands, only its loss would go unnoticed."""
        try:
            self._write(commit)
        except OSError as error:
            if not self._is_failing:
                _log.error("%s cannot be written: %s; a loss of commits would not be noticed", self._path, error)
            self._is_failing = True
        else:
            self._is_failing = False

    def close(self) -> None:
        """Flush and close the file."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _write(self, commit: Commit) -> None:
        fields = _FIELDS.pack(_MAGIC, *commit)
        os.pwrite(self._fd, fields + _CHECKSUM.pack(crc32(fields)), 0)

    def _misfit(self, found: str) -> MisfitError:
        name = self._journal_path.name
        return MisfitError(
            f"the journal {self._journal_path} does not have the commits that {LAST_COMMIT_NAME} says it has, and that "
            f"clients may know of: {found}. {name}-wal, which has the latest commits, is missing, cut off or of "
            f"another journal, or {name} is older than it. Nothing was changed. To recover, {REMEDY}; "
            f"to go on with what is there, delete {LAST_COMMIT_NAME}"
        )


def _read(path: Path) -> Commit | None:
    """Return what the file says; None where it does not exist, or holds nothing that can be read."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    fields, checksum = data[: _FIELDS.size], data[_FIELDS.size :]
    if len(fields) < _FIELDS.size or checksum != _CHECKSUM.pack(crc32(fields)):
        return None
    magic, journal, position, digest = _FIELDS.unpack(fields)
    return Commit(journal, position, digest) if magic == _MAGIC else None
