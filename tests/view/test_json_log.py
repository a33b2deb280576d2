"""The JSON log: one object per effect."""

import json

from syncnet.core.circles import Circle, Link
from syncnet.core.commands import Cause, Command, Expire, Withdraw
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.view.json_log import circle_line, json_line
from tests.core.offers import offer


def test_every_effect_is_one_line_without_payloads() -> None:
    machine = Machine(Limits(pending_offers_max=3))
    at_ns = 1_000_000_000_123_456_789
    commands: list[Command] = [
        offer("VM", at_ns=at_ns, payload=b'"secret"'),
        offer("CUST", at_ns=at_ns),
        offer("A", "x", "y", expect=["B"], at_ns=at_ns),
        Withdraw(at_ns, "default", "A", Cause.DISCONNECTED),
        offer("B", "x", at_ns=at_ns),
        Expire(at_ns, "default", "B"),
        *[offer(f"C{n}", selector="actor=NOBODY", at_ns=at_ns) for n in range(3)],
        offer("D", at_ns=at_ns),
    ]
    lines = [json_line(effect) for command in commands for effect in machine.apply(command)]
    assert not any("\n" in line or "secret" in line for line in lines)
    objects = [json.loads(line) for line in lines]
    assert {each["at"] for each in objects} == {"2001-09-09T01:46:40.123456Z"}
    assert [each["happening"] for each in objects] == [
        *("pending", "pending", "synced", "pending", "disconnected", "pending", "timed-out"),
        *("pending", "pending", "pending", "refused"),
    ]
    assert objects[0] == {
        "at": "2001-09-09T01:46:40.123456Z",
        "happening": "pending",
        "namespace": "default",
        "events": ["coin"],
        "id": "VM",
        "actor": "VM",
        "mates": 1,
        "selector": "actor!=VM",
        "labels": {"actor": "VM"},
    }
    assert objects[2]["members"] == [{"id": "VM", "actor": "VM"}, {"id": "CUST", "actor": "CUST"}]
    assert objects[3]["expect"] == ["A", "B"]
    assert (objects[6]["present"], objects[6]["missing"], objects[6]["never_came"]) == ([], 1, [])
    assert objects[6]["gave_up"] == [{"actor": "A", "how": "disconnected", "at": "2001-09-09T01:46:40.123456Z"}]
    assert objects[-1]["code"] == "full"


def test_a_circle_is_one_line_in_the_words_of_explain() -> None:
    circle = Circle((Link("VM", "CUST", ("coin", "note")), Link("CUST", "VM", ("choc",))), is_certain=True)
    assert json.loads(circle_line(10**18, "n", circle)) == {
        "at": "2001-09-09T01:46:40.000000Z",
        "happening": "stuck",
        "namespace": "n",
        "is_certain": True,
        "summary": "stuck together: VM waits for CUST on coin or note, CUST waits for VM on choc",
        "waits": [
            {"actor": "VM", "other": "CUST", "events": ["coin", "note"]},
            {"actor": "CUST", "other": "VM", "events": ["choc"]},
        ],
    }


def test_a_search_that_reached_its_limit_is_logged_as_missed() -> None:
    machine = Machine(Limits(search_steps_max=1))
    lines = [json_line(effect) for n in range(3) for effect in machine.apply(offer(f"A{n}", mates=2))]
    assert [json.loads(line)["happening"] for line in lines] == ["pending", "pending", "pending", "missed"]
    assert json.loads(lines[-1])["steps"] == 1


def test_a_line_does_not_grow_with_the_pending_offers() -> None:
    machine = Machine()
    longest: list[int] = []
    for group in range(3):
        commands: list[Command] = [
            *(offer(f"A{n}", "wait", id=f"{group}-{n:03}", selector="actor=NOBODY", at_ns=10**9) for n in range(200)),
            offer("B", "wait", id=f"b{group}", selector="actor=NOBODY", at_ns=10**9),
            Expire(10**9, "default", f"b{group}"),
            offer("C", "pair", id=f"c{group}", at_ns=10**9),
            offer("D", "pair", id=f"d{group}", at_ns=10**9),
        ]
        lines = [json_line(effect) for command in commands for effect in machine.apply(command)]
        longest.append(max(map(len, lines)))
    assert machine.pending_total == 600
    assert longest[0] == longest[1] == longest[2]
