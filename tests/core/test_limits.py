"""The bounds on what is pending: one who would wait is refused, one who lets others go is taken."""

import pytest

from syncnet.core.commands import Cause, Expire, Withdraw
from syncnet.core.effects import Pending, Refused, Replayed, Synced
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core.offers import offer, synced


def refusal(machine: Machine, actor: str, owner: str = "") -> str:
    """Return the code with which an offer that would wait is refused; empty where it is taken."""
    (effect,) = machine.apply(offer(actor, f"event-{actor}", owner=owner))
    assert isinstance(effect, Pending | Refused)
    return effect.code if isinstance(effect, Refused) else ""


def test_a_token_waits_for_so_many_only_and_another_is_not_concerned() -> None:
    machine = Machine(Limits(pending_per_token_max=2))
    assert [refusal(machine, name, owner="ci") for name in "ABC"] == ["", "", "quota"]
    assert [refusal(machine, name, owner="ops") for name in "DEF"] == ["", "", "quota"]
    assert [refusal(machine, name) for name in "GHI"] == ["", "", ""], "whoever has no token is not counted"


@pytest.mark.parametrize("end", [Withdraw(0, "default", "A", Cause.WITHDRAWN), Expire(0, "default", "A")])
def test_who_is_gone_counts_no_more(end: Withdraw | Expire) -> None:
    machine = Machine(Limits(pending_per_token_max=1))
    assert [refusal(machine, name, owner="ci") for name in "AB"] == ["", "quota"]
    machine.apply(end)
    assert [refusal(machine, name, owner="ci") for name in "BC"] == ["", "quota"]


@pytest.mark.parametrize("limits", [Limits(pending_per_token_max=1), Limits(pending_per_namespace_max=1)])
def test_one_who_lets_others_go_is_taken_at_a_limit(limits: Limits) -> None:
    machine = Machine(limits)
    machine.apply(offer("A", "coin", owner="ci"))
    assert synced(machine.apply(offer("B", "coin", owner="ci"))) == [["A", "B"]]
    assert refusal(machine, "C", owner="ci") == ""
    assert refusal(machine, "D", owner="ci") == "quota"


@pytest.mark.parametrize("limits", [Limits(outcomes_bytes_max=1_000), Limits(outcomes_max=1)])
def test_g7_a_sync_that_alone_is_above_what_is_remembered_is_told_again_until_the_next_outcome(limits: Limits) -> None:
    machine = Machine(limits)
    first, second = (offer(actor, payload=b"1" * 600, named=True) for actor in "AB")
    machine.apply(first)
    sync = machine.apply(second)[-1]
    assert isinstance(sync, Synced)
    assert machine.apply(first) == (Replayed(first, sync),)
    again = Machine()
    again.restore(machine.snapshot())
    assert again.apply(second) == (Replayed(second, sync),)
    machine.apply(offer("C", mates=0, named=True))
    assert isinstance(machine.apply(first)[0], Pending)
