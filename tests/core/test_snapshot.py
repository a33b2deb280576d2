"""A restored machine continues exactly as the original does (G4), with low limits and with high ones."""

import os
import random
from dataclasses import fields

import pytest

from syncnet.core.commands import Abort, Cause, Command, Expire, Withdraw
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core.copies import copy_of, copy_of_snapshot
from tests.core.offers import described, fields_of, offer
from tests.core.test_matching_against_a_plain_scan import FIRST_SEED, Style

WORLDS = int(os.environ.get("SYNCNET_WORLDS", "40"))
COMMANDS = 300
LOWEST: int = next(field for field in fields(Limits) if field.name == "search_steps_max").metadata["lowest"]


def commands(seed: int) -> list[Command]:
    """Offers of one style, some with names and asked for again, and ends of all kinds."""
    style = Style(seed)
    chance = random.Random(seed)
    made: list[Command] = []
    for number in range(COMMANDS):
        at_ns = number * 1_000_000_000
        id = str(chance.randrange(number // 2, number + 1))
        kind = chance.random()
        if kind < 0.75 or not made:
            one = style.offer(id)
            named = chance.random() < 0.5
            made.append(
                offer(
                    one.actor,
                    *one.events,
                    id=id,
                    mates=None if one.roster else one.mates,
                    expect=one.roster or None,
                    labels=one.labels,
                    selector=None if one.roster else str(one.selector),
                    namespace=chance.choice(["default", "default", "n1", "n2", "n3"]),
                    at_ns=at_ns,
                    named=named,
                    owner=chance.choice(["", "a", "b"]),
                )
            )
        elif kind < 0.8:
            made.append(copy_of(chance.choice(made)))
        elif kind < 0.9:
            asked = chance.choice([None, None, 0, 1])
            made.append(Withdraw(at_ns, "default", id, Cause.WITHDRAWN, asked=asked))
        elif kind < 0.97:
            made.append(Expire(at_ns, "default", id))
        else:
            made.append(Abort(at_ns, "default", chance.choice(style.events), "", "", "ops", "because"))
    return made


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + WORLDS))
def test_g4_a_restored_machine_continues_as_the_original_does(seed: int) -> None:
    chance = random.Random(seed)
    limits = Limits(
        search_steps_max=chance.choice([LOWEST, LOWEST + 2, 30, 100_000]),
        outcomes_max=chance.choice([3, 20, 1_000]),
        outcome_ttl_s=chance.choice([20, 600]),
        trace_syncs_max=chance.choice([1, 10, 1_000]),
        namespaces_max=chance.choice([3, 100]),
        pending_per_namespace_max=chance.choice([10, 1_000]),
        pending_per_token_max=chance.choice([5, 1_000]),
        pending_bytes_max=chance.choice([5_000, 10_000_000]),
    )
    machine, restored = Machine(limits), Machine(limits)
    for number, command in enumerate(commands(seed)):
        if chance.random() < 0.05:
            restored = Machine()
            restored.restore(copy_of_snapshot(machine.snapshot()))  # a log writes it down: no offer is shared
        effects = [described(effect) for effect in machine.apply(command)]
        assert [described(effect) for effect in restored.apply(copy_of(command))] == effects, (seed, number)
        assert restored._room_bytes == machine._room_bytes, (seed, number)
    assert restored.snapshot() == machine.snapshot()
    assert [fields_of(each) for each in restored.all_pending()] == [fields_of(each) for each in machine.all_pending()]


def test_new_limits_apply_to_later_offers_and_pending_ones_stay() -> None:
    machine = Machine()
    for number in range(3):
        machine.apply(offer("A", f"e{number}", id=str(number)))
    before = machine.snapshot().namespaces
    machine.change_limits(Limits(pending_offers_max=2))
    assert machine.snapshot().namespaces == before
    (refused,) = machine.apply(offer("A", "e4", id="4"))
    assert "3 offers are pending" in getattr(refused, "reason", "")
    machine.change_limits(Limits(pending_offers_max=4))
    assert len(machine.apply(offer("A", "e4", id="4"))) == 1
    assert machine.pending_total == 4
