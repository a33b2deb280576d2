"""Offers that would make an unbounded search take exponential time."""

import random
from collections.abc import Iterator

from syncnet.core.commands import Offer
from tests.core.counted import CountedKey
from tests.core.offers import offer


def random_graph(offers: int, mates: int, density: float, seed: int) -> Iterator[Offer]:
    """Yield offers of one event, two of which are compatible with a probability of `density`; each has these `mates`.

    Each has a label of its own, `n<number>`; its selector forbids those of the older offers that it is not compatible
    with.
    """
    rng = random.Random(seed)
    for number in range(offers):
        forbidden = [f"!n{other}" for other in range(number) if rng.random() > density]
        labels: dict[str, str] = {CountedKey(f"n{number}"): ""}
        yield offer(f"A{number}", labels=labels, mates=mates, selector=",".join(forbidden))


def many_mates(offers: int, seed: int) -> Iterator[Offer]:
    """Yield the offers of a random graph, each with a random number of mates."""
    rng = random.Random(seed)
    for number, one in enumerate(random_graph(offers, 1, 0.5, seed)):
        mates = rng.randint(5, offers)
        yield offer(f"M{number}", labels={CountedKey(f"n{number}"): ""}, mates=mates, selector=str(one.selector))
