"""The file of a journal, without threads."""

from pathlib import Path
from typing import Any, cast

import pytest

from syncnet.core.commands import Expire
from syncnet.core.effects import TimedOut
from syncnet.core.machine import Machine
from syncnet.log.journal_file import JournalFile, Saving
from syncnet.log.last_commit import NO_RECORDS
from tests.core.offers import offer


def test_g9_a_write_that_fails_for_any_reason_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Half of it is in the transaction already; nothing of it may get into the next one."""
    no_snapshot = cast(Any, "no snapshot")
    file = JournalFile(tmp_path)
    file.begin_writing()
    file.write([offer("A")], Saving(0, b"", Machine().snapshot()))
    with pytest.raises(AttributeError):
        file.write([offer("LOST")], no_snapshot)
    file.write([offer("B")])
    assert file.position == 2
    file.close()
    again = JournalFile(tmp_path)
    again.snapshot()
    assert [command.actor for command in again.commands() if hasattr(command, "actor")] == ["A", "B"]
    again.close()


def test_g4_who_left_and_why_comes_back_with_a_snapshot(tmp_path: Path) -> None:
    machine = Machine()
    machine.apply(offer("A", "start", expect=["B", "C"], timeout_s=1, named=True))
    machine.apply(offer("B", "start", expect=["A", "D"]))
    machine.apply(Expire(1_000_000_000, "default", "A"))
    snapshot = machine.snapshot()
    ((outcome,), (departures,)) = snapshot.outcomes, snapshot.departures
    assert isinstance(outcome, TimedOut)
    assert outcome.reasons
    assert departures[1] == "start"
    file = JournalFile(tmp_path)
    assert file.write([], Saving(0, NO_RECORDS, snapshot))
    file.close()
    file = JournalFile(tmp_path)
    assert file.snapshot() == snapshot
    file.close()
