"""What a machine counts of its syncs; a bucket holds what is at most its bound."""

import pytest

from syncnet.core.counts import FEW_MEMBERS, MEMBERS_BOUNDS, SHORT_WAIT_NS, WAIT_BOUNDS_NS
from syncnet.core.machine import Machine
from tests.core.offers import offer


def test_the_bounds_ascend_and_the_last_is_above_all() -> None:
    assert MEMBERS_BOUNDS[:FEW_MEMBERS] == tuple(range(1, FEW_MEMBERS + 1))
    assert WAIT_BOUNDS_NS[0] == SHORT_WAIT_NS
    for bounds in (MEMBERS_BOUNDS, WAIT_BOUNDS_NS):
        assert list(bounds) == sorted(set(bounds))
        assert 10**18 < bounds[-1] < 2**62, "a small integer when compiled"


@pytest.mark.parametrize("bound", range(len(MEMBERS_BOUNDS) - 1))
def test_a_sync_is_in_the_bucket_of_its_members(bound: int) -> None:
    for members, bucket in ((MEMBERS_BOUNDS[bound], bound), (MEMBERS_BOUNDS[bound] + 1, bound + 1)):
        machine = Machine()
        for number in range(members):
            machine.apply(offer(f"A{number}", mates=members - 1))
        fits = next(each for each, upto in enumerate(MEMBERS_BOUNDS) if members <= upto)
        assert fits == bucket
        assert machine.counts.syncs[bucket] == sum(machine.counts.syncs) == 1
        assert machine.counts.synced == members


@pytest.mark.parametrize("bound", range(len(WAIT_BOUNDS_NS) - 1))
@pytest.mark.parametrize("more", [0, 1])
def test_a_member_that_waited_is_in_the_bucket_of_its_wait(bound: int, more: int) -> None:
    wait_ns = WAIT_BOUNDS_NS[bound] + more
    machine = Machine()
    machine.apply(offer("A", mates=2, at_ns=5))
    machine.apply(offer("B", mates=2, at_ns=5 + wait_ns))
    machine.apply(offer("C", mates=2, at_ns=5 + wait_ns))
    expected = [0] * len(WAIT_BOUNDS_NS)
    if bound + more:
        expected[bound + more] = 1
    assert machine.counts.waits == expected, "the two that came last did not wait; short waits are those that are left"
    assert machine.counts.wait_ns == wait_ns


def test_a_clock_that_is_behind_counts_as_no_wait() -> None:
    machine = Machine()
    machine.apply(offer("A", at_ns=10))
    machine.apply(offer("B", at_ns=4))
    assert (machine.counts.synced, machine.counts.wait_ns, sum(machine.counts.waits)) == (2, 0, 0)


def test_the_oldest_offer_is_that_of_any_namespace() -> None:
    machine = Machine()
    assert machine.oldest_ns() is None
    machine.apply(offer("A", namespace="a", at_ns=7))
    machine.apply(offer("B", namespace="b", at_ns=5))
    machine.apply(offer("C", "other", namespace="b", at_ns=9))
    assert machine.oldest_ns() == 5
    machine.apply(offer("D", namespace="b", at_ns=10))
    assert machine.oldest_ns() == 7, "B and D have synced"
