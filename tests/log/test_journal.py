"""The journal: what was delivered is on disk (G9), and what can go wrong with files, caused for real."""

import os
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncnet.core.commands import Cause, Command, Offer, Withdraw
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.errors import JournalError, RetryableError
from syncnet.log.journal import Journal
from syncnet.log.journal_file import FILE_NAME
from syncnet.log.last_commit import LAST_COMMIT_NAME
from syncnet.log.records import outcomes_from_record, trace_from_record
from tests.core.offers import offer
from tests.core.test_matching_against_a_plain_scan import FIRST_SEED
from tests.core.test_snapshot import commands


class Kept:
    """A machine on a journal; what the journal hands over is done when `until` is asked."""

    open: list["Kept"] = []  # noqa: RUF012 - all of one test, closed by a fixture

    def __init__(self, folder: Path, limits: Limits = LIMITS, snapshot_commands: int = 20) -> None:
        self.machine = Machine(limits)
        self.lock = threading.RLock()
        self.is_broken = False
        self.delivered: list[Command] = []
        self.refused: list[tuple[Command, RetryableError]] = []
        self._handed: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.journal = Journal(folder, self._handed.put, limits, snapshot_commands=snapshot_commands)
        self.journal.open(self)
        self.open.append(self)

    def close(self) -> None:
        self.open.remove(self)
        self.journal.close()

    def restore(self, snapshot: Snapshot) -> None:
        self.machine.restore(snapshot)

    def change_limits(self, limits: Limits) -> None:
        self.machine.change_limits(limits)

    def snapshot(self) -> Snapshot:
        return self.machine.snapshot()

    def replay(self, command: Command) -> None:
        if self.is_broken:
            raise ZeroDivisionError
        self.machine.apply(command)

    def deliver(self, command: Command) -> None:
        self.delivered.append(command)
        self.replay(command)

    def refuse(self, command: Command, error: RetryableError) -> None:
        self.refused.append((command, error))

    def until(self, answered: int) -> None:
        """Do what is handed over until so many commands were delivered or refused."""
        while len(self.delivered) + len(self.refused) < answered:
            self._handed.get(timeout=30)()

    def append(self, *appended: Command) -> None:
        """Append commands, and wait for what becomes of them."""
        for command in appended:
            self.journal.append(command)
        self.until(len(self.delivered) + len(self.refused) + len(appended))

    def crash(self) -> None:
        """Leave the file as a killed process would, and close it."""
        self.journal._file._database.close()
        self.close()


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    yield
    for kept in Kept.open[:]:
        kept.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def image(folder: Path, to: Path) -> Path:
    """Copy the files as they are now, as a crash of the machine would leave them."""
    shutil.copytree(folder, to)
    return to


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + 10))
def test_g9_what_was_delivered_is_there_after_a_crash_at_any_moment(folder: Path, tmp_path: Path, seed: int) -> None:
    """Random states, a snapshot every few commands, and an image of the files after random ones."""
    chance = random.Random(seed)
    limits = Limits(outcomes_max=chance.choice([5, 1_000]), trace_syncs_max=chance.choice([3, 1_000]))
    kept = Kept(folder, limits, chance.choice([1, 7, 50]))
    images: list[tuple[Path, Snapshot]] = []
    work = commands(seed)
    while work:
        some, work = work[: chance.randint(1, 20)], work[20:]
        kept.append(*some)
        if chance.random() < 0.3:
            images.append((image(folder, tmp_path / f"image-{len(images)}"), kept.snapshot()))
    kept.close()
    images.append((folder, kept.snapshot()))
    for path, snapshot in images:
        again = Kept(path, limits)
        assert again.snapshot() == snapshot, (seed, path)
        again.append(*commands(seed + 1)[:20])
        once_more = again.snapshot()
        again.close()
        assert Kept(path, limits).snapshot() == once_more, (seed, path)


