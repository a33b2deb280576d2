"""The file of a journal, without threads."""

from pathlib import Path
from typing import Any, cast

import pytest

from syncnet.core.machine import Machine
from syncnet.log.journal_file import JournalFile, Saving
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
