"""G8: all work that grows with what other clients sent takes steps, so that the bound on steps bounds the work.

Work is counted in two ways while a command is served: the instructions of Python that are run in the core, which shows
loops of Python; and the comparisons of texts, which shows loops of C, such as `value in values`, and those of compiled
code. Both may be at most so many for each step, and for each word that the client itself sent.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from syncnet.core import candidates, index, matching
from syncnet.core.candidates import CandidateSet, MatchProfile
from syncnet.core.commands import Expire, Offer
from syncnet.core.explain import explain
from syncnet.core.labels import Labels
from syncnet.core.limits import DEPARTURES_PER_EVENT_MAX, EXPLANATION_STEPS_MAX
from syncnet.core.selectors import Check
from syncnet.core.steps import Steps
from tests.core.counted import CountedKey
from tests.core.offers import offer
from tests.core.worst_case import WORLD, made

IS_COMPILED = not (matching.__file__ or "").endswith(".py")
pure_only = pytest.mark.skipif(
    IS_COMPILED, reason="instructions of compiled code cannot be traced; `make test` does it"
)

INSTRUCTIONS_PER_STEP = 200
COMPARISONS_PER_STEP = 10
INSTRUCTIONS_PER_WORD = 150
COMPARISONS_PER_WORD = 10
INSTRUCTIONS = 12_000  # whatever a command asks for; the most of it is for an index of the first 16 offers
COMPARISONS = 400

WORLDS = {
    "few ordinary offers": WORLD(pending=10, mates=2, newcomer_mates=2),
    "as many as are scanned": WORLD(pending=16, mates=5, newcomer_mates=5, kinds=16, forbids=6),
    "one more than are scanned": WORLD(pending=17, mates=5, newcomer_mates=5, kinds=17, forbids=6),
    "the first index of a choice": WORLD(pending=16, mates=20, newcomer_mates=10, events=64),
    "a large barrier": WORLD(pending=2_000, actors=2_000, mates=1_999, newcomer_mates=1_999),
    "a random graph": WORLD(pending=200, kinds=200, forbids=60, mates=12, newcomer_mates=12),
    "a random graph with many mates": WORLD(pending=200, kinds=200, forbids=50, mates=5, mates_spread=200),
    "long lists of values": WORLD(pending=300, kinds=100, labels=8, wants=1, wants_values=900, values=9, mates=3),
    "long lists of others": WORLD(pending=300, kinds=100, labels=8, notins=1, notins_values=900, values=999, mates=3),
    "many short lists": WORLD(pending=300, kinds=100, labels=8, wants=60, wants_values=8, values=9, mates=4),
    "many keys": WORLD(pending=300, kinds=100, labels=62, exists=60, mates=4, newcomer_mates=5),
    "many numbers": WORLD(pending=300, kinds=100, labels=30, bounds=60, mates=4, newcomer_mates=4),
    "many labels, few scanned": WORLD(pending=16, kinds=16, labels=62, values=1, wants=200, mates=4, newcomer_mates=4),
    "a choice of 64 events": WORLD(pending=40, kinds=10, labels=2, mates=5, newcomer_mates=5, forbids=3, events=64),
    "choices with many labels": WORLD(kinds=10, labels=60, wants=8, values=1, mates=9, forbids=3, events=64),
    "short rosters": WORLD(pending=1_000, actors=1_000, roster=3, rosters=400, rostered=0.9, mates=2),
    "long rosters": WORLD(pending=300, actors=300, roster=2_000, rosters=100, rostered=0.5, mates=3),
    "a newcomer with a long roster": WORLD(pending=300, roster=290, rosters=2, rostered=0.9, newcomer_rostered=1),
    "many that are compatible with nobody": WORLD(pending=3_000, actors=3_000, denied=0.99, mates=2, newcomer_mates=2),
    "a mix": WORLD(
        pending=300, kinds=30, labels=5, wants=2, wants_values=9, values=9, notins=2, notins_values=9, forbids=5,
        mates=3, mates_spread=5, roster=20, rosters=20, rostered=0.2, events=2, bounds=3, newcomer_mates=3,
    ),
}  # fmt: skip


class Work(NamedTuple):
    instructions: int
    comparisons: int
    steps: int


def counted(command: Callable[[], int]) -> Work:
    """Run a command that returns its steps; compiled modules run no instructions of Python."""
    instructions = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal instructions
        if event == "call":
            if "/core/" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            instructions += 1
        return trace

    CountedKey.lookups = 0
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        steps = command()
    finally:
        sys.settrace(before)
    return Work(instructions, CountedKey.lookups, steps)


def words(offer: Offer) -> int:
    """How many words a client sent with an offer; those that are kept for each event, for each event."""
    spec = offer.spec
    values = sum(len(values) for _, _, values in spec.selector.requirements)
    own = len(spec.labels) + len(spec.selector.requirements) + values + len(spec.selector.bounds) + len(spec.roster)
    return own + len(spec.events) * (1 + min(own, 8))


def work_of(world: WORLD) -> dict[str, tuple[Work, int]]:
    """The work of an arrival, an expiry and an explanation, and the words of the offer that each is about."""
    machine, namespace, newcomer = made(world, CountedKey)
    late = list(namespace.pending.values())[world.pending // 2]
    for number in range(DEPARTURES_PER_EVENT_MAX):
        machine._departures.note(offer(f"LEFT{number}", late.events[0]).spec, "withdrawn", 0)

    def arrive() -> int:
        machine._search.find(namespace.lists, newcomer)
        return machine.steps.used

    def expire() -> int:
        machine.apply(Expire(0, "default", late.id))
        return machine.steps.used

    def explained() -> int:
        steps = Steps(EXPLANATION_STEPS_MAX)
        pending = list(namespace.pending.values())
        explain(namespace.lists, pending, late, 0, steps, machine._departures)
        return steps.used

    def add() -> int:
        newcomer.arrival = namespace.arrivals + 1
        machine._add(namespace, newcomer)
        return 0

    work = {"arrival": (counted(arrive), words(newcomer)), "explanation": (counted(explained), words(late))}
    work["addition"] = (counted(add), words(newcomer))
    work["expiry"] = (counted(expire), words(late))
    return work


def excess(world: WORLD) -> list[str]:
    """Say where the work is more than the steps allow."""
    said = []
    for command, (work, own) in work_of(world).items():
        most = INSTRUCTIONS_PER_STEP * work.steps + INSTRUCTIONS_PER_WORD * own + INSTRUCTIONS
        if work.instructions > most:
            said.append(f"{command}: {work.instructions} instructions, {most} at most; {work}, {own} words")
        most = COMPARISONS_PER_STEP * work.steps + COMPARISONS_PER_WORD * own + COMPARISONS
        if work.comparisons > most:
            said.append(f"{command}: {work.comparisons} comparisons, {most} at most; {work}, {own} words")
    return said


@pytest.mark.parametrize("name", WORLDS)
def test_g8_all_work_takes_steps(name: str) -> None:
    assert excess(WORLDS[name]) == []


@pure_only
def test_the_work_is_seen() -> None:
    """Otherwise the test above would always pass."""
    work, _ = work_of(WORLDS["a random graph"])["arrival"]
    assert work.steps > 5_000
    assert work.instructions > 5 * work.steps
    assert work.comparisons > work.steps // 10


@pure_only
def test_a_loop_of_python_that_takes_no_steps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wasteful(self: CandidateSet, profile: MatchProfile) -> int:
        for _ in self._members:
            pass
        return missing_with(self, profile)

    missing_with = CandidateSet.missing_with
    monkeypatch.setattr(candidates.CandidateSet, "missing_with", wasteful)
    assert excess(WORLDS["a large barrier"]) != []


@pure_only
def test_a_loop_of_c_that_takes_no_steps_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wasteful(check: Check, labels: Labels) -> bool:
        key, negated, values = check
        return (labels.get(key) in tuple(values)) is not negated

    assert excess(WORLDS["long lists of values"]) == []
    monkeypatch.setattr(index, "check_met", wasteful)
    monkeypatch.setattr(candidates, "check_met", wasteful)
    assert excess(WORLDS["long lists of values"]) != []
