"""Records: equal values have equal bytes, and what comes back is what went in."""

from collections.abc import Sequence

import msgspec
import pytest

from syncnet.core.commands import Abort, Cause, Claim, Command, Expire, NodeLost, Offer, Withdraw
from syncnet.core.departures import Departure
from syncnet.core.effects import Aborted, Reason, Remembered, Synced, TimedOut, Withdrawn
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.core.snapshot import NamespaceSnapshot
from syncnet.core.trace import traced
from syncnet.errors import JournalError
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
from tests.core.offers import FEW_PAYLOAD_BYTES, offer

FULL = offer(
    "VM",
    "coin",
    "note",
    id="id/1",
    mates=3,
    labels={"a": "b", "x.y/z": ""},
    selector="a in (b,c),!d,e,n>4,n<9,k notin (v),actor!=X",
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
WRITTEN_OUT = offer("A", selector="actor!=A")
LARGE = offer("A", payload=b"1" * 20, limits=FEW_PAYLOAD_BYTES)
COMMANDS: list[Command] = [FULL, PLAIN, ROSTERED, WRITTEN_OUT, LARGE]
COMMANDS += [Withdraw(1, "n", "i", Cause.DISCONNECTED), Expire(2, "n", "i")]
COMMANDS += [Withdraw(1, "n", "i", Cause.WITHDRAWN, 3, "team-a", 4), Expire(2, "n", "i", 3)]
COMMANDS += [Abort(3, "n", "e", "", "", "ops", "because"), Abort(3, "n", "", "", "i", "", "ä")]
COMMANDS += [NodeLost(4, "n", "n1", "n2"), Claim(5, "n", "i", "n1", 3, 2), Withdraw(6, "n", "i", Cause.LOST)]
OUTCOMES: list[Remembered] = [
    Synced(9, "default", "coin", 4, (FULL, PLAIN)),
    TimedOut(9, FULL, ("A", "B"), 2, ("C",)),
    TimedOut(
        9, FULL, ("A", "B"), 2, ("C", "D"), (Departure("C", "timed-out", 3, b"key"),), ("D",), (Reason("C", "e", "x"),)
    ),
    Aborted(9, FULL, "ops", "x"),
    Aborted(9, PLAIN, "", "x"),
    Withdrawn(9, FULL, Cause.WITHDRAWN),
    Withdrawn(9, FULL, Cause.LOST),
]


def test_commands_come_back() -> None:
    ((first, record),) = records_of_commands(7, COMMANDS)
    assert first == 7
    back = commands_from_record(record)
    assert back == COMMANDS
    assert [command.spec.mates_most for command in back if isinstance(command, Offer)][-1] == 2
    assert [command.at_ns for command in back] == [command.at_ns for command in COMMANDS]
    assert records_of_commands(7, back) == [(7, record)]


@pytest.mark.parametrize("made", [FULL, PLAIN, ROSTERED, WRITTEN_OUT], ids=str)
def test_an_offer_weighs_and_costs_as_much_as_before(made: Offer) -> None:
    """G4: bounds in bytes and steps decide the same after a restart, with a default that was written out, too."""
    (back,) = commands_from_record(records_of_commands(1, [made])[0][1])
    assert isinstance(back, Offer)
    assert (back.weight_bytes, back.spec.steps) == (made.weight_bytes, made.spec.steps)
    assert str(back.selector) == str(made.selector)


def test_the_node_of_an_offer_comes_back_and_is_empty_in_an_earlier_record() -> None:
    made = offer("A")
    made.node = "n1"
    ((_, record),) = records_of_commands(1, [made])
    (back,) = commands_from_record(record)
    assert isinstance(back, Offer)
    assert back.node == "n1"
    rows = msgspec.msgpack.decode(record[1:])
    assert rows[0].pop() == "n1"
    (back,) = commands_from_record(record[:1] + msgspec.msgpack.encode(rows))
    assert isinstance(back, Offer)
    assert back.node == ""


def test_outcomes_come_back() -> None:
    ((first, record),) = records_of_outcomes(7, OUTCOMES)
    assert (first, outcomes_from_record(record)) == (7, OUTCOMES)


def test_the_trace_comes_back() -> None:
    trace = [traced(outcome) for outcome in OUTCOMES if isinstance(outcome, Synced)]
    ((first, record),) = records_of_trace(7, trace)
    assert (first, trace_from_record(record)) == (7, trace)


def test_departures_come_back() -> None:
    departures = [("n", "coin", (Departure("A", "withdrawn", 3), Departure("B", "timed-out", 4, b"key")))]
    (record,) = records_of_departures(departures)
    assert is_of_departures(record)
    assert departures_from_record(record) == departures


def test_an_outcome_without_departures_is_of_an_earlier_version() -> None:
    """The records of version 2 before departures were kept."""
    ((_, record),) = records_of_outcomes(1, [OUTCOMES[1]])
    rows = msgspec.msgpack.decode(record[1:])
    del rows[0][6:]
    assert outcomes_from_record(b"O" + msgspec.msgpack.encode(rows)) == [OUTCOMES[1]]


def test_a_record_is_bounded_and_the_next_has_the_next_number() -> None:
    many = [offer("A", f"e{number}", id=str(number), payload=b"1" * 1_000) for number in range(2_000)]
    large = [offer("A", f"l{number}", id=f"l{number}", payload=b"1" * 200_000) for number in range(12)]
    rows = records_of_commands(1, [*many, *large])
    assert len(rows) > 3
    assert max(len(record) for _, record in rows) < 2_000_000
    back: list[Command] = []
    for first, record in rows:
        assert first == 1 + len(back)
        back += commands_from_record(record)
    assert back == [*many, *large]


def test_limits_come_back_and_those_that_are_not_known_are_left_out() -> None:
    limits = Limits(trace_syncs_max=3)
    head = head_from_record(record_of_head(Head(77, limits_as_dict(limits), 5)))
    assert (head.position, head.syncs_forgotten) == (77, 5)
    assert limits_from_dict(head.limits) == limits != LIMITS
    assert limits_from_dict({"trace_syncs_max": 3, "of_a_later_version": 1}) == limits


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"C",
        b"Q\x90",
        b"C\x80",
        b"C\x91\x00",
        b"C" + msgspec.msgpack.encode([(0, "id")]),
        b"C" + msgspec.msgpack.encode([(9, 1, "n", "i", None)]),
        b"C" + msgspec.msgpack.encode([(2, "1", "n", "i", None)]),
        records_of_commands(1, [FULL])[0][1][:-5],
        *(record for _, record in records_of_outcomes(1, OUTCOMES)),
    ],
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(JournalError, match="a record cannot be read"):
        commands_from_record(record)


