"""Effects that were written as JSON are drawn as the originals are."""

import json

import pytest

from syncnet.core.commands import Abort, Cause, Command, Expire, Withdraw
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.view.graph_log import GraphLog
from syncnet.view.json_log import json_line
from syncnet.view.replay import effect_of
from tests.core.offers import offer


def test_the_graph_log_of_the_json_log_is_that_of_the_effects() -> None:
    machine = Machine(Limits(search_steps_max=10))
    commands: list[Command] = [
        offer("VM", payload=b'"secret"'),
        offer("CUST"),
        offer("A", "x", "y", expect=["B", "C"]),
        offer("Z", "x", namespace="other"),
        Withdraw(0, "default", "A", Cause.DISCONNECTED),
        Withdraw(0, "other", "Z", Cause.WITHDRAWN),
        offer("B", "x"),
        Expire(0, "default", "B"),
        offer("C", "x"),
        Abort(0, "default", "x", "", "", "OPS", "because"),
        *[offer(f"D{number}", mates=8) for number in range(9)],
    ]
    effects = [effect for command in commands for effect in machine.apply(command)]
    original, replayed = GraphLog(), GraphLog()
    for effect in effects:
        again = effect_of(json.loads(json_line(effect)))
        assert again is not None
        assert replayed.lines(again) == original.lines(effect)


@pytest.mark.parametrize("happening", ["attached", "retold", "refused", "gap", "open", "stuck", "something-new"])
def test_what_no_view_draws_is_no_effect(happening: str) -> None:
    assert effect_of({"happening": happening}) is None


@pytest.mark.parametrize("described", [{}, {"happening": "pending"}, {"happening": "synced", "namespace": 1}])
def test_what_is_no_object_of_the_trace(described: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected an object of the live trace"):
        effect_of(described)
