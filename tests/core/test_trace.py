"""The trace keeps the latest syncs, without their payloads."""

from syncnet.core.limits import Limits
from syncnet.core.machine import Machine
from syncnet.core.trace import Trace, TracedSync
from tests.core.offers import offer


def test_a_part_of_the_trace_of_one_namespace() -> None:
    kept = Trace(Limits())
    for namespace in ("default", "other"):
        for number in range(1, 1_001):
            kept.add(TracedSync(1, namespace, "coin", number, [], 10))
    assert [each.sync for each in kept.of("other", 990, 5)] == [991, 992, 993, 994, 995]
    assert len(kept.all()) == 2_000


def test_the_oldest_are_forgotten_by_number_and_by_weight() -> None:
    kept = Trace(Limits(trace_syncs_max=3, trace_bytes_max=100))
    for number, weight in enumerate((10, 10, 10, 10, 95), 1):
        kept.add(TracedSync(1, "default", "coin", number, [], weight))
        assert sum(each.weight_bytes for each in kept.all()) <= 100
    assert [each.sync for each in kept.all()] == [5]


def test_g8_payloads_are_not_kept_only_their_sizes() -> None:
    machine = Machine()
    machine.apply(offer("A", payload=b'"' + b"x" * 1000 + b'"'))
    machine.apply(offer("B"))
    (sync,) = machine.trace("default", 0, 10)
    assert [(actor, size) for _, actor, _, size in sync.members] == [("A", 1002), ("B", 2)]