def test_g9_a_tail_that_was_half_written_is_not_there_and_all_before_it_is(folder: Path, tmp_path: Path) -> None:
    """A commit whose write was cut off was not noted. If it was, it was on disk, and clients may know of it."""
    kept = Kept(folder, snapshot_commands=10**9)
    note = folder / LAST_COMMIT_NAME
    states, notes = [kept.snapshot()], [note.read_bytes()]
    for command in commands(7)[:40]:
        kept.append(command)
        states.append(kept.snapshot())
        notes.append(note.read_bytes())
    wal = folder / f"{FILE_NAME}-wal"
    whole = wal.read_bytes()
    assert len(whole) > 10_000
    chance = random.Random(7)
    seen = set()
    for number in range(30):
        cut = whole[: chance.randrange(len(whole))] + chance.randbytes(chance.choice([0, 100, 5_000]))
        path = image(folder, tmp_path / f"cut-{number}")
        (path / wal.name).write_bytes(cut)
        (path / note.name).write_bytes(notes[0])
        survivor = Kept(path)
        held = survivor.journal._file.position
        assert survivor.snapshot() == states[held]
        seen.add(held)
        for noted in (held, held + 1):
            path = image(folder, tmp_path / f"cut-{number}-{noted}")
            (path / wal.name).write_bytes(cut)
            (path / note.name).write_bytes(notes[noted])
            if noted == held:
                assert Kept(path).snapshot() == states[held]
            else:
                assert f"expected the commands up to {noted}, got those up to {held}" in refusal(path)
    assert len(seen) > 5
    kept.close()


def test_limits_that_change_hold_from_then_on_and_the_past_is_replayed_under_its_own(folder: Path) -> None:
    """G9: a smaller bound must not undo what clients have learned."""
    kept = Kept(folder, Limits(pending_offers_max=10), snapshot_commands=10**9)
    kept.append(*(offer("A", f"e{number}", id=str(number)) for number in range(10)))
    kept.crash()
    kept = Kept(folder, Limits(pending_offers_max=3))
    assert kept.machine.pending_total == 10
    kept.append(offer("A", "more", id="more"), offer("B", "e0", id="b"))
    assert kept.machine.totals("default") == (9, 1, 0)
    kept.crash()
    assert Kept(folder, Limits(pending_offers_max=3)).machine.totals("default") == (9, 1, 0)


def test_the_file_stays_small(folder: Path) -> None:
    """Many syncs, a short trace, and few outcomes: what is in the file does not grow with what has happened."""
    kept = Kept(folder, Limits(outcomes_max=50, trace_syncs_max=50), snapshot_commands=100)
    sizes = []
    for wave in range(6):
        for number in range(250):
            id = f"{wave}-{number}"
            vm = offer("VM", id=f"vm-{id}", named=True, payload=b'"%s"' % (b"x" * 1_000))
            kept.append(vm, offer("CUST", id=f"cust-{id}"))
        sizes.append((folder / FILE_NAME).stat().st_size)
        database = kept.journal._file._database
        for table, decode in (("outcome", outcomes_from_record), ("trace", trace_from_record)):
            records = database.execute(f"SELECT record FROM {table}").fetchall()
            assert sum(len(decode(record)) for (record,) in records) < 50 + 3 * 100, table
        assert database.execute("SELECT count(*) FROM command").fetchone()[0] < 3 * 100
    assert sizes[-1] <= 1.3 * sizes[1], sizes
    kept.close()


def test_the_file_stays_small_where_offers_end_without_a_sync(folder: Path) -> None:
    """The trace keeps one old sync; the commands of all that was withdrawn since are not kept with it."""
    kept = Kept(folder, snapshot_commands=100)
    kept.append(offer("A", id="a", mates=0))
    sizes = []
    for wave in range(6):
        for number in range(250):
            id = f"{wave}-{number}"
            one = offer("VM", id=id, payload=b'"%s"' % (b"x" * 1_000))
            kept.append(one, Withdraw(0, "default", id, Cause.DISCONNECTED))
        sizes.append((folder / FILE_NAME).stat().st_size)
    assert sizes[-1] <= 1.3 * sizes[1], sizes
    kept.close()


def test_many_commands_share_one_commit(folder: Path) -> None:
    kept = Kept(folder)
    kept.append(*(offer("A", f"e{number}", id=str(number)) for number in range(1_000)))
    assert kept.journal.commands_total == 1_000
    assert kept.journal.commits_total < 500
    kept.close()


# --- what can be wrong when it is opened -------------------------------------------------------------------


def refusal(folder: Path) -> str:
    with pytest.raises(JournalError) as caught:
        Kept(folder)
    return str(caught.value)


def filled(folder: Path) -> Snapshot:
    kept = Kept(folder)
    kept.append(*commands(5)[:100])
    kept.close()
    return kept.snapshot()


