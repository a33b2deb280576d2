"""Commits that are missing from a journal are noticed (G9): the files are damaged as people and disks damage them."""

import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from syncnet.log.journal_file import FILE_NAME
from syncnet.log.last_commit import LAST_COMMIT_NAME
from syncnet.log.records import head_from_record, record_of_head
from tests.core.offers import offer
from tests.core.test_snapshot import commands
from tests.log.test_journal import Kept, folder, image, nothing_is_left_open, refusal

__all__ = ["folder", "nothing_is_left_open"]

WAL = f"{FILE_NAME}-wal"
REMEDIES = ("put back a copy of the whole folder", "move the folder away", f"delete {LAST_COMMIT_NAME}")


def files(folder: Path) -> dict[str, bytes]:
    """Return the files by name, without an empty write-ahead log, which is as good as none."""
    return {path.name: content for path in folder.iterdir() if (content := path.read_bytes())}


def killed(folder: Path, to: Path, seed: int = 5, snapshot_commands: int = 10**9, commands_total: int = 100) -> Path:
    """A journal in `to` as a killed server leaves it: with a write-ahead log."""
    kept = Kept(folder, snapshot_commands=snapshot_commands)
    for command in commands(seed)[:commands_total]:
        kept.append(command)
    image(folder, to)
    kept.close()
    assert (to / WAL).stat().st_size > 10_000
    return to


def refused(folder: Path) -> str:
    """Return what a server says that does not start; it leaves all files as they are."""
    before = files(folder)
    said = refusal(folder)
    assert files(folder) == before
    return said


def without_wal(folder: Path) -> None:
    (folder / WAL).unlink()


def with_empty_wal(folder: Path) -> None:
    (folder / WAL).write_bytes(b"")


