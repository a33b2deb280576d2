"""Search for the offers that take the most processor time: for one command, and for each step that is counted.

`make worst` runs it for a minute (SECONDS=600 for longer), `make fuzz` too. A world is a list of pending offers and a
newcomer, made from a few numbers and a seed. The search changes one number at a time at random and keeps what is
worse. What it prints can be made again: `python -m tests.core.worst_case --world 'WORLD(…)'`.

Where the time for a step is far above that of other worlds, some work is not counted, or at too low a price.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from syncnet.core.commands import Offer
from syncnet.core.departures import Departures
from syncnet.core.explain import explain, timed_out
from syncnet.core.limits import EXPLANATION_STEPS_MAX, LIMITS
from syncnet.core.machine import Machine
from syncnet.core.namespace import Namespace
from syncnet.core.selectors import Selector, parse_selector
from syncnet.core.steps import Steps
from syncnet.core.validation import make_offer

STEPS_MIN = 1_000  # fewer say little about the price of a step


@dataclass(frozen=True)
class WORLD:
    """The numbers from which pending offers and a newcomer are made."""

    seed: int = 0
    pending: int = 40
    actors: int = 40
    kinds: int = 4  # of labels and selectors
    labels: int = 1
    values: int = 3  # that a label can have
    wants: int = 0  # requirements of each kind
    wants_values: int = 1
    notins: int = 0
    notins_values: int = 1
    exists: int = 0
    bounds: int = 0
    forbids: int = 0  # kinds that it is not compatible with
    mates: int = 1
    mates_spread: int = 0
    roster: int = 0  # names; 0: no rosters
    rosters: int = 1
    rostered: float = 0.5  # the share of offers with one
    newcomer_rostered: int = 0
    newcomer_mates: int = 1
    events: int = 1
    denied: float = 0.0  # the share of offers that are compatible with nobody: found late


CHOICES: dict[str, Sequence[float]] = {
    "pending": [10, 15, 16, 17, 18, 30, 100, 300, 1_000, 3_000],
    "actors": [1, 2, 16, 100, 3_000],
    "kinds": [1, 2, 10, 100, 1_000],
    "labels": [0, 1, 2, 8, 30, 62],
    "values": [1, 2, 3, 10, 100, 2_000],
    "wants": [0, 1, 2, 8, 60, 200],
    "wants_values": [1, 2, 8, 9, 50, 1_000],
    "notins": [0, 1, 2, 20],
    "notins_values": [1, 2, 8, 9, 50, 1_000],
    "exists": [0, 1, 10, 60],
    "bounds": [0, 1, 10, 60, 300],
    "forbids": [0, 1, 10, 50, 400],
    "mates": [1, 2, 3, 5, 10, 50, 500],
    "mates_spread": [0, 1, 5, 3_000],
    "roster": [0, 0, 2, 3, 16, 17, 200, 5_000],
    "rosters": [1, 2, 50, 1_000],
    "rostered": [0.05, 0.5, 1.0],
    "newcomer_rostered": [0, 1],
    "newcomer_mates": [1, 2, 3, 10, 100],
    "events": [1, 1, 2, 8, 64],
    "denied": [0.0, 0.5, 0.9, 0.99],
}
SEEDS: Sequence[float] = range(1_000)
WEIGHT_MAX = 400_000  # pending offers times the words of each, so that a world is made in a second or so


def weight_of(world: WORLD) -> float:
    words: float = 1 + world.labels + world.wants + world.notins * world.notins_values + world.exists + world.bounds
    words += world.forbids + (world.roster * world.rostered if world.roster else 0)
    return world.pending * words * (1 + world.events / 4)


@lru_cache(maxsize=2_000)
def selector_of(text: str) -> Selector:
    return parse_selector(text)


class Maker:
    """Makes the offers of one world, with names, keys and values of the type `text`."""

    def __init__(self, world: WORLD, text: Callable[[str], str] = str) -> None:
        self.text = text
        self.world = world
        self.chance = random.Random(world.seed)
        self.events = [f"e{number}" for number in range(world.events)]
        self.names = [text(f"A{number}") for number in range(max(world.actors, 2, world.roster + 50))]
        self.labels = [self._labels() | {text(f"g{kind}"): ""} for kind in range(world.kinds)]
        self.selectors = [self._selector() for _ in range(world.kinds)]
        self.rosters: list[tuple[str, ...]] = []
        if world.roster:
            self.rosters = [tuple(sorted(self._names(world.roster))) for _ in range(world.rosters)]

    def _names(self, number: int) -> list[str]:
        shared = self.names[: number - 2]
        return [*shared, *self.chance.sample(self.names[number - 2 :], 2)]

    def _labels(self) -> dict[str, str]:
        text, pick = self.text, self.chance.randrange
        return {text(f"k{number}"): text(str(pick(self.world.values))) for number in range(self.world.labels)}

    def _key(self) -> str:
        return f"k{self.chance.randrange(max(1, self.world.labels))}"

    def _value_list(self, number: int) -> str:
        return ",".join(str(value) for value in range(number))

    def _selector(self) -> str:
        world, pick = self.world, self.chance.randrange
        parts = [f"{self._key()} in ({self._value_list(world.wants_values)})" for _ in range(world.wants)]
        parts += [f"{self._key()} notin ({self._value_list(world.notins_values)}x)" for _ in range(world.notins)]
        parts += [self._key() for _ in range(world.exists)]
        parts += [f"{self._key()}<{1_000_000 + number}" for number in range(world.bounds)]
        parts += [f"!g{pick(world.kinds)}" for _ in range(world.forbids)]  # a random graph
        while len(text := ",".join(parts)) > LIMITS.selector_characters_max:
            parts = parts[: len(parts) * 9 // 10]
        return text

    def offer(self, number: int, mates: int, *, rostered: bool, denied: bool) -> Offer:
        world, chance = self.world, self.chance
        actor = self.names[number % min(len(self.names), max(1, world.actors))]
        kind = chance.randrange(world.kinds)
        made = make_offer(
            at_ns=0,
            id=str(number),
            events=self.events,
            actor=actor,
            labels=self.labels[kind],
            mates=mates,
            selector=selector_of("zz=none" if denied else self.selectors[kind]),
        )
        if rostered and self.rosters:  # the names are shared, so that a world fits into memory
            roster = chance.choice(self.rosters)
            spec = make_offer(
                at_ns=0, id="", events=self.events, actor=roster[number % len(roster)], expect=[actor]
            ).spec
            spec.roster, spec.mates = roster, len(roster) - 1
            made = Offer(spec, str(number), 0, b'""', 2, False)
        return made


def made(world: WORLD, text: Callable[[str], str] = str) -> tuple[Machine, Namespace, Offer]:
    """Make the world, without searches: states that cannot be reached are searched too."""
    maker = Maker(world, text)
    machine = Machine()
    namespace = machine._new_namespace("default")
    assert namespace is not None
    chance = random.Random(world.seed + 1)
    for number in range(world.pending):
        mates = min(9_999, world.mates + (chance.randrange(world.mates_spread + 1)))
        one = maker.offer(
            number, mates, rostered=chance.random() < world.rostered, denied=chance.random() < world.denied
        )
        one.arrival = namespace.arrivals = number + 1
        machine._add(namespace, one)
    newcomer = maker.offer(world.pending, world.newcomer_mates, rostered=bool(world.newcomer_rostered), denied=False)
    return machine, namespace, newcomer


@dataclass(frozen=True)
class Result:
    """What one kind of command took: milliseconds in all, steps, and microseconds for each step of the search."""

    command: str
    ms: float
    steps: int
    step_us: float
    world: WORLD


def timed(work: Callable[[], object]) -> float:
    """Return the processor time in milliseconds."""
    begin = time.process_time_ns()
    work()
    return (time.process_time_ns() - begin) / 1e6


def measured(world: WORLD) -> list[Result]:
    machine, namespace, newcomer = made(world)
    results = []
    search_ms = timed(lambda: machine._search.find(namespace.lists, newcomer))
    search_ms = min(search_ms, timed(lambda: machine._search.find(namespace.lists, newcomer)))
    steps = machine.steps.used
    pending = list(namespace.pending.values())
    late = random.Random(world.seed).choice(pending)
    for command in ("explanation", "expiry"):
        meter = Steps(EXPLANATION_STEPS_MAX)
        if command == "expiry":
            ms = timed(lambda: timed_out(namespace.lists, pending, late, 0, meter, Departures()))  # noqa: B023 - called at once
        else:
            ms = timed(lambda: explain(namespace.lists, pending, late, 0, meter, Departures()))  # noqa: B023
        results.append(Result(command, ms, meter.used, 1e3 * ms / max(meter.used, STEPS_MIN), world))
    arrival_ms = timed(lambda: machine.offer(newcomer))
    results.append(Result("arrival", arrival_ms, steps, 1e3 * search_ms / max(steps, STEPS_MIN), world))
    return results


def changed(world: WORLD, chance: random.Random) -> WORLD:
    """Return the world with one to three numbers changed."""
    while True:
        names = chance.sample([*CHOICES, "seed"], chance.choice([1, 1, 2, 3]))
        numbers: dict[str, float] = {name: chance.choice(CHOICES.get(name, SEEDS)) for name in names}
        other = replace(world, **numbers)  # type: ignore[arg-type, unused-ignore]
        if weight_of(other) <= WEIGHT_MAX:
            return other


def shown(result: Result) -> str:
    said = [f"{field.name}={getattr(result.world, field.name)!r}" for field in fields(WORLD)
               if getattr(result.world, field.name) != field.default]  # fmt: skip
    figures = f"{result.ms:8.2f} ms {result.steps:8,} steps {result.step_us:6.2f} us a step"
    return f"{result.command:12} {figures}  WORLD({', '.join(said)})"


def search(seconds: float, seed: int) -> dict[tuple[str, str], Result]:
    """Return the worst results found, by goal and command. Each is measured again before it is believed."""
    chance = random.Random(seed)
    worst: dict[tuple[str, str], Result] = {}
    worlds = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        world = WORLD()
        if worst and chance.random() < 0.85:
            world = chance.choice(list(worst.values())).world
        world = changed(world, chance)
        for _ in range(8 if world == WORLD() else chance.randrange(3)):
            world = changed(world, chance)
        worlds += 1
        if worlds % 20 == 0:
            gc.collect()
        gc.disable()
        first = measured(world)
        if any(better(worst, goal, result) for result in first for goal in GOALS):
            again = measured(world)
            for one, other in zip(first, again, strict=True):
                low = replace(one, ms=min(one.ms, other.ms), step_us=min(one.step_us, other.step_us))
                for goal in GOALS:
                    if better(worst, goal, low):
                        worst[goal, low.command] = low
        gc.enable()
    print(f"{worlds} worlds", file=sys.stderr)
    return worst


GOALS: dict[str, Callable[[Result], float]] = {
    "time for one command": lambda result: result.ms,
    "time for one step": lambda result: result.step_us,
}


def better(worst: dict[tuple[str, str], Result], goal: str, result: Result) -> bool:
    known = worst.get((goal, result.command))
    return known is None or GOALS[goal](result) > GOALS[goal](known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--world", help="measure this one, as it was printed")
    options = parser.parse_args()
    if options.world:
        for result in measured(eval(options.world, {"WORLD": WORLD})):
            print(shown(result))
        return
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}; every step allowed is {LIMITS.search_steps_max:,} for an arrival", file=sys.stderr)
    worst = search(options.seconds, seed)
    for goal in GOALS:
        print(f"\nThe most {goal}:")
        for (of_goal, _), result in sorted(worst.items()):
            if of_goal == goal:
                print(shown(result))


if __name__ == "__main__":
    main()