def test_a_second_server_on_the_same_folder_is_refused(folder: Path) -> None:
    kept = Kept(folder)
    kept.append(offer("A"))
    program = (
        "import sys, pathlib; from syncnet.log.journal import Journal\n"
        "from syncnet.coordinator.coordinator import Coordinator\n"
        "Coordinator(Journal(pathlib.Path(sys.argv[1]), print))"
    )
    second = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True)
    assert second.returncode == 1
    assert "is in use by another server; a journal can have one server only" in second.stderr
    kept.append(offer("B"))
    assert kept.refused == []
    kept.close()


def test_a_journal_of_a_newer_version_is_refused_and_left_as_it_was(folder: Path) -> None:
    filled(folder)
    database = sqlite3.connect(folder / FILE_NAME)
    database.execute("PRAGMA user_version=3")
    database.close()
    before = (folder / FILE_NAME).read_bytes()
    assert "is of a newer version (3) than this syncnet reads (2)" in refusal(folder)
    assert (folder / FILE_NAME).read_bytes() == before


def test_another_database_is_refused_and_left_as_it_was(folder: Path) -> None:
    folder.mkdir()
    database = sqlite3.connect(folder / FILE_NAME)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    before = (folder / FILE_NAME).read_bytes()
    assert "is a database, but no journal of syncnet" in refusal(folder)
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_text("This is a letter to my aunt.\n" * 100)
    assert "is damaged: file is not a database" in refusal(folder)
    assert (folder / FILE_NAME).read_text().startswith("This is a letter to my aunt.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM command WHERE position = 70", "expected the command 70, got 71"),
        ("UPDATE command SET record = x'4380' WHERE position = 70", "a record cannot be read"),
        ("UPDATE snapshot SET record = zeroblob(9) WHERE part = 0", "a record cannot be read"),
        ("UPDATE snapshot SET record = zeroblob(9) WHERE part = 1", "a record cannot be read"),
        ("DELETE FROM snapshot WHERE part = 1", "does not have the digest"),
        ("DELETE FROM outcome", "outcomes that belong to its snapshot are not there"),
        ("DELETE FROM trace", "outcomes that belong to its snapshot are not there"),
    ],
)
def test_a_damaged_file_is_refused(folder: Path, change: str, message: str) -> None:
    kept = Kept(folder, snapshot_commands=60)
    kept.append(*commands(5)[:60])
    for command in commands(5)[60:100]:
        kept.append(command)
    kept.close()
    database = sqlite3.connect(folder / FILE_NAME)
    database.execute(change)
    database.commit()
    database.close()
    said = refusal(folder)
    assert "is damaged: " in said
    assert message in said


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot open the journal" in refusal(tmp_path / "file" / "journal")


# --- disks that are full or cannot be written: real ones, of a megabyte ------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own. Making one takes root, which CI is."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 and "CI" not in os.environ:
        pytest.skip("mounting a small disk takes root; CI does it")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def test_a_disk_that_cannot_be_written_is_refused(disk: Path) -> None:
    filled(disk / "journal")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert "cannot write the journal" in refusal(disk / "journal")
    assert "cannot open the journal" in refusal(disk / "new")


def test_g9_a_full_disk_refuses_what_is_new_and_keeps_what_is_there(disk: Path) -> None:
    kept = Kept(disk / "journal")
    kept.append(offer("A", id="a", named=True))
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * 2_000_000)
    large = [offer("B", f"e{number}", id=f"b{number}", payload=b'"%s"' % (b"x" * 50_000)) for number in range(20)]
    kept.append(*large)
    assert kept.refused
    assert "the journal could not be written" in str(kept.refused[0][1])
    assert "full" in str(kept.refused[0][1]) or "disk I/O" in str(kept.refused[0][1])
    known = kept.snapshot()
    crashed = image(disk / "journal", disk.parent / "crashed")

    filler.unlink()
    answered = len(kept.refused)
    kept.append(offer("C", id="c"))
    assert len(kept.refused) == answered
    assert kept.machine.totals("default")[1] == 1, "C met A"
    last = kept.snapshot()
    kept.close()
    assert Kept(crashed).snapshot() == known
    assert Kept(disk / "journal").snapshot() == last


