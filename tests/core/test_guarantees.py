"""The guarantees of semantics.md as far as the core gives them, each test by its number; and the limits."""

import os
import random
import subprocess
import sys

import pytest

from syncnet.core.candidates import CandidateSet, MatchProfile
from syncnet.core.commands import Cause, Command, Expire, Offer, Withdraw
from syncnet.core.effects import Pending, Refused, SearchExhausted, Synced, TimedOut, Withdrawn
from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from tests.core import brute_force
from tests.core import hostile as hostile_offers
from tests.core.offers import offer, synced


def test_g1_an_offer_is_in_at_most_one_sync() -> None:
    """The mates of a choice come at once, on every one of its events; one of them gets it."""
    machine = Machine()
    machine.apply(offer("CHOICE", "a", "b", "c"))
    met = [synced(machine.apply(offer(actor, event))) for actor, event in [("A", "a"), ("B", "b"), ("C", "c")]]
    assert met == [[["CHOICE", "A"]], [], []]
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
    """B and C would each go with A, but not with each other."""
    machine = Machine()
    machine.apply(offer("A", mates=2))
    machine.apply(offer("B", mates=2, selector="actor!=C"))
    assert synced(machine.apply(offer("C", mates=2))) == []
    assert synced(machine.apply(offer("D", mates=2))) == [["A", "B", "D"]]


def test_g3_a_set_that_a_first_choice_would_miss_is_found() -> None:
    """Taking the longest-waiting first leads nowhere: A goes with neither C nor D, and three are wanted."""
    machine = Machine()
    machine.apply(offer("A", mates=2, selector="actor=X"))
    machine.apply(offer("C", mates=2, selector="actor in (D,X)"))
    machine.apply(offer("D", mates=2, selector="actor in (C,X)"))
    assert synced(machine.apply(offer("X", mates=2))) == [["C", "D", "X"]]


def test_g3_where_the_bound_is_hit_the_offer_stays_and_the_miss_is_told() -> None:
    """And the rest goes on: other events are not touched, and a later arrival may still find a group."""
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


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[MatchProfile]:
    """The shapes that groups were asked about, as they are asked."""
    asked: list[MatchProfile] = []
    admits = CandidateSet.admits

    def counted(group: CandidateSet, shape: MatchProfile) -> bool:
        asked.append(shape)
        return admits(group, shape)

    monkeypatch.setattr(CandidateSet, "admits", counted)
    return asked


def test_g3_hostile_searches_end_at_the_bound_and_the_rest_goes_on(comparisons: list[MatchProfile]) -> None:
    """Random graphs of 200 offers, wanting 8 mates and many different numbers; comparisons are counted, not timed."""
    steps_max = 5_000
    machine = Machine(Limits(search_steps_max=steps_max))
    misses = 0
    for hostile in (*hostile_offers.random_graph(200, 8, 0.5, seed=7), *hostile_offers.many_mates(200, seed=7)):
        comparisons.clear()
        effects = machine.apply(hostile)
        assert len(comparisons) <= steps_max
        misses += sum(isinstance(effect, SearchExhausted) for effect in effects)
        for members in (effect.members for effect in effects if isinstance(effect, Synced)):
            assert brute_force.can_sync(members, "coin"), "nothing wrong is ever synced"
    assert misses > 0
    assert machine.totals("default")[2] == misses
    machine.apply(offer("P", "other"))
    assert synced(machine.apply(offer("Q", "other"))) == [["P", "Q"]]


def test_a_barrier_of_many_asks_each_party_a_few_times(comparisons: list[MatchProfile]) -> None:
    """A scan of pairs would take half a million comparisons."""
    machine = Machine()
    for number in range(999):
        assert synced(machine.apply(offer(f"P{number}", mates=999))) == []
    assert [len(members) for members in synced(machine.apply(offer("LAST", mates=999)))] == [1000]
    assert len(comparisons) <= 4_000


COMMANDS_FOR_G4 = """
import random
from tests.core.offers import offer
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
    print(machine.apply(offer(actor, *events, id=f"{number}", labels=labels, **shape)))
    if random.random() < 0.3:
        print(machine.apply(Withdraw(number, "default", str(random.randrange(number + 1)), Cause.WITHDRAWN)))
    if random.random() < 0.1:
        print(machine.apply(Expire(number, "default", str(random.randrange(number + 1)))))
"""


def test_g4_the_same_commands_give_the_same_effects_whatever_the_hash_seed() -> None:
    """Ten processes, ten seeds of PYTHONHASHSEED, byte for byte."""
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
    assert outputs[0].count(b"Synced(") > 100
    assert len(set(outputs)) == 1


def test_g5_the_longest_waiting_is_served_first() -> None:
    machine = Machine()
    for actor in "ABCD":
        machine.apply(offer(actor, labels={"side": "left"}, selector="side=right"))
    served = [
        synced(machine.apply(offer(actor, labels={"side": "right"}, selector="side=left")))[0] for actor in "EFGH"
    ]
    assert served == [["A", "E"], ["B", "F"], ["C", "G"], ["D", "H"]]


def test_g5_of_two_groups_with_the_longest_waiting_the_shorter_wins() -> None:
    machine = Machine()
    machine.apply(offer("A", mates=1, selector="actor!=B"))
    machine.apply(offer("B", mates=2, selector="actor in (C,X)"))
    machine.apply(offer("C", mates=2, selector="actor in (B,X)"))
    assert synced(machine.apply(offer("X"))) == [["A", "X"]]