def machine_with_offers(offers: int) -> Machine:
    machine = Machine(Limits(trace_syncs_max=3))
    for number in range(offers):
        machine.apply(offer("A", f"e{number}", id=str(number), namespace=f"n{number % 3}", named=number % 2 == 0))
        if number % 4 == 0:
            again = offer("A", f"e{number}", id=str(number), namespace=f"n{number % 3}", named=True)
            machine.apply(again)
    machine.apply(offer("B", "e0", id="b", namespace="n0", named=True))
    return machine


def joined(records: Sequence[bytes]) -> list[NamespaceSnapshot]:
    whole: dict[str, NamespaceSnapshot] = {}
    for record in records:
        for each in namespaces_from_record(record):
            pending = whole[each.namespace].pending + each.pending if each.namespace in whole else each.pending
            whole[each.namespace] = NamespaceSnapshot(
                each.namespace, each.arrivals, each.syncs, each.exhausted, pending
            )
    return list(whole.values())


@pytest.mark.parametrize("offers", [0, 1, 5, 2_048, 2_049, 7_000])
def test_namespaces_come_back_whatever_their_size(offers: int) -> None:
    namespaces = machine_with_offers(offers).snapshot().namespaces
    asked = [[one.asked for one in each.pending] for each in namespaces]
    records = list(records_of_namespaces(zip(namespaces, asked, strict=True)))
    back = joined(records)
    assert back == list(namespaces)
    assert [[(one.arrival, one.asked) for one in each.pending] for each in back] == [
        [(one.arrival, one.asked) for one in each.pending] for each in namespaces
    ]
    if offers == 7_000:
        assert len(records) > 2
        assert {times for each in asked for times in each} == {0, 1}