def test_a_disk_with_room_for_commands_and_none_for_a_snapshot_refuses_nothing(disk: Path) -> None:
    """What is pending stands in the commands already, and would stand in the snapshot once more."""
    subprocess.run(["mount", "-o", "remount,size=3m", disk], check=True)
    kept = Kept(disk / "journal", snapshot_commands=30)
    kept.append(*[offer("A", f"e{number}", id=f"a{number}", payload=b"1" * 60_000) for number in range(30)])
    for number in range(20):
        kept.append(offer("S", "s", id=f"s{number}", mates=0))
    assert not kept.refused
    known = kept.snapshot()
    assert Kept(image(disk / "journal", disk.parent / "crashed")).snapshot() == known


def test_a_trace_as_long_as_wished_is_there_after_a_restart(folder: Path) -> None:
    kept = Kept(folder, Limits(trace_syncs_max=5), snapshot_commands=3)
    for number in range(1, 9):
        kept.append(offer("A", id=f"a{number}", mates=0))
    kept.close()
    again = Kept(folder, Limits(trace_syncs_max=5))
    assert [synced.sync for synced in again.machine.trace("default", 0, 100)] == [4, 5, 6, 7, 8]
    assert [synced.sync for synced in again.machine.trace("default", 6, 1)] == [7]
    again.append(offer("A", id="next", mates=0))
    assert again.machine.totals("default") == (0, 9, 0)


def test_commands_are_undelivered_until_they_are_delivered_or_refused(folder: Path) -> None:
    kept = Kept(folder)
    made = [offer("A", f"e{number}", id=str(number)) for number in range(3)]
    for one in made:
        kept.journal.append(one)
    assert kept.journal.undelivered() == made
    kept.until(3)
    assert kept.journal.undelivered() == []
    kept.close()


def test_a_snapshot_is_as_it_was_taken_whatever_happens_while_it_is_written(folder: Path) -> None:
    """G9: how often an offer was asked for again decides whether a withdrawal means it, also after a restart."""
    kept = Kept(folder, snapshot_commands=4)
    named = offer("A", "named", id="a", named=True, linger_s=5)
    kept.append(named, offer("B", id="b", mates=0), offer("C", "c", id="c"), named_again())
    for number in range(4):  # each commit writes one part of the snapshot, and changes what is pending
        kept.append(named_again(), offer("S", id=f"s{number}", mates=0))
        path = image(folder, folder.parent / f"image-{number}")
        again = Kept(path, snapshot_commands=4)
        assert [one.asked for one in again.machine.pending("default")] == [number + 2, 0]
        assert [one.arrival for one in again.machine.pending("default")] == [1, 3]
        again.append(Withdraw(9, "default", "a", Cause.DISCONNECTED, 0, None, number + 2))
        assert again.machine.totals("default")[0] == 1
    kept.close()


def named_again() -> Offer:
    return offer("A", "named", id="a", named=True, linger_s=5, at_ns=1)


def test_a_snapshot_that_was_not_completed_is_replaced_by_the_next(folder: Path) -> None:
    kept = Kept(folder, snapshot_commands=50)
    work = commands(9)
    kept.append(*work[:50])
    kept.append(work[50])  # its first part is on disk
    kept.crash()
    kept = Kept(folder, snapshot_commands=20)
    for command in work[51:200]:
        kept.append(command)
    last = kept.snapshot()
    kept.crash()
    assert Kept(folder).snapshot() == last


def test_an_offer_is_delivered_as_the_very_object_that_was_appended(folder: Path) -> None:
    kept = Kept(folder)
    made: list[Offer] = [offer("A", id=str(number), mates=0) for number in range(50)]
    kept.append(*made)
    assert all(one is other for one, other in zip(made, kept.delivered, strict=True))
    kept.close()


def test_a_bug_in_what_applies_commands_stops_the_journal_and_spoils_nothing(folder: Path) -> None:
    kept = Kept(folder, snapshot_commands=3)
    kept.append(offer("A"))
    kept.is_broken = True
    kept.journal.append(offer("B"))
    kept.journal.append(offer("C", id="c"))
    kept.until(3)
    kept.append(*(offer("D", id=str(number)) for number in range(5)))
    assert len(kept.refused) == 6
    kept.is_broken = False
    kept.close()
    again = Kept(folder)
    assert again.machine.totals("default")[1] == 1, "what was on disk has happened, and happens after a restart"