@pytest.mark.parametrize(
    "end", [Withdraw(1, "default", "A", Cause.WITHDRAWN), Withdraw(1, "default", "A", Cause.DISCONNECTED),
            Expire(1, "default", "A")]
)  # fmt: skip
def test_g6_gone_is_gone(end: Command) -> None:
    machine = Machine()
    machine.apply(offer("A"))
    (effect,) = machine.apply(end)
    assert isinstance(effect, Withdrawn | TimedOut)
    assert synced(machine.apply(offer("B"))) == []
    assert synced(machine.apply(offer("C"))) == [["B", "C"]]


def test_g6_one_that_did_sync_never_reports_a_timeout() -> None:
    machine = Machine()
    machine.apply(offer("A"))
    machine.apply(offer("B"))
    assert machine.apply(Expire(1, "default", "A")) == ()
    assert machine.apply(Withdraw(1, "default", "B", Cause.DISCONNECTED)) == ()


def test_apply_never_raises_and_counts_are_right_after_a_long_random_life() -> None:
    """Law 4; the seed is printed where it fails."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    machine = Machine()
    alive: set[str] = set()
    for number in range(3_000):
        one = offer(chance.choice("ABCD"), chance.choice(["x", "y"]), id=str(number), mates=chance.randrange(4))
        alive.add(one.id)
        gone = str(chance.randrange(number + 1))
        for effect in (*machine.apply(one), *machine.apply(Expire(0, "default", gone))):
            match effect:
                case Synced():
                    alive -= {member.id for member in effect.members}
                case TimedOut():
                    alive.remove(effect.offer.id)
                case Pending():
                    pass
                case _:
                    raise AssertionError((seed, effect))
        assert machine.pending_total == len(alive), seed


# --- limits ------------------------------------------------------------------------------------------------


def refused(machine: Machine, one: Offer) -> str:
    (effect,) = machine.apply(one)
    assert isinstance(effect, Refused)
    assert effect.code == "full"
    return effect.reason


def test_a_full_machine_refuses_who_would_wait_and_takes_who_lets_others_go() -> None:
    machine = Machine(Limits(pending_offers_max=2))
    machine.apply(offer("A", "tea"))
    machine.apply(offer("B", "milk"))
    assert refused(machine, offer("C", "coin")) == "2 offers are pending, and no more can be"
    assert synced(machine.apply(offer("D", "tea"))) == [["A", "D"]]
    assert synced(machine.apply(offer("E", "coin"))) == []
    assert machine.pending_total == 2


def test_what_pending_offers_weigh_is_bounded_all_together() -> None:
    """What an offer weighs is its payload, and all else that its client may make large."""
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
        assert "and this one is too large to wait" in refused(machine, one)
        machine.apply(Withdraw(0, "default", "A", Cause.WITHDRAWN))
        assert len(machine.apply(offer("B", "tea", payload=b"x" * 5_000))) == 1


def test_namespaces_are_bounded_and_the_eldest_idle_one_makes_room() -> None:
    """No number of a sync is given twice, and the default namespace is never shut out."""
    machine = Machine(Limits(namespaces_max=2))
    machine.apply(offer("A", namespace="one", mates=0))
    machine.apply(offer("A", namespace="one", mates=0))
    machine.apply(offer("A", namespace="two"))
    machine.apply(offer("A", namespace="three"))
    assert machine.totals("one") == (0, 0, 0)
    assert refused(machine, offer("A", namespace="four")) == "offers are pending in 2 namespaces"
    assert synced(machine.apply(offer("A", mates=0))) == [["A"]]
    machine.apply(Withdraw(0, "two", "A", Cause.WITHDRAWN))
    *_, again = machine.apply(offer("A", namespace="one", mates=0))
    assert isinstance(again, Refused)


def test_a_namespace_that_was_forgotten_goes_on_above_its_old_numbers() -> None:
    machine = Machine(Limits(namespaces_max=1))
    for expected in (1, 2):
        *_, effect = machine.apply(offer("A", namespace="one", mates=0))
        assert isinstance(effect, Synced)
        assert effect.sync == expected
    machine.apply(offer("A", namespace="two", mates=0))
    *_, effect = machine.apply(offer("A", namespace="one", mates=0))
    assert isinstance(effect, Synced)
    assert effect.sync > 2


def test_a_choice_takes_no_more_steps_than_another_offer(comparisons: list[MatchProfile]) -> None:
    events = [f"e{number}" for number in range(40)]
    machine = Machine(Limits(search_steps_max=300))
    misses = 0
    for number in range(60):
        one = offer(f"A{number}", *events, mates=20, labels={"c": f"{number % 10}"}, selector=f"c!={number % 10}")
        comparisons.clear()
        misses += sum(isinstance(effect, SearchExhausted) for effect in machine.apply(one))
        assert len(comparisons) <= 300
    assert misses > 0


def test_a_refused_offer_leaves_nothing_behind() -> None:
    machine = Machine(Limits(pending_offers_max=1))
    machine.apply(offer("A", "tea"))
    refused(machine, offer("B", "coin", namespace="other"))
    assert machine.totals("other") == (0, 0, 0)
    assert machine.pending_total == 1
    assert [each.id for each in machine.pending("default")] == ["A"]
