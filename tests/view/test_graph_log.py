"""The graph log has exactly the format of semantics.md."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.core.commands import Cause, Command, Expire, Withdraw
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.view import graph_log
from syncnet.view.graph_log import LANES_MAX, GraphLog
from tests.core.offers import offer

VENDING = """\
┌─ VM:coin
│┌ CUST:coin
└└ CUST:coin VM:coin

┌─ VM:choc
│┌ CUST:choc
└└ CUST:choc VM:choc

"""


def drawn(*commands: Command, machine: Machine | None = None) -> str:
    machine, graph = machine or Machine(), GraphLog()
    return "".join(f"{line}\n" for each in commands for effect in machine.apply(each) for line in graph.lines(effect))


def withdraw(id: str, cause: Cause = Cause.DISCONNECTED) -> Withdraw:
    return Withdraw(0, "default", id, cause)


def test_the_customer_and_the_vending_machine() -> None:
    """Equal to the example in semantics.md, character by character."""
    assert drawn(offer("VM"), offer("CUST"), offer("VM", "choc"), offer("CUST", "choc")) == VENDING


def test_an_offer_that_syncs_alone() -> None:
    assert drawn(offer("A", mates=0)) == "┌─ A:coin\n└  A:coin\n\n"


def test_an_offer_takes_the_leftmost_free_lane_and_a_line_ends_at_the_rightmost_lane() -> None:
    assert (
        drawn(
            offer("A", "x"),
            offer("B", "y"),
            offer("C", "z"),
            withdraw("B"),
            offer("D", "w"),
            withdraw("C"),
            withdraw("A", Cause.WITHDRAWN),
            offer("E", "x"),
            withdraw("E"),
            Expire(0, "default", "D"),
        )
        == """\
┌─ A:x
│┌ B:y
││┌ C:z
│┴│ B:y disconnected
│┌│ D:w
││┴ C:z disconnected
┴│ A:x withdrawn
┌│ E:x
┴│ E:x disconnected
 ┴ D:w timed out after 0 s; nobody came

"""
    )


def test_a_sync_line_names_the_newest_member_first() -> None:
    assert (
        drawn(offer("A", mates=2), offer("X", "other"), offer("B", mates=2), offer("C", mates=2), withdraw("X"))
        == """\
┌─ A:coin
│┌ X:other
││┌ B:coin
│││┌ C:coin
└│└└ C:coin B:coin A:coin
 ┴ X:other disconnected

"""
    )


def test_a_choice_shows_all_its_events_until_it_syncs() -> None:
    assert (
        drawn(offer("A", "tea", "milk"), withdraw("A"), offer("A", "tea", "milk"), offer("B", "milk"))
        == """\
┌─ A:tea|milk
┴  A:tea|milk disconnected

┌─ A:tea|milk
│┌ B:milk
└└ B:milk A:milk

"""
    )


def test_other_namespaces_are_named() -> None:
    assert drawn(offer("A", namespace="ci")) == "┌─ ci/A:coin\n"


def test_a_search_that_reached_its_limit_is_a_line() -> None:
    offers = [offer(f"A{n}", mates=6) for n in range(6)]
    *_, last = drawn(*offers, offer("B", mates=6), machine=Machine(Limits(search_steps_max=5))).splitlines()
    assert last == "│││││││ B:coin searched up to the bound; a set that can sync may not have been found"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_every_lane_is_opened_and_closed_once(steps: list[tuple[bool, int]]) -> None:
    """Parse the graph log: it has as many open lanes as the machine has pending offers."""
    machine, graph = Machine(), GraphLog()
    lines: list[str] = []
    for number, (arrives, which) in enumerate(steps):
        pending = machine.pending("default")
        if arrives or not pending:
            command: Command = offer("ABC"[which % 3], "xyz"[which % 3 :][:1], id=str(number), mates=which % 3)
        else:
            command = withdraw(pending[which % len(pending)].id)
        for effect in machine.apply(command):
            lines += graph.lines(effect)
    open_lanes: set[int] = set()
    for line in filter(None, lines):
        cells = line[: next(i for i, c in enumerate(line) if c.isascii() and c != " ")].removesuffix(" ")
        assert {n for n, cell in enumerate(cells) if cell in "│└┴"} == open_lanes
        opened = {n for n, cell in enumerate(cells) if cell == "┌"}
        assert all(lane == min(set(range(99)) - open_lanes) for lane in opened)
        open_lanes = (open_lanes | opened) - {n for n, cell in enumerate(cells) if cell in "└┴"}
    assert len(open_lanes) == machine.pending_total


def test_offers_without_a_lane_share_a_column_that_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members with a lane and without one sync together; a lane that becomes free is for the next offer."""
    monkeypatch.setattr(graph_log, "LANES_MAX", 2)
    assert (
        drawn(
            offer("A", "x"),
            offer("B", "y"),
            offer("C", "z", mates=2),
            offer("D", "w"),
            offer("E", "y"),
            offer("F", "z", mates=2),
            withdraw("D"),
            withdraw("A"),
            offer("G", "z", mates=2),
            offer("H", "v"),
            withdraw("H"),
        )
        == """\
┌─ A:x
│┌ B:y
││┌+1 C:z
││┌+2 D:w
││┌+3 E:y
│└└+2 E:y B:y
│┌│+2 F:z
││┴+1 D:w disconnected
┴││+1 A:x disconnected
┌││+1 G:z
└└└+0 G:z F:z C:z

┌─ H:v
┴  H:v disconnected

"""
    )


