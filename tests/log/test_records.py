"""Records: equal values have equal bytes, and what comes back is what went in."""

from dataclasses import replace

import msgspec
import pytest

from syncnet.core.commands import Abort, Cause, Command, Expire, Withdraw
from syncnet.core.effects import Aborted, Pending, Remembered, Synced, TimedOut
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.errors import JournalError
from syncnet.log.records import (
    command_from_record,
    outcomes_from_record,
    record_of_command,
    record_of_outcomes,
    records_of_snapshot,
    snapshot_from_records,
)
from tests.core.offers import offer

FULL = offer(
    "VM",
    "coin",
    "note",
    id="id/1",
    mates=3,
    labels={"a": "b", "x.y/z": ""},
    selector="a in (b,c),!d,n>4,k notin (v),actor!=X",
    payload=b'{"x": [1.50, null, "\\u00e4"]}',
    namespace="ci",
    at_ns=1_700_000_000_123_456_789,
    timeout_s=2.5,
    linger_s=7,
    named=True,
    owner="team-a",
)
PLAIN = offer("CUST")
ROSTERED = offer("A", expect=["B", "C"])
COMMANDS = [FULL, PLAIN, ROSTERED, Withdraw(1, "n", "i", Cause.DISCONNECTED), Expire(2, "n", "i")]
COMMANDS += [Abort(3, "n", "e", "", "", "ops", "because"), Abort(3, "n", "", "", "i", "", "ä")]
OUTCOMES: list[list[Remembered]] = [
    [Synced(9, "default", "coin", 4, (FULL, PLAIN))],
    [TimedOut(9, FULL, ("A", "B"), 2, ("C",))],
    [Aborted(9, FULL, "ops", "x"), Aborted(9, PLAIN, "", "x")],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_come_back(command: Command) -> None:
    record = record_of_command(command)
    assert command_from_record(record) == command
    assert record_of_command(command_from_record(record)) == record


@pytest.mark.parametrize("outcomes", OUTCOMES, ids=lambda outcomes: type(outcomes[0]).__name__)
def test_outcomes_come_back(outcomes: list[Remembered]) -> None:
    record = record_of_outcomes(outcomes)
    assert record is not None
    assert outcomes_from_record(record) == outcomes


def test_what_has_not_ended_needs_no_record() -> None:
    assert record_of_outcomes([Pending(FULL, 1)]) is None
    assert record_of_outcomes([]) is None


def test_a_field_that_a_record_does_not_have_takes_its_default() -> None:
    fields = msgspec.to_builtins(FULL, builtin_types=(bytes,))
    del fields["owner"]
    assert command_from_record(b"O" + msgspec.msgpack.encode(fields)) == replace(FULL, owner="")


@pytest.mark.parametrize("record", [b"", b"O", b"Q\x80", b"O\x80", b"W\xc1", record_of_command(FULL)[:-5]])
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(JournalError, match="a record cannot be read"):
        command_from_record(record)


def machine_with_offers(offers: int) -> Machine:
    machine = Machine(Limits(trace_syncs_max=3))
    for number in range(offers):
        machine.apply(offer("A", f"e{number}", id=str(number), namespace=f"n{number % 3}"))
    machine.apply(offer("B", "e0", id="b", namespace="n0", named=True))
    return machine


@pytest.mark.parametrize("offers", [1, 5, 2_999, 3_000, 7_000])
def test_snapshots_come_back_whatever_their_size(offers: int) -> None:
    snapshot = machine_with_offers(offers).snapshot()
    saved = snapshot_from_records(records_of_snapshot(77, snapshot))
    assert (saved.position, saved.outcomes_kept, saved.trace_kept) == (77, 1, 1)
    assert saved.snapshot.worlds == snapshot.worlds
    assert saved.snapshot.limits == snapshot.limits != LIMITS


def test_a_snapshot_that_was_changed_is_refused() -> None:
    records = records_of_snapshot(77, machine_with_offers(2_500).snapshot())
    assert len(records) > 2
    with pytest.raises(JournalError, match="digest"):
        snapshot_from_records(records[:-1])
    with pytest.raises(JournalError, match="digest"):
        snapshot_from_records([records[0], records[2], records[1], *records[3:]])
