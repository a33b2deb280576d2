"""The limits on pending offers: at a limit an offer that would be pending is refused, one that syncs is accepted."""

import pytest

from syncnet.core.commands import Cause, Expire, Withdraw
from syncnet.core.effects import Pending, Refused, Replayed, Synced
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core.offers import offer, synced


def refusal(machine: Machine, actor: str, owner: str = "") -> str:
    """Make an offer that does not sync; return the code of its refusal, empty if it is pending."""
    (effect,) = machine.apply(offer(actor, f"event-{actor}", owner=owner))
    assert isinstance(effect, Pending | Refused)
    return effect.code if isinstance(effect, Refused) else ""


def test_the_limit_of_pending_offers_counts_for_each_token() -> None:
    machine = Machine(Limits(pending_per_token_max=2))
    assert [refusal(machine, name, owner="ci") for name in "ABC"] == ["", "", "quota"]
    assert [refusal(machine, name, owner="ops") for name in "DEF"] == ["", "", "quota"]
    assert [refusal(machine, name) for name in "GHI"] == ["", "", ""], "offers without a token are not counted"


@pytest.mark.parametrize("end", [Withdraw(0, "default", "A", Cause.WITHDRAWN), Expire(0, "default", "A")])
def test_an_offer_that_has_ended_is_not_counted(end: Withdraw | Expire) -> None:
    machine = Machine(Limits(pending_per_token_max=1))
    assert [refusal(machine, name, owner="ci") for name in "AB"] == ["", "quota"]
    machine.apply(end)
    assert [refusal(machine, name, owner="ci") for name in "BC"] == ["", "quota"]


@pytest.mark.parametrize("limits", [Limits(pending_per_token_max=1), Limits(pending_per_namespace_max=1)])
def test_an_offer_that_syncs_at_once_is_accepted_at_a_limit(limits: Limits) -> None:
    machine = Machine(limits)
    machine.apply(offer("A", "coin", owner="ci"))
    assert synced(machine.apply(offer("B", "coin", owner="ci"))) == [["A", "B"]]
    assert refusal(machine, "C", owner="ci") == ""
    assert refusal(machine, "D", owner="ci") == "quota"


@pytest.mark.parametrize("limits", [Limits(outcomes_bytes_max=1_000), Limits(outcomes_max=1)])
def test_g7_the_latest_outcome_is_kept_even_if_it_alone_is_above_the_limit(limits: Limits) -> None:
    machine = Machine(limits)
    first, second = (offer(actor, payload=b"1" * 600, named=True) for actor in "AB")
    machine.apply(first)
    sync = machine.apply(second)[-1]
    assert isinstance(sync, Synced)
    assert machine.apply(first) == (Replayed(first, sync),)
    restored = Machine()
    restored.restore(machine.snapshot())
    assert restored.apply(second) == (Replayed(second, sync),)
    machine.apply(offer("C", mates=0, named=True))
    assert isinstance(machine.apply(first)[0], Pending)
