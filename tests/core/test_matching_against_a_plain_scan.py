"""The machine against a plain search by the same rules: thousands of random offers and withdrawals.

Each run has a style: how many events, actors and labels there are, which selectors are used, how often an offer has a
roster or a choice, how many offers have the defaults. `SYNCNET_WORLDS` is the number of runs; `make sim` makes many. A
run is named by its seed, and `SYNCNET_SEED` is the seed of the first.
"""

import os
import random
from typing import Any

import pytest

from syncnet.core.commands import Cause, Offer, Withdraw
from syncnet.core.effects import SearchExhausted, Synced
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core.offers import FEW_PAYLOAD_BYTES, offer
from tests.core.plain_matcher import PlainMatcher

WORLDS = int(os.environ.get("SYNCNET_WORLDS", "40"))
OFFERS = 400
PENDING_MAX = 40
FIRST_SEED = int(os.environ.get("SYNCNET_SEED", "0")) or random.SystemRandom().randrange(10**9)


class Style:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        pick = self.chance.choice
        self.events = [f"e{n}" for n in range(pick([1, 1, 2, 3]))]
        self.actors = [f"A{n}" for n in range(pick([2, 5, 20, 60]))]
        self.mates = pick([[1], [1, 2], [0, 1, 2, 3], [2, 3, 4], [3], [1, 6]])
        self.keys = [f"k{n}" for n in range(pick([0, 1, 2, 4]))]
        self.values = [str(n) for n in range(pick([1, 2, 5]))]
        self.roster_rate = pick([0, 0, 0.1, 0.5, 0.9])
        self.rosters = [self.chance.sample(self.actors, min(len(self.actors), pick([1, 2, 3, 4]))) for _ in range(8)]
        self.choice_rate = pick([0, 0.3])
        self.plain_rate = pick([0, 0.3, 0.8, 0.95])
        self.gone_rate = pick([0, 0.1, 0.4])
        self.payloads = pick([[2], [2], [2, 8, 12, 20, 30, 60]])
        self.selectors = [self.selector() for _ in range(pick([1, 3, 10]))]

    def selector(self) -> str | None:
        return self.chance.choice([None, "", ",".join(self.requirement() for _ in range(self.chance.randint(1, 3)))])

    def requirement(self) -> str:
        pick = self.chance.choice
        if not self.keys or self.chance.random() < 0.3:
            return f"actor {pick(['in', 'notin'])} ({','.join(pick(self.actors) for _ in range(3))})"
        key, value = pick(self.keys), pick(self.values)
        forms = [f"{key}={value}", f"{key}!={value}", f"{key} in ({value},{pick(self.values)})", key, f"!{key}"]
        return pick([*forms, f"{key} notin ({value})", f"{key}>{value}", f"{key}<{value}", f"{key} in ()"])

    def offer(self, id: str) -> Offer:
        chance = self.chance
        if chance.random() < self.plain_rate:
            return offer(chance.choice(self.actors), chance.choice(self.events), id=id)
        many = chance.random() < self.choice_rate
        events = chance.sample(self.events, chance.randint(1, len(self.events)) if many else 1)
        labels = {key: chance.choice(self.values) for key in self.keys if chance.random() < 0.7}
        actor = chance.choice(self.actors)
        if chance.random() < self.roster_rate:
            roster = chance.choice(self.rosters)
            payload = self.payload(len({actor, *roster}))
            return offer(actor, *events, id=id, labels=labels, expect=roster, payload=payload, limits=FEW_PAYLOAD_BYTES)
        mates, selector = chance.choice(self.mates), chance.choice(self.selectors)
        terms: dict[str, Any] = {"labels": labels, "mates": mates, "selector": selector}
        payload = self.payload(mates + 1)
        return offer(actor, *events, id=id, **terms, payload=payload, limits=FEW_PAYLOAD_BYTES)

    def payload(self, members: int) -> bytes:
        """A payload that allows a sync of so many members."""
        fitting = FEW_PAYLOAD_BYTES.sync_payload_bytes_max // members
        return b"1" * min(fitting, self.chance.choice(self.payloads))


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + WORLDS))
def test_the_same_syncs_as_a_plain_scan(seed: int) -> None:
    style, machine, plain = Style(seed), Machine(Limits(search_steps_max=10**9)), PlainMatcher()
    for number in range(OFFERS):
        newcomer = style.offer(str(number))
        expected = plain.arrive(newcomer)
        effects = machine.apply(newcomer)
        assert not any(isinstance(effect, SearchExhausted) for effect in effects)
        syncs = [(effect.event, list(effect.members)) for effect in effects if isinstance(effect, Synced)]
        assert syncs == ([expected] if expected else []), (seed, number)
        leaving = len(plain.pending) > PENDING_MAX or style.chance.random() < style.gone_rate
        if plain.pending and leaving:
            gone = plain.pending.pop(style.chance.randrange(len(plain.pending)))
            machine.apply(Withdraw(0, "default", gone.id, Cause.WITHDRAWN))
        assert machine.pending("default") == plain.pending, (seed, number)
