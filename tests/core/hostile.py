"""Offers that are chosen so that the search would explode."""

import random
from collections.abc import Iterator

from syncnet.core.commands import Offer
from tests.core.offers import offer


def random_graph(offers: int, mates: int, density: float, seed: int) -> Iterator[Offer]:
    """Offers of one event of which two go together with a probability of `density`; each wants `mates` others.

    Each has a label of its own, `n<number>`, and forbids those of the elder ones that it does not go with.
    """
    chance = random.Random(seed)
    for number in range(offers):
        forbidden = [f"!n{other}" for other in range(number) if chance.random() > density]
        labels = {f"n{number}": ""}
        yield offer(f"A{number}", labels=labels, mates=mates, selector=",".join(forbidden))


def many_mates(offers: int, seed: int) -> Iterator[Offer]:
    """Like a random graph, but each wants another number of mates."""
    chance = random.Random(seed)
    for number, one in enumerate(random_graph(offers, 1, 0.5, seed)):
        mates = chance.randint(5, offers)
        yield offer(f"A{number}", labels={f"n{number}": ""}, mates=mates, selector=str(one.selector))
