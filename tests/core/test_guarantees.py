"""The guarantees of semantics.md that the core gives, each test named by its guarantee; and the limits."""

import os
import random
import subprocess
import sys

import pytest

from syncnet.core.commands import Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Pending, Refused, SearchExhausted, Synced, TimedOut, Withdrawn
from syncnet.core.limits import (
    LIMITS,
    NAME_BYTES,
    OFFER_BYTES,
    PARTIES_PER_SEARCH,
    SCANNED_OFFERS_MAX,
    WORD_BYTES,
    Limits,
)
from syncnet.core.machine import Machine
from tests.core import brute_force
from tests.core import hostile as hostile_offers
from tests.core.copies import copy_of, copy_of_snapshot
from tests.core.counted import CountedKey
from tests.core.offers import described, offer, synced
from tests.core.test_matching_against_a_plain_scan import Style


def test_g1_an_offer_is_in_at_most_one_sync() -> None:
    """A mate arrives for each event of a choice; only the first one syncs with it."""
    machine = Machine()
    machine.apply(offer("CHOICE", "a", "b", "c"))
    syncs = [synced(machine.apply(offer(actor, event))) for actor, event in [("A", "a"), ("B", "b"), ("C", "c")]]
    assert syncs == [[["CHOICE", "A"]], [], []]
    assert [each.actor for each in machine.pending("default")] == ["B", "C"]


def test_g1_a_sync_happens_for_all_of_its_members_or_for_none() -> None:
    machine = Machine()
    for actor in "ABC":
        machine.apply(offer(actor, mates=4))
    machine.apply(Withdraw(0, "default", "B", Cause.DISCONNECTED))
    machine.apply(offer("D", mates=4))
    assert synced(machine.apply(offer("E", mates=4))) == []
    assert synced(machine.apply(offer("F", mates=4))) == [["A", "C", "D", "E", "F"]]
    assert machine.pending("default") == []


def test_g2_every_sync_obeys_the_selectors_of_all_pairs() -> None:
    """B and C are each compatible with A, but not with each other."""
    machine = Machine()
    machine.apply(offer("A", mates=2))
    machine.apply(offer("B", mates=2, selector="actor!=C"))
    assert synced(machine.apply(offer("C", mates=2))) == []
    assert synced(machine.apply(offer("D", mates=2))) == [["A", "B", "D"]]


def test_g3_the_search_backtracks_from_an_incompatible_oldest_offer() -> None:
    """The oldest offer A is compatible with neither C nor D, and a set needs three members."""
    machine = Machine()
    machine.apply(offer("A", mates=2, selector="actor=X"))
    machine.apply(offer("C", mates=2, selector="actor in (D,X)"))
    machine.apply(offer("D", mates=2, selector="actor in (C,X)"))
    assert synced(machine.apply(offer("X", mates=2))) == [["C", "D", "X"]]


def test_g3_an_offer_whose_search_reached_its_limit_stays_pending_and_is_reported() -> None:
    """Other events are not affected, and the search of a later arrival may still find a set."""
    machine = Machine(Limits(search_steps_max=10))
    for number in range(5):
        machine.apply(offer(f"A{number}", mates=5))
    *_, missed = machine.apply(offer("B", mates=5))
    assert isinstance(missed, SearchExhausted)
    assert (missed.offer.id, missed.event, missed.steps) == ("B", "coin", 10)
    assert machine.pending("default")[-1].id == "B"
    assert machine.totals("default") == (6, 0, 1)
    assert synced(machine.apply(offer("C", "tea"))) == []
    assert synced(machine.apply(offer("D", "tea"))) == [["C", "D"]]
    machine.apply(Withdraw(0, "default", "B", Cause.WITHDRAWN))
    assert synced(machine.apply(offer("E", selector="actor=A3"))) == []
    assert machine.totals("default") == (6, 1, 1)


LOOKUPS_PER_STEP_MAX = 3
"""Lookups of counted labels for each step, of offers that have one such label: it measured 1.8."""


