"""The trace: what is asked of it is all that it writes out."""

import pytest

from syncnet.core import trace
from syncnet.core.effects import Synced
from syncnet.core.limits import Limits
from syncnet.core.terms import Pair, Terms
from tests.core.offers import offer


def test_g8_of_a_long_trace_only_what_was_asked_for_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write_out = trace._written_out

    def noting(pair: Pair) -> Synced:
        written.append(pair[0])
        return write_out(pair)

    monkeypatch.setattr(trace, "_written_out", noting)
    kept = trace.Trace(Limits())
    for namespace in ("default", "other"):
        terms = Terms(offer("A", namespace=namespace), (namespace, "coin"), "A", True)
        kept.add_pairs((number, terms, "a", 1, terms, "b", 2) for number in range(1, 1_001))
    assert [synced.sync for synced in kept.of("other", 990, 5)] == [991, 992, 993, 994, 995]
    assert written == [991, 992, 993, 994, 995]
    assert len(kept.all()) == 2_000