def test_lanes_are_padded_up_to_the_shared_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_log, "LANES_MAX", 3)
    offers = [offer(actor, actor.lower()) for actor in "ABCDE"]
    assert drawn(*offers, withdraw("B"), withdraw("C"), withdraw("A"), offer("F", "e"), withdraw("D")).splitlines()[
        5:
    ] == [
        "│┴││+2 B:b disconnected",
        "│ ┴│+2 C:c disconnected",
        "┴  │+2 A:a disconnected",
        "┌  │+2 F:e",
        "└  └+1 F:e E:e",
        "   ┴+0 D:d disconnected",
        "",
    ]


def test_a_line_does_not_grow_with_the_pending_offers() -> None:
    lines = drawn(*(offer(f"A{number}", f"e{number}") for number in range(3_000))).splitlines()
    assert lines[-1] == "│" * LANES_MAX + f"┌+{3_000 - LANES_MAX} A2999:e2999"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), st.integers(1, 5))
def test_every_offer_is_opened_and_closed_once_however_few_lanes_are_drawn(
    steps: list[tuple[bool, int]], lanes_max: int
) -> None:
    """Parse the graph log: lanes in use and the count of the shared column are the pending offers after each line."""
    machine, graph = Machine(), GraphLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_log, "LANES_MAX", lanes_max)
        for number, (arrives, which) in enumerate(steps):
            pending = machine.pending("default")
            if arrives or not pending:
                command: Command = offer("ABC"[which % 3], "xyz"[which % 3 :][:1], id=str(number), mates=which % 3)
            else:
                command = withdraw(pending[which % len(pending)].id)
            lines = [line for effect in machine.apply(command) for line in graph.lines(effect)]
            assert (lines[-1] == "") == (machine.pending_total == 0)
            *_, last = filter(None, lines)
            match = re.fullmatch(r"(?P<lanes>[│┌└┴ ]+?)─?(?P<shared>[│┌└┴]\+(?P<count>\d+))? {1,2}[ABC].*", last)
            assert match, last
            assert len(match["lanes"].rstrip()) <= lanes_max
            open_lanes = match["lanes"].count("│") + match["lanes"].count("┌")
            assert open_lanes + int(match["count"] or 0) == machine.pending_total, lines


def test_a_timeout_says_after_how_long_and_who_was_not_there() -> None:
    second = 1_000_000_000
    roster = ["API", "DB", "WORKER"]
    assert (
        drawn(
            offer("API", "start", expect=roster, timeout_s=5),
            offer("DB", "start", expect=roster, timeout_s=8, at_ns=second),
            Expire(5 * second, "default", "API"),
            Expire(9 * second, "default", "DB"),
            offer("VM", timeout_s=0.25, at_ns=9 * second),
            Expire(10 * second, "default", "VM"),
        )
        == """\
┌─ API:start
│┌ DB:start
┴│ API:start timed out after 5 s; present: DB; never came: WORKER
 ┴ DB:start timed out after 8 s; gave up: API (timed out 4 s ago); never came: WORKER

┌─ VM:coin
┴  VM:coin timed out after 0.25 s; nobody came

"""
    )