def test_g3_hostile_searches_stop_at_the_limit_and_other_events_still_sync() -> None:
    """Random graphs of 200 offers, with 8 mates or a random number; lookups of labels are counted, not timed."""
    steps_max = 5_000
    machine = Machine(Limits(search_steps_max=steps_max))
    misses = 0
    for hostile in (*hostile_offers.random_graph(200, 8, 0.5, seed=7), *hostile_offers.many_mates(200, seed=7)):
        CountedKey.lookups = 0
        effects = machine.apply(hostile)
        assert CountedKey.lookups <= steps_max * LOOKUPS_PER_STEP_MAX
        exhausted = [effect for effect in effects if isinstance(effect, SearchExhausted)]
        assert machine.steps.used <= steps_max * 12 // 10, "so many again for a thousand parties, and these are 200"
        assert not exhausted or machine.steps.used == exhausted[0].steps
        misses += len(exhausted)
        for members in (effect.members for effect in effects if isinstance(effect, Synced)):
            assert brute_force.can_sync(members, "coin"), "every sync is valid"
    assert misses > 0
    assert machine.totals("default")[2] == misses
    machine.apply(offer("P", "other"))
    assert synced(machine.apply(offer("Q", "other"))) == [["P", "Q"]]


@pytest.mark.parametrize("pending", [SCANNED_OFFERS_MAX, SCANNED_OFFERS_MAX + 1, 60])
def test_g3_every_comparison_takes_a_step_in_a_short_list_and_in_a_long_one(pending: int) -> None:
    """The number of lookups is at most a multiple of the number of steps, whatever the search does."""
    machine = Machine(Limits(search_steps_max=10_000_000))
    for hostile in hostile_offers.random_graph(pending, pending // 2, 0.6, seed=11):
        machine.apply(hostile)
    if machine.pending_total < pending:
        pytest.fail(f"only {machine.pending_total} are pending")
    CountedKey.lookups = 0
    newcomer = offer("NEW", labels={CountedKey("new"): ""}, selector="", mates=pending // 2)
    machine.apply(newcomer)
    assert machine.steps.used > 2 * pending, "the search did more than to look at each offer once"
    assert 0 < CountedKey.lookups <= machine.steps.used * LOOKUPS_PER_STEP_MAX


def test_a_large_barrier_takes_a_few_steps_for_each_party() -> None:
    """A comparison of all pairs would take half a million."""
    machine = Machine()
    steps = 0
    for number in range(999):
        assert synced(machine.apply(offer(f"P{number}", mates=999))) == []
        steps += machine.steps.used
    assert [len(members) for members in synced(machine.apply(offer("LAST", mates=999)))] == [1000]
    assert steps + machine.steps.used <= 10_000


COMMANDS_FOR_G4 = """
import random
from tests.core.offers import described, offer
from syncnet.core.commands import Cause, Expire, Withdraw
from syncnet.core.machine import Machine

random.seed(20)
machine = Machine()
for number in range(1000):
    actor = random.choice("ABCDEFGH")
    events = random.sample(["coin", "choc", "tea"], random.randint(1, 3))
    selector = random.choice([None, "", "k=1", "actor in (A,B,C,D)", "!k"])
    shape = {"mates": random.randint(0, 4), "selector": selector}
    if random.random() < 0.2:
        shape = {"expect": random.sample("ABCDEFGH", 3)}
    labels = random.choice([None, {"k": "1"}, {"k": "2", "z": "3", "a": "4"}])
    commands = [offer(actor, *events, id=f"{number}", labels=labels, **shape)]
    if random.random() < 0.3:
        commands.append(Withdraw(number, "default", str(random.randrange(number + 1)), Cause.WITHDRAWN))
    if random.random() < 0.1:
        commands.append(Expire(number, "default", str(random.randrange(number + 1))))
    for command in commands:
        print([described(effect) for effect in machine.apply(command)], machine.steps.used)
"""


def test_g4_the_same_commands_give_the_same_effects_whatever_the_hash_seed() -> None:
    """Ten processes with different values of PYTHONHASHSEED print the same bytes."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", COMMANDS_FOR_G4],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
        )
        for seed in range(10)
    ]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * 10
    assert outputs[0].count(b"'Synced'") > 100
    assert len(set(outputs)) == 1


def test_g5_the_longest_waiting_is_served_first() -> None:
    machine = Machine()
    for actor in "ABCD":
        machine.apply(offer(actor, labels={"side": "left"}, selector="side=right"))
    served = [
        synced(machine.apply(offer(actor, labels={"side": "right"}, selector="side=left")))[0] for actor in "EFGH"
    ]
    assert served == [["A", "E"], ["B", "F"], ["C", "G"], ["D", "H"]]


def test_g5_of_two_sets_with_the_oldest_offer_the_smaller_wins() -> None:
    machine = Machine()
    machine.apply(offer("A", mates=1, selector="actor!=B"))
    machine.apply(offer("B", mates=2, selector="actor in (C,X)"))
    machine.apply(offer("C", mates=2, selector="actor in (B,X)"))
    assert synced(machine.apply(offer("X"))) == [["A", "X"]]


@pytest.mark.parametrize(
    "end", [Withdraw(1, "default", "A", Cause.WITHDRAWN), Withdraw(1, "default", "A", Cause.DISCONNECTED),
            Expire(1, "default", "A")]
)  # fmt: skip
def test_g6_an_offer_that_has_ended_is_in_no_later_sync(end: Command) -> None:
    machine = Machine()
    machine.apply(offer("A"))
    (effect,) = machine.apply(end)
    assert isinstance(effect, Withdrawn | TimedOut)
    assert synced(machine.apply(offer("B"))) == []
    assert synced(machine.apply(offer("C"))) == [["B", "C"]]


def test_g6_an_offer_that_synced_never_reports_a_timeout() -> None:
    machine = Machine()
    machine.apply(offer("A"))
    machine.apply(offer("B"))
    assert machine.apply(Expire(1, "default", "A")) == ()
    assert machine.apply(Withdraw(1, "default", "B", Cause.DISCONNECTED)) == ()


def test_random_commands_never_raise_and_pending_offers_are_counted_correctly() -> None:
    """Law 4 of architecture.md; a failure prints the seed."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    machine = Machine()
    pending: set[str] = set()
    for number in range(3_000):
        one = offer(rng.choice("ABCD"), rng.choice(["x", "y"]), id=str(number), mates=rng.randrange(4))
        pending.add(one.id)
        expired = str(rng.randrange(number + 1))
        for effect in (*machine.apply(one), *machine.apply(Expire(0, "default", expired))):
            match effect:
                case Synced():
                    pending -= {member.id for member in effect.members}
                case TimedOut():
                    pending.remove(effect.offer.id)
                case Pending():
                    pass
                case _:
                    raise AssertionError((seed, effect))
        assert machine.pending_total == len(pending), seed


# --- limits ------------------------------------------------------------------------------------------------


def refused(machine: Machine, one: Offer) -> str:
    (effect,) = machine.apply(one)
    assert isinstance(effect, Refused)
    assert effect.code == "full"
    return effect.reason


def test_a_full_machine_accepts_only_offers_that_sync_at_once() -> None:
    machine = Machine(Limits(pending_offers_max=2))
    machine.apply(offer("A", "tea"))
    machine.apply(offer("B", "milk"))
    assert refused(machine, offer("C", "coin")) == "2 offers are pending, which is the limit"
    assert synced(machine.apply(offer("D", "tea"))) == [["A", "D"]]
    assert synced(machine.apply(offer("E", "coin"))) == []
    assert machine.pending_total == 2


def test_the_total_size_of_pending_offers_is_limited() -> None:
    """The size of an offer counts its payload and every other field that a client can make large."""
    large = {
        "payload": offer("L", "x", payload=b"x" * 5_000),
        "labels": offer("L", "x", labels={f"{n:060}": "" for n in range(60)}),
        "selector": offer("L", "x", selector="k in (" + ",".join(f"{n:060}" for n in range(60)) + ")"),
        "roster": offer("L", "x", expect=[f"A{n}" for n in range(80)]),
        "events": offer("L", *[f"{n:030}" for n in range(40)]),
    }
    for one in large.values():
        machine = Machine(Limits(pending_bytes_max=6_000))
        machine.apply(offer("A", "tea", payload=b"x" * 2_000))
        assert "and this one is too large to be added" in refused(machine, one)
        machine.apply(Withdraw(0, "default", "A", Cause.WITHDRAWN))
        assert len(machine.apply(offer("B", "tea", payload=b"x" * 5_000))) == 1


def test_the_size_of_an_offer_is_that_of_its_words() -> None:
    """An offer fits exactly, and is refused where one byte less is free."""
    not_actor = 3 * WORD_BYTES
    sizes = {
        OFFER_BYTES + not_actor + len("coin") + len(b'""'): offer("A"),
        OFFER_BYTES + not_actor + len("coin") + 5_000: offer("A", payload=b"x" * 5_000),
        OFFER_BYTES + not_actor + 2 * len("teamilk") + WORD_BYTES + 2: offer("A", "tea", "milk"),
        OFFER_BYTES + 3 * WORD_BYTES + len("kab") + len("coin") + 2: offer("A", selector="k in (a,b)"),
        OFFER_BYTES + 2 * NAME_BYTES + len("coin") + 2: offer("A", expect=["B", "C"]),
        OFFER_BYTES + not_actor + 2 * WORD_BYTES + len("actorAkeyvalue") + len("coin") + 2: offer(
            "A", labels={"key": "value"}
        ),
    }
    for weight_bytes, one in sizes.items():
        assert one.weight_bytes == weight_bytes
        refused(Machine(Limits(pending_bytes_max=weight_bytes - 1)), one)
        machine = Machine(Limits(pending_bytes_max=weight_bytes))
        assert len(machine.apply(one)) == 1
        assert machine.pending_total == 1
        refused(machine, offer("Z", "other"))


def test_at_the_limit_of_namespaces_the_oldest_idle_one_is_forgotten() -> None:
    """No sync number is used twice, and the default namespace is always available."""
    machine = Machine(Limits(namespaces_max=2))
    machine.apply(offer("A", namespace="one", mates=0))
    machine.apply(offer("A", namespace="one", mates=0))
    machine.apply(offer("A", namespace="two"))
    machine.apply(offer("A", namespace="three"))
    assert machine.totals("one") == (0, 0, 0)
    assert refused(machine, offer("A", namespace="four")) == "offers are pending in 2 namespaces"
    assert synced(machine.apply(offer("A", mates=0))) == [["A"]]
    machine.apply(Withdraw(0, "two", "A", Cause.WITHDRAWN))
    *_, last = machine.apply(offer("A", namespace="one", mates=0))
    assert isinstance(last, Refused)


def test_a_forgotten_namespace_continues_above_its_old_sync_numbers() -> None:
    machine = Machine(Limits(namespaces_max=1))
    for expected in (1, 2):
        *_, effect = machine.apply(offer("A", namespace="one", mates=0))
        assert isinstance(effect, Synced)
        assert effect.sync == expected
    machine.apply(offer("A", namespace="two", mates=0))
    *_, effect = machine.apply(offer("A", namespace="one", mates=0))
    assert isinstance(effect, Synced)
    assert effect.sync > 2


def test_a_choice_has_the_same_limit_of_steps_as_another_offer() -> None:
    events = [f"e{number}" for number in range(40)]
    c = CountedKey("c")
    machine = Machine(Limits(search_steps_max=300))
    misses = 0
    for number in range(60):
        one = offer(f"A{number}", *events, mates=20, labels={c: f"{number % 10}"}, selector=f"c!={number % 10}")
        before = machine.pending_total
        CountedKey.lookups = 0
        misses += sum(isinstance(effect, SearchExhausted) for effect in machine.apply(one))
        indexed = before if before == SCANNED_OFFERS_MAX else 1  # offers that are added to each index
        kept = len(events) * 20 * indexed
        assert CountedKey.lookups <= 300 * LOOKUPS_PER_STEP_MAX + kept
    assert misses > 0


def test_a_refused_offer_leaves_no_state() -> None:
    machine = Machine(Limits(pending_offers_max=1))
    machine.apply(offer("A", "tea"))
    refused(machine, offer("B", "coin", namespace="other"))
    assert machine.totals("other") == (0, 0, 0)
    assert machine.pending_total == 1
    assert [each.id for each in machine.pending("default")] == ["A"]


# --- what honest clients need ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [None, "role in (a,b),zone notin (z)"])
def test_g3_the_largest_barrier_syncs_within_the_default_limits(role: str | None) -> None:
    machine = Machine()
    parties = LIMITS.mates_max + 1
    labels = {"role": "a", "zone": "x"} if role else None
    for number in range(parties - 1):
        machine.apply(offer(f"P{number}", mates=parties - 1, labels=labels, selector=role))
    (members,) = synced(machine.apply(offer("LAST", mates=parties - 1, labels=labels, selector=role)))
    assert len(members) == parties
    allowed = LIMITS.search_steps_max + LIMITS.search_steps_max * (parties - 1) // PARTIES_PER_SEARCH
    assert machine.steps.used <= allowed * 9 // 10, "some room is left"


@pytest.mark.parametrize("last_brings_it", [True, False])
def test_g3_a_barrier_with_the_largest_roster_syncs_within_the_default_limits(last_brings_it: bool) -> None:
    """One offer brings the roster; so many rosters would be more than `pending_bytes_max`."""
    machine = Machine()
    names = [f"P{number}" for number in range(LIMITS.mates_max + 1)]
    rostered = offer(names[0], expect=names[1:])
    others = [offer(name, mates=len(names) - 1) for name in names[1:]]
    *first, last = [*others, rostered] if last_brings_it else [rostered, *others]
    for one in first:
        assert len(machine.apply(one)) == 1
    (members,) = synced(machine.apply(last))
    assert sorted(members) == sorted(names)


def test_g3_a_barrier_in_which_all_bring_a_large_roster_syncs_within_the_default_limits() -> None:
    machine = Machine()
    names = [f"P{number}" for number in range(400)]
    for name in names[1:]:
        assert len(machine.apply(offer(name, expect=names))) == 1
    (members,) = synced(machine.apply(offer(names[0], expect=names)))
    assert sorted(members) == sorted(names)


def test_g3_the_oldest_of_a_hundred_thousand_pending_offers_of_one_event_is_found() -> None:
    """A queue of workers, each of which is a class of its own; then jobs arrive."""
    machine = Machine()
    worker, job = {"side": "worker"}, {"side": "job"}
    for number in range(LIMITS.pending_offers_max):
        machine.apply(offer(f"W{number}", labels=worker, selector="side=job"))
    assert machine.pending_total == LIMITS.pending_offers_max
    for number in range(3):
        assert synced(machine.apply(offer("J", id=f"J{number}", labels=job, selector="side=worker"))) == [
            [f"W{number}", f"J{number}"]
        ]
    machine.apply(Expire(0, "default", "W50000"))
    assert machine.steps.used < 250


def test_g4_the_steps_used_do_not_depend_on_the_history_of_the_index() -> None:
    """The same offers are pending in a machine that saw others come and go, and in one that was restored."""
    for seed in range(20):
        style = Style(seed)
        machine = Machine(Limits(search_steps_max=style.chance.choice([100, 20_000])))
        for number in range(200):
            machine.apply(style.offer(str(number)))
            if style.chance.random() < 0.3:
                machine.apply(Withdraw(0, "default", str(style.chance.randrange(number + 1)), Cause.WITHDRAWN))
        restored = Machine()
        restored.restore(copy_of_snapshot(machine.snapshot()))
        for number in range(200, 230):
            command: Command = style.offer(str(number))
            pending = machine.pending("default")
            if pending and number % 3 == 0:
                command = Expire(0, "default", style.chance.choice(pending).id)
            effects = [described(effect) for effect in machine.apply(command)]
            assert [described(effect) for effect in restored.apply(copy_of(command))] == effects, (seed, number)
            assert restored.steps.used == machine.steps.used, (seed, number)