def with_half_a_wal(folder: Path) -> None:
    wal = (folder / WAL).read_bytes()
    (folder / WAL).write_bytes(wal[: len(wal) // 2])


def without_the_last_byte(folder: Path) -> None:
    (folder / WAL).write_bytes((folder / WAL).read_bytes()[:-1])


def with_a_flipped_bit(folder: Path) -> None:
    wal = bytearray((folder / WAL).read_bytes())
    wal[len(wal) * 3 // 4] ^= 1
    (folder / WAL).write_bytes(wal)


@pytest.mark.parametrize(
    "damage", [without_wal, with_empty_wal, with_half_a_wal, without_the_last_byte, with_a_flipped_bit]
)
@pytest.mark.parametrize("snapshot_commands", [10**9, 20])
def test_g9_a_write_ahead_log_that_lost_commits_is_refused(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], snapshot_commands: int
) -> None:
    path = killed(folder, tmp_path / "killed", snapshot_commands=snapshot_commands)
    whole = files(path)
    damage(path)
    said = refused(path)
    assert "expected the commands up to 100, got those up to " in said
    assert all(text in said for text in (str(path / FILE_NAME), WAL, *REMEDIES))
    for name, content in whole.items():
        (path / name).write_bytes(content)
    assert Kept(path).snapshot().trace, "with all its files it starts"


def test_g9_a_database_that_is_missing_or_empty_is_refused(folder: Path, tmp_path: Path) -> None:
    path = killed(folder, tmp_path / "killed")
    (path / FILE_NAME).write_bytes(b"")
    assert f"{FILE_NAME} is missing or empty" in refused(path)
    (path / FILE_NAME).unlink()
    assert f"{FILE_NAME} is missing or empty" in refused(path)


@pytest.mark.parametrize("others", [50, 100, 150])
@pytest.mark.parametrize("snapshot_commands", [10**9, 20])
def test_g9_a_write_ahead_log_of_another_journal_is_refused(
    folder: Path, tmp_path: Path, others: int, snapshot_commands: int
) -> None:
    """The other one has the same pages, and commands of the same numbers."""
    path = killed(folder, tmp_path / "killed", snapshot_commands=snapshot_commands)
    other = killed(
        tmp_path / "other", tmp_path / "killed too", 6, snapshot_commands=snapshot_commands, commands_total=others
    )
    shutil.copy(other / WAL, path / WAL)
    said = refused(path)
    assert "does not have the commits that" in said or "is damaged" in said


def test_g9_a_database_older_than_its_write_ahead_log_is_refused(folder: Path, tmp_path: Path) -> None:
    path = killed(folder, tmp_path / "killed")
    older = (path / FILE_NAME).read_bytes()
    kept = Kept(folder, snapshot_commands=10**9)
    kept.append(*commands(6)[:100])
    kept.close()  # moves all commits to the database
    newer = killed(folder, tmp_path / "newer", 7)
    (newer / FILE_NAME).write_bytes(older)
    said = refused(newer)
    assert "does not have the commits" in said or "is damaged" in said
    without_wal(newer)
    assert "expected the commands up to 300, got those up to " in refused(newer)


def test_g9_commands_that_were_replaced_by_others_are_noticed(folder: Path, tmp_path: Path) -> None:
    """A copy of a journal that went on differently: the same id, and commands of the same numbers."""
    path = killed(folder, tmp_path / "killed")
    copy = image(folder, tmp_path / "copy")
    for each, actor in ((folder, "A"), (copy, "B")):
        kept = Kept(each)
        kept.append(offer(actor, mates=0))
        kept.close()
    shutil.copy(copy / FILE_NAME, folder / FILE_NAME)
    assert "its commands up to 101 are others than those that were committed" in refused(folder)
    assert Kept(path).snapshot().trace


def test_without_the_note_a_journal_starts_with_what_is_there_and_a_warning(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed(folder, tmp_path / "killed")
    with_half_a_wal(path)
    refused(path)
    (path / LAST_COMMIT_NAME).unlink()
    with caplog.at_level(logging.WARNING, "syncnet"):
        kept = Kept(path)
    assert "it is unknown whether the journal has lost commits" in caplog.text
    kept.append(offer("AFTER", id="after", mates=0, named=True))
    last = kept.snapshot()
    kept.close()
    caplog.clear()
    assert Kept(path).snapshot() == last
    assert not caplog.text


def test_a_note_that_was_half_written_is_no_note(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = killed(folder, tmp_path / "killed")
    note = path / LAST_COMMIT_NAME
    note.write_bytes(note.read_bytes()[:20])
    assert Kept(path).snapshot().trace
    assert "missing or unreadable" in caplog.text


def test_an_older_note_is_accepted_as_after_a_power_failure(folder: Path, tmp_path: Path) -> None:
    """It is not flushed, so it may be older than the last commits, and than the snapshot."""
    kept = Kept(folder, snapshot_commands=20)
    notes = []
    for command in commands(5)[:100]:
        notes.append((folder / LAST_COMMIT_NAME).read_bytes())
        kept.append(command)
    last = kept.snapshot()
    for number in (0, 10, 90, 99):
        path = image(folder, tmp_path / f"image-{number}")
        (path / LAST_COMMIT_NAME).write_bytes(notes[number])
        assert Kept(path).snapshot() == last
    kept.close()


def test_a_journal_of_version_2_without_an_id_gets_one(folder: Path, tmp_path: Path) -> None:
    """As the version before wrote it, at any moment of its first start under this one."""
    kept = Kept(folder)
    kept.append(*commands(5)[:100])
    kept.close()
    last = kept.snapshot()
    without_id(folder)
    for note in ("none", "of a start that was killed"):
        path = image(folder, tmp_path / note)
        if note == "none":
            (path / LAST_COMMIT_NAME).unlink()
        kept = Kept(path)
        assert kept.snapshot() == last
        kept.append(*commands(6)[:20])
        last_too = kept.snapshot()
        kept.close()
        assert Kept(path).snapshot() == last_too


def without_id(folder: Path) -> None:
    """Write the head of the snapshot as the version before did."""
    database = sqlite3.connect(folder / FILE_NAME)
    (record,) = database.execute("SELECT record FROM snapshot WHERE part = 0").fetchone()
    head = head_from_record(record)
    head.journal = head.digest = b""
    database.execute("UPDATE snapshot SET record = ? WHERE part = 0", (record_of_head(head),))
    database.commit()
    database.close()
